"""Which addresses a browser may be sent to: exact origins, and the check of every `login_url`.

Browsers forgive a lot (backslashes, `0x7f.1`, percent-encoded hosts) and each forgiveness is a way to make a
checker and a browser disagree about where a link leads. So nothing is repaired here: a link either is plain
RFC 3986 in the one spelling that everybody reads alike, or it is refused.

Source: RFC 3986 sections 2 and 3; WHATWG URL standard, "host parsing" (what browsers do with odd hosts).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from dataclasses import dataclass

from omaccess.cloud.errors import LoginOriginNotAllowed, UnusableLoginUrl

MAX_URL_BYTES = 4096
DEFAULT_PORTS = {"http": 80, "https": 443}

_URL = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://(?P<authority>[^/?#]*)(?P<rest>.*)")
_PLAIN = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*")
_REST = re.compile(r"[^#\[\]]*(?:#[^#\[\]]*)?")
_AUTHORITY = re.compile(r"(?P<host>\[[^\[\]]*\]|[^:\[\]]*)(?P<colon>:(?P<port>.*))?")
_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_NUMERIC_LABEL = re.compile(r"[0-9]+|0[xX][0-9A-Fa-f]*")
_PORT = re.compile(r"[1-9][0-9]{0,4}")

# What is told to the admin who types an address. Plain English on purpose: this package knows no
# translations; the portal's own words come from `problem`.
_REASONS = {
    "blank": "It is empty.",
    "not_text": "It is not a text.",
    "too_long": "It is too long.",
    "characters": "It holds characters that do not belong in an address.",
    "relative": "It needs the form scheme://host, such as https://bastion.example.com.",
    "scheme": "Only http and https are known.",
    "user_info": "It must not hold a user name or password.",
    "host": "Its host is not a valid name or address.",
    "numeric_host": "Its host is a number in an unusual spelling; write the address as four decimal numbers.",
    "port": "Its port is not a number from 1 to 65535.",
    "path": "It must end after the host and port: no path, no query.",
}


class OriginProblem(ValueError):
    """Why a text is no usable address: `slug` for programs, the message for people, without the text."""

    def __init__(self, slug: str) -> None:
        super().__init__(_REASONS[slug])
        self.slug = slug


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port in canonical form. An IPv6 host is kept without brackets."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        suffix = "" if self.port == DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{self.scheme}://{host}{suffix}"

    @property
    def is_loopback(self) -> bool:
        """Whether the host is `localhost` or a loopback literal; names are never looked up for this."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_origin(text: str) -> str:
    """The canonical spelling of an exact origin: `scheme://host[:port]`, lower case, default port dropped.

    Raises:
        ValueError: it is not one; the message says why, for a person.
    """
    return str(split_origin(text))


def split_origin(text: str) -> Origin:
    """Like `parse_origin`, in parts. Raises `OriginProblem`."""
    if not isinstance(text, str):
        raise OriginProblem("not_text")
    origin, rest = _split(text)
    if rest:
        raise OriginProblem("path")
    return origin


def check_login_url(value: object, *, link_origins: Collection[str], allow_http_loopback: bool) -> str:
    """Decide whether a browser may be sent to `value`; return its canonical origin.

    Args:
        value: what came as `login_url`, of any type.
        link_origins: canonical origins (as from `parse_origin`) that links may lead to.
        allow_http_loopback: accept http, but only to loopback (the sandbox).

    Raises:
        UnusableLoginUrl: nobody may be sent there, whatever is registered; `problem` is one of missing,
            blank, not_text, too_long, characters, relative, scheme, user_info, host, numeric_host, port.
        LoginOriginNotAllowed: a proper link, to an origin that is not registered.
    """
    if value is None:
        raise UnusableLoginUrl(problem="missing", service="cbh")
    problem = ""
    try:
        origin, _ = _split(value)
    except OriginProblem as error:
        problem = error.slug
    if problem:  # raised out here, so that the link does not hang on the error as context
        raise UnusableLoginUrl(problem=problem, service="cbh")
    if origin.scheme != "https" and not (allow_http_loopback and origin.is_loopback):
        raise UnusableLoginUrl(problem="scheme", service="cbh")
    if str(origin) not in link_origins:
        raise LoginOriginNotAllowed(origin=str(origin), service="cbh")
    return str(origin)


def _split(value: object) -> tuple[Origin, str]:
    """Origin and everything behind it."""
    if not isinstance(value, str):
        raise OriginProblem("not_text")
    if not value.strip():
        raise OriginProblem("blank")
    # Characters before bytes: a text of a million characters need not be encoded to know that it is too long.
    if len(value) > MAX_URL_BYTES:
        raise OriginProblem("too_long")
    if not _PLAIN.fullmatch(value):
        raise OriginProblem("characters")
    match = _URL.fullmatch(value)
    if match is None:
        raise OriginProblem("relative")
    scheme = match["scheme"].lower()
    if scheme not in DEFAULT_PORTS:
        raise OriginProblem("scheme")
    if not _REST.fullmatch(match["rest"]):
        raise OriginProblem("characters")
    host, port = _host_and_port(match["authority"])
    return Origin(scheme, host, DEFAULT_PORTS[scheme] if port is None else port), match["rest"]


def _host_and_port(authority: str) -> tuple[str, int | None]:
    if "@" in authority:
        raise OriginProblem("user_info")
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise OriginProblem("host")
    host = _canonical_host(match["host"])
    if match["colon"] is None:
        return host, None
    if not _PORT.fullmatch(match["port"]) or int(match["port"]) > 65535:
        raise OriginProblem("port")
    return host, int(match["port"])


def _canonical_host(host: str) -> str:
    """Lower-case name, dotted quad, or IPv6 address without brackets."""
    if host.startswith("["):
        try:
            return ipaddress.IPv6Address(host[1:-1] if "%" not in host else "").compressed
        except ValueError:
            raise OriginProblem("host") from None
    # Browsers take a host whose last label (before a final dot) is a number for an IPv4 address in odd
    # spelling.
    if _NUMERIC_LABEL.fullmatch(host.removesuffix(".").rpartition(".")[2]):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise OriginProblem("numeric_host") from None
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        raise OriginProblem("host")
    return host.lower()
