"""Looking at where a link leads, the way a browser's first request does, without believing or keeping anything."""

from __future__ import annotations

import html
import http.client
import re
import ssl
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

_SECONDS: Final = 15.0
_MOST_BYTES: Final = 64 * 1024
_TITLE: Final = re.compile(r"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_LONG_SEGMENT: Final = re.compile(r"[^/]{16,}")


@dataclass(frozen=True, slots=True)
class Sight:
    """What one request for a link showed; two links in the same condition show the same.

    `place` (the path of a redirect, its long parts left out) and `title` are for comparing, not for showing.
    """

    status: int
    place: str = field(repr=False)
    title: str = field(repr=False)
    sets_cookie: bool

    @property
    def words(self) -> str:
        return f"status {self.status}" + (", a redirect" if self.place else "")


class Unreachable(Exception):
    """Nothing usable answered; the text is the kind of problem alone."""


def look(link: str) -> Sight:
    """Ask for a link once: no redirect is followed, no cookie kept, at most 64 KB read.

    A bastion's certificate is its own (documented), so it is not verified, for this one request.

    Raises:
        Unreachable: no answer.
    """
    problem = ""
    try:
        return _asked(link)
    except (OSError, http.client.HTTPException, ValueError) as error:
        problem = type(error).__name__
    raise Unreachable(problem)  # out here: the error's text may hold the link


def _asked(link: str) -> Sight:
    parts = urlsplit(link)
    connection = _connection(parts.scheme, parts.hostname or "", parts.port)
    try:
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
        connection.request("GET", path, headers={"User-Agent": "sallyport-verify", "Accept": "text/html"})
        answer = connection.getresponse()
        text = answer.read(_MOST_BYTES).decode("utf-8", "replace")
        location = urlsplit(answer.headers.get("Location", "")).path
        title = _TITLE.search(text)
        return Sight(
            status=answer.status,
            place=_LONG_SEGMENT.sub("*", location),
            title=html.unescape(title[1]).strip() if title else "",
            sets_cookie="Set-Cookie" in answer.headers,
        )
    finally:
        connection.close()


def _connection(scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
    if scheme == "http" and host in ("127.0.0.1", "localhost", "::1"):  # the sandbox
        return http.client.HTTPConnection(host, port, timeout=_SECONDS)
    if scheme != "https" or not host:
        raise ValueError("not an https link")
    unverified = ssl.create_default_context()
    unverified.check_hostname = False
    unverified.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection(host, port, timeout=_SECONDS, context=unverified)


def forged(link: str) -> str:
    """The link with one character in the middle of its query changed."""
    head, mark, query = link.partition("?")
    middle = (len(query) + query.find("=") + 1) // 2
    other = "B" if query[middle : middle + 1] != "B" else "C"
    return f"{head}{mark}{query[:middle]}{other}{query[middle + 1 :]}"
