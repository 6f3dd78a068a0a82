"""Is a browser's session still what it was? Asked again at the moment a link would be handed over."""

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from accounts.models import User


def is_live(session_key: str, user: User) -> bool:
    """The session exists, has not expired, is this person's, and was not ended by a changed password."""
    row = Session.objects.filter(session_key=session_key, expire_date__gt=timezone.now()).first()
    if not session_key or row is None:
        return False
    facts = row.get_decoded()
    return (
        facts.get(SESSION_KEY) == str(user.pk)
        and BACKEND_SESSION_KEY in facts
        and constant_time_compare(facts.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash())
    )
