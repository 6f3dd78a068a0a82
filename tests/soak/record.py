"""What must be true of the record whatever was killed, as a list of sentences that say what is not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from django.utils.crypto import salted_hmac

from omaccess.audit.verify import verify
from omaccess.models import AuditEvent, Launch
from omaccess.models.launches import OPEN_STATES

REQUESTED, OPENED, WAITING = "launch:requested", "launch:opened", "launch:waiting"


def findings(*, links: Collection[str] = (), references: Collection[str] = (), is_over: bool = False) -> list[str]:
    """Compare the record with itself and with what browsers were told.

    `links` left the portal; `references` are launches whose page somebody was sent to. With `is_over` no launch may be
    open any more. The record may say more than happened, never less.
    """
    found = _chain()
    states = dict(Launch.objects.values_list("reference", "state"))
    kinds: dict[str, list[str]] = defaultdict(list)
    attempts: dict[str, list[int]] = defaultdict(list)
    opened: dict[str, list[str]] = defaultdict(list)
    events = AuditEvent.objects.exclude(reference="").order_by("position")
    for reference, kind, facts in events.values_list("reference", "kind", "facts").iterator():
        kinds[reference].append(kind)
        if kind == REQUESTED:
            attempts[reference].append(facts["attempt"])
        elif kind == OPENED:
            opened[facts["fingerprint"]].append(reference)
    for reference in set(states) | set(kinds):
        found += _one_launch(reference, states.get(reference), kinds[reference], attempts[reference], is_over)
    for link in links:
        found += _one_link(opened.get(fingerprint_of(link), []), kinds)
    found += [
        f"{reference} was told to somebody and is not on record" for reference in references if not kinds[reference]
    ]
    return found


def fingerprint_of(link: str) -> str:
    """As the audit keeps it of the link that was handed out."""
    return salted_hmac("omaccess.login_url", link, algorithm="sha256").hexdigest()


def _chain() -> list[str]:
    report = verify()
    found = [f"the chain: {problem.kind} at {problem.position}: {problem.text}" for problem in report.problems]
    return found + [f"the trigger {name} is missing" for name in report.unprotected]


def _one_launch(reference: str, state: str | None, kinds: list[str], attempts: list[int], is_over: bool) -> list[str]:
    """Row and events stand or fall together."""
    if state is None:
        return [f"{reference} has events and no launch: {kinds}"]
    found = []
    ends = [kind for kind in kinds if kind not in (REQUESTED, WAITING)]
    if attempts != list(range(1, len(attempts) + 1)):
        found.append(f"{reference} has attempts {attempts}")
    if state in OPEN_STATES:
        last = REQUESTED if state == "pending" else WAITING
        if ends or not kinds or kinds[-1] != last:
            found.append(f"{reference} is {state}, its events are {kinds}")
        if is_over:
            found.append(f"{reference} is still {state}")
    elif ends != [f"launch:{state}"] or kinds[-1] != ends[0]:
        found.append(f"{reference} is {state}, its events are {kinds}")
    return found


def _one_link(references: list[str], kinds: dict[str, list[str]]) -> list[str]:
    """A link is on record exactly once, and was asked for before. Never say the link itself: it is a secret."""
    if len(references) != 1:
        return [f"a link was handed out and stands {len(references)} times on record: {references}"]
    said = kinds[references[0]]
    if REQUESTED not in said or said.index(REQUESTED) > said.index(OPENED):
        return [f"{references[0]} was handed out without having been requested: {said}"]
    return []
