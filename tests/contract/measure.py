"""What the documents leave open about a cloud, found out by asking it. Answers are facts, never secrets."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from tests.contract.asking import opening
from tests.contract.links import Sight, Unreachable, forged, look
from tests.contract.plain import PlainCloud, Reply
from tests.contract.quiet import Broken, plain
from tests.contract.target import Target

AGES: Final = (0, 30, 60, 300, 900, 1800, 3600, 7200)
"""Seconds after which a fresh link is tried."""
_OF_LINKS: Final = ("a used link works again", "a second link ends the first", "life of a link")
UNKNOWN_SERVER: Final = "00000000-0000-4000-8000-000000000000"


@dataclass(frozen=True, slots=True)
class Finding:
    """One open question and what this cloud answers."""

    question: str
    answer: str


class Measurement:
    """Asks one cloud everything; `wait` is how it lets seconds pass."""

    def __init__(self, target: Target, cloud: PlainCloud, *, minutes: float, wait: Callable[[float], None]) -> None:
        self._target = target
        self._cloud = cloud
        self._seconds = minutes * 60
        self._wait = wait
        self._token, self._project_id = cloud.token()

    def findings(self) -> Iterator[Finding]:
        """Each as soon as it is known.

        Raises:
            Broken: the cloud does not answer as the other questions need it.
        """
        yield from self._about_tokens()
        yield from self._about_answers()
        yield from self._about_links()

    def _about_tokens(self) -> Iterator[Finding]:
        yield Finding("length of a token", f"{len(self._token)} characters")
        later, _ = self._cloud.token()
        both = [self._unmanaged(token).status for token in (later, self._token)]
        answer = "yes" if both == [200, 200] else f"no (statuses {both[0]} and {both[1]})"
        yield Finding("two tokens of one user work side by side", answer)

    def _about_answers(self) -> Iterator[Finding]:
        opened = self._ask(opening(self._target))
        yield Finding("form of a successful state", _form(opened.body.get("state")))
        refused = self._unmanaged(self._token)
        yield Finding("form of a refusing state", _form(refused.body.get("state")))
        languages = []
        for wanted in ("", "zh-cn", "en-us"):
            description = self._unmanaged(self._token, language=wanted).body.get("description")
            languages.append(f"{wanted or 'no X-Language'}: {_language(description)}")
        yield Finding("language of a description", "; ".join(languages))
        no_account = opening(self._target)
        del no_account["host_account_name"]
        unknown = opening(self._target, server_id=UNKNOWN_SERVER)
        yield Finding("error body: missing parameter", _error(self._ask(no_account)))
        yield Finding("error body: unknown instance", _error(self._ask(unknown)))
        yield Finding("error body: bad token", _error(self._ask(opening(self._target), token="not-a-token")))

    def _about_links(self) -> Iterator[Finding]:
        yield Finding("form of a link", _link_form(self._link()))
        try:
            good, bad = look(self._link()), look(forged(self._link()))
        except Unreachable as problem:
            yield Finding("what a link shows", f"nothing from this machine ({problem})")
            yield from (Finding(question, "not measured") for question in _OF_LINKS)
            return
        yield Finding("what a link shows", f"{good.words}; a forged one {bad.words}")
        if good == bad:
            yield from (Finding(question, "cannot be told from here") for question in _OF_LINKS)
            return
        for question, find_out in zip(_OF_LINKS, (self._reuse, self._replacement, self._life), strict=True):
            yield Finding(question, find_out(good))

    def _reuse(self, good: Sight) -> str:
        link = self._link()
        first, second = _seen(link), _seen(link)
        if first != good:
            return f"unclear: the first time it showed {_words(first)}"
        return "yes" if second == good else f"no ({_words(second)})"

    def _replacement(self, good: Sight) -> str:
        first, second = self._link(), self._link()
        seen_first, seen_second = _seen(first), _seen(second)
        if seen_second != good:
            return f"unclear: the second showed {_words(seen_second)}"
        return "no" if seen_first == good else f"yes ({_words(seen_first)})"

    def _life(self, good: Sight) -> str:
        """Try fresh links at growing ages, until one is dead or the time is up."""
        left, lived = self._seconds, "not even at once"
        for age in AGES:
            if age > left:
                return f"{lived}; not measured longer"
            left -= age
            link = self._link()
            self._wait(age)
            seen = _seen(link)
            if seen != good:
                return f"{lived}; after {age} s no longer ({_words(seen)})"
            lived = f"works after {age} s"
        return f"{lived}; not measured longer"

    def _link(self) -> str:
        reply = self._ask(opening(self._target))
        link = reply.body.get("login_url")
        if reply.status != 200 or not isinstance(link, str) or not link.strip():
            raise Broken(f"no link was given: status {reply.status}, state {plain(reply.body.get('state'))}")
        return link

    def _unmanaged(self, token: str, language: str = "") -> Reply:
        question = opening(self._target, ip_address=self._target.unmanaged_address)
        return self._ask(question, token=token, headers={"X-Language": language} if language else {})

    def _ask(
        self, question: Mapping[str, str], *, token: str | None = None, headers: Mapping[str, str] | None = None
    ) -> Reply:
        return self._cloud.om_url(token or self._token, self._project_id, question, headers=headers)


def _seen(link: str) -> Sight | None:
    try:
        return look(link)
    except Unreachable:
        return None


def _words(sight: Sight | None) -> str:
    return "no answer" if sight is None else sight.words


def _form(state: object) -> str:
    if isinstance(state, int):
        return "a number"
    if not isinstance(state, str):
        return "neither text nor number"
    return "digits in a text" if state.strip().isdigit() else f"a name ({plain(state)})"


def _language(description: object) -> str:
    if not isinstance(description, str) or not description.strip():
        return "none"
    if any("\u4e00" <= character <= "\u9fff" for character in description):
        return "Chinese"
    return "ASCII, so probably English" if description.isascii() else "another"


def _error(reply: Reply) -> str:
    """Status, the names of the fields, and the code: what a client has to know to read it."""
    fields = ", ".join(sorted(plain(name) for name in reply.body)) or "no JSON object"
    inner = reply.body.get("error")
    code = reply.body.get("error_code") or (inner.get("code") if isinstance(inner, dict) else None)
    return f"status {reply.status}: {fields}" + (f" (code {plain(code)})" if code is not None else "")


def _link_form(link: str) -> str:
    """Scheme, kind of host, port, whether there is a path, names of parameters, length; none of their values."""
    try:
        parts = urlsplit(link)
        port = parts.port
    except ValueError:
        return "no URL"
    try:
        ipaddress.ip_address(parts.hostname or "")
        host = "IP address"
    except ValueError:
        host = "host name"
    names = ", ".join(plain(name) for name, _ in parse_qsl(parts.query)) or "none"
    path = "with a path" if parts.path.strip("/") else "no path"
    return (
        f"{plain(parts.scheme)}, {host}, port {port or 'default'}, {path}, parameters: {names}; {len(link)} characters"
    )
