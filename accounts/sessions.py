"""Is a browser's session still what it was? Asked again at the moment a link would be handed over."""

import datetime as dt

from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.models import Session
from django.db.models import QuerySet
from django.utils.crypto import constant_time_compare

from accounts.models import User


def live(session_key: str, *, at: dt.datetime) -> QuerySet[Session]:
    """The session's row, if it has not ended or expired; whose it is, `is_of` says."""
    return Session.objects.filter(session_key=session_key, expire_date__gt=at)


def is_of(session: Session, user: User) -> bool:
    """The session is this person's, and was not ended by a changed password."""
    facts = session.get_decoded()
    return (
        facts.get(SESSION_KEY) == str(user.pk)
        and BACKEND_SESSION_KEY in facts
        and constant_time_compare(facts.get(HASH_SESSION_KEY, ""), user.get_session_auth_hash())
    )
