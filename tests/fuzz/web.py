"""What strangers put into addresses, fields and headers, and what every answer of the portal owes them."""

from __future__ import annotations

import string
from typing import Any
from urllib.parse import quote, urlsplit

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

_NASTY = (
    "", " ", "\u0000", "a\u0000b", "\ud800", "\udfff\ud800", "%", "_", "\\", "%_\\", "'", '"', "';--", "\u202e\u202dx",
    "\u05d0\u05d1", "\ufeff", "\u0130", "\u1e9e", "\U0001f511", "e\u0301",
    "web-01", "web", "root", "10.0.0.11", "10.0.0", "env=prod", "env:prod", "env=", "=prod", "=", ":", "::1", "[::1]",
    "2001:DB8::0007", "key==value", "env=prod env=prod team=shop a=b c=d",
    "{0.__class__}", "{{ 7*7 }}", "{% debug %}", "%s%n", "<script>alert(1)</script>", "../../etc/passwd",
    "\r\nSet-Cookie: a=b", "\x1b[2J", "\x85", "\u2028", "-1", "0", "1", "1e3", "0x1",
    "99999999999999999999", "9223372036854775807", "9223372036854775808", "-9223372036854775809", "\u0663", "\u00bd",
    "NaN", "null", "true", "[]", "{}", "None", "1,2", "1.0", " 1", "1 ", "+1", "1_0",
    "2026-11-23", "2026-11-23 25:61", "0001-01-01", "9999-12-31T23:59:59", "0001-01-01T00:00:00+23:59", "10000-01-01",
    "2026-03-29T02:30",
)  # fmt: skip
_huge = st.builds(
    lambda piece, times: piece * times,
    st.sampled_from(("a", "%", "\u00e9", " a", "a=b ", "(", "\\", "[", "9", "\u0000", "1,")),
    st.sampled_from((300, 2_100, 10_240)),
)
texts: SearchStrategy[str] = st.one_of(
    st.sampled_from(_NASTY),
    st.sampled_from(_NASTY),
    st.text(st.characters(), max_size=30),
    st.text(string.printable, max_size=30),
    _huge,
)

_octets = st.one_of(texts.map(lambda text: text.encode("utf-8", "surrogatepass")), st.binary(max_size=20))
escaped: SearchStrategy[str] = st.one_of(
    _octets.map(lambda octets: quote(octets, safe="")),
    st.text(string.ascii_letters + string.digits + "-._~%+=;", max_size=20),
)
"""For addresses: percent-encoded bytes that need not be UTF-8, and escapes cut in the middle."""


def queries(names: SearchStrategy[str]) -> SearchStrategy[str]:
    """A query string; names repeat, some are unknown."""
    name = st.one_of(names, names, names, escaped)
    pair = st.tuples(name, escaped).map("=".join)
    return st.lists(pair, max_size=6).flatmap(
        lambda pairs: st.sampled_from(("&", "&", "&", ";", "&&")).map(lambda sep: sep.join(pairs))
    )


MOST_CPU_SECONDS = 2.0
"""What a page may cost. Time on the processor, because the machine may have other work to do as well."""


def check_manners(response: Any) -> None:
    """No 500, and no redirect but to a path of ours. (An exception in a view is raised by the test client itself.)"""
    assert response.status_code < 500, response.status_code
    location = response.headers.get("Location", "")
    if location:
        assert location.isascii()
        assert location.isprintable()
    if 300 <= response.status_code < 400:
        check_own_address(location)


def check_own_address(location: str) -> None:
    """A path of ours, also a relative one; nothing that a browser could take for another host or scheme."""
    parts = urlsplit(location)
    assert (parts.scheme, parts.netloc) == ("", ""), location
    assert "\\" not in location, location
    assert not location.startswith("//"), location
