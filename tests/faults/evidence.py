"""What must be true of the record after any fault: read from the audit, compared with what browsers were given."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import requests
from django.db.models import Count
from django.utils.crypto import salted_hmac

from omaccess.audit.verify import verify
from omaccess.models import AuditEvent, Launch
from omaccess.models.launches import OPEN_STATES

_TERMINAL = {
    "launch:opened",
    "launch:refused",
    "launch:failed",
    "launch:abandoned",
    "launch:denied",
}


def links_in(answers: Iterable[object]) -> list[str]:
    """The O&M links among answers to launch forms: absolute addresses. What is no answer at all holds none."""
    places = [answer.headers.get("Location", "") for answer in answers if isinstance(answer, requests.Response)]
    return [place for place in places if place.startswith("http")]


def assert_record_is_true(links: Iterable[str] = ()) -> None:
    """The chain verifies, every link is on record from wish to outcome, and every launch ended exactly once or not yet.

    `links` are the O&M links that left the portal; the record may say more than happened, never less.
    """
    report = verify()
    assert not report.problems
    assert not report.unprotected
    for link in links:
        fingerprint = salted_hmac("omaccess.login_url", link, algorithm="sha256").hexdigest()
        opened = AuditEvent.objects.get(kind="launch:opened", facts__fingerprint=fingerprint)
        wish = AuditEvent.objects.get(
            kind="launch:requested", reference=opened.reference, facts__attempt=opened.facts["attempt"]
        )
        assert wish.position < opened.position
        assert Launch.objects.get(reference=opened.reference).state == "opened"
    _assert_states_and_events_agree()


def _assert_states_and_events_agree() -> None:
    """Row and event stand or fall together: a terminal launch has one terminal event, an open one has none."""
    events = AuditEvent.objects.filter(kind__in=_TERMINAL).exclude(reference="").values_list("reference", "kind")
    ended = Counter(events)
    states = dict(Launch.objects.values_list("reference", "state"))
    expected = {(reference, f"launch:{state}") for reference, state in states.items() if state not in OPEN_STATES}
    assert set(ended) == expected
    assert set(ended.values()) <= {1}
    assert not Launch.objects.values("reference").annotate(number=Count("pk")).filter(number__gt=1).exists()
