"""Links as an attacker would write them: near the addresses that are allowed, and one step away from them."""

from __future__ import annotations

import base64
from urllib.parse import urlsplit

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

ALLOWED = (
    "https://bastion.example.com",
    "https://bastion.example.com:8443",
    "https://203.0.113.7",
    "https://[2001:db8::7]",
    "https://[::ffff:cb00:7107]:444",
    "https://xn--bcher-kva.example",
    "https://a_b.internal",
    "http://127.0.0.1:8010",
    "http://localhost:8010",
    "http://[::1]:8010",
    "http://localhost",
)
"""What admins registered, in canonical spelling."""

_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_DOTS = (".", "\u3002", "\uff0e", "\uff61", "%2e", "..", "%252e")
_SLASHES = (
    "//",
    "//",
    "//",
    "//",
    "/",
    "///",
    "////",
    "\\\\",
    "/\\",
    "\\/",
    "",
    "/\t/",
    "//\n",
    "%2f%2f",
    "\u2215\u2215",
)
_SCHEMES = (
    "https", "https", "https", "https", "http", "http", "HTTPS", "hTtp", "ht\ttps", "\thttps", " https", "https\n",
    "http\u017f",
    "javascript", "data", "ftp", "file", "ws", "wss", "view-source:https", "blob:https", "", "https:https", "https ",
    "about", "jar:https", "h%74tps",
)  # fmt: skip
_COLONS = (":", ":", ":", ":", ":", "", "::", "%3a", ":\t", "\uff1a", ":\\")
_USERS = (
    "", "", "", "", "", "", "user@", "user:secret@", "@", ":@", "bastion.example.com@", "bastion.example.com:443@",
    "a@b@", "%40@", "bastion.example.com%40", "x\\@", "bastion.example.com\\@", "#@", "?@", "/@", "\u0000@",
    "bastion.example.com;@",
)  # fmt: skip
_PORTS = (
    "", "", "", "", ":443", ":80", ":8010", ":8443", ":444", ":", ":0443", ":00443", ":0", ":65535", ":65536", ":65979",
    ":-443", ":+443", ":4 43", ":443\t", ":0x1bb", ":\uff14\uff14\uff13", ":443:80", ":443a", ":99999999999",
    ":%34%34%33", ":\u0664\u0664\u0663",
    ":443.", ":443@",
)  # fmt: skip
_TAILS = (
    "", "", "/", "/om?token=abc", "?cbhinfo=a%2Bb", "#part", "/?a=1#b?c", "/../..//evil.example", "/%2e%2e/", "/;a=1",
    "/a b", "/\t", "/a\r\nLocation: https://evil.example/", "/%0d%0aSet-Cookie:%20a=b", "/%", "/%zz", "/%4", "/[x]",
    "?[x]",
    "#[x]", "/{x}", "/|", "/`", "/^", "/<script>", '/"', "/'", "/\\evil.example", "//evil.example/", "/@evil.example",
    "?@evil.example", "#@evil.example", "/\u00e9", "/\u202e", "\u0000", "/\ud800", "/%00", "?" + "a" * 40, "/:@/",
    "#a#b",
    "?a?b", "/https://evil.example/", "/~$&'()*+,;=!._-", "\u200b", "\ufeff", "/.", "/./", "?", "#", "/%c0%af",
)  # fmt: skip
_ODD_HOSTS = (
    "127.1", "127.0.1", "0x7f.1", "0x7f000001", "2130706433", "017700000001", "0177.0.0.1", "0x7f.0x0.0x0.0x1",
    "127.0.0.1.",
    "127.0.0.256", "127.0.0.0x1", "3405803783", "0xcb007107", "203.0.113.07", "203.0.28935", "0xcb.0.0x7107",
    "203.0.113.7.", "1.2.3.4.5",
    "203.0.113.0x7", "0", "0x", "4294967296", "08", "1.2.3.08", "\uff11\uff12\uff17.\uff10.\uff10.\uff11",
    "\u246b\u2466.0.0.1", "localhost.", "LOCALHOST",
    "\uff4cocalhost", "loc\u00adalhost", "loca\u200blhost", "local\u2060host", "localho\u017ft", "[::1]",
    "[0:0:0:0:0:0:0:1]", "[::0001]",
    "[::127.0.0.1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::1%25lo]", "[::1%lo]", "[::1%eth0]",
    "[::1]evil.example", "[::1",
    "::1", "[2001:DB8::7]", "[2001:db8:0:0::7]", "[2001:db8::0.0.0.7]", "[2001:0db8::0007]", "[::ffff:203.0.113.7]",
    "[v1.a]", "[]",
    "[[::1]]", "[2001:db8::7:]", "[2001:db8:::7]", "[1:2:3:4:5:6:7::]", "[::ffff:203.0.113.07]",
    "xn--bcher-kva.example", "b\u00fccher.example",
    "B\u00dcCHER.example", "bu\u0308cher.example", "xn--BCHER-KVA.example", "XN--bcher-kva.example",
    "xn--bcher-kva.example.",
    "xn--a", "xn--a.example", "xn--.example", "xn--bastion-.example.com", "xn--zca.example", "a_b.internal",
    "A_b.internal",
    "-a.example", "a-.example", "_.example", "a..example", ".example", "example.", "bastion.example.com",
    "bastion.example.com.evil.example",
    "evil.example", "bastion.example.com..", "bastion.example.com%2e", "bastion.example.com%00",
    "bastion%2eexample.com", "%62astion.example.com",
    "bastion.example.com\u3002", "bastion.example.\uff43\uff4f\uff4d", "BASTION.EXAMPLE.COM",
    "bastion.example.c\u043em", "b\u0430stion.example.com",
    "bastion.example.com\u2024", "bastion.example.com/", "bastion.example.com\\", "bastion.example.com\t",
    "bastion.example.com ", "bastion.example.com#",
    "bastion.example.com?", "bastion.example.com;", "bastion.example.com,evil.example", "bastion.example.com&",
    "bastion.example.com\u0000.evil.example",
    "\u24d1astion.example.com", "bastion\u3002example\u3002com", "bastion.exam\u00adple.com",
    "bastion.example.com:443", "ba\u200dstion.example.com", "\ufb00.example",
    "a" * 63 + ".example", "a" * 64 + ".example", ".".join(["a" * 60] * 5), "\u00df.example", "\u03c2.example",
    "%5B::1%5D", "%31%32%37.0.0.1",
)  # fmt: skip


def _host_of(origin: str) -> str:
    return urlsplit(origin).netloc


_NEAR = st.sampled_from(ALLOWED).map(_host_of)


@st.composite
def _spoilt_host(draw: st.DrawFn) -> str:
    """An allowed host with one character done differently."""
    host = draw(_NEAR)
    at = draw(st.integers(0, len(host) - 1))
    char = host[at]
    changed = draw(
        st.sampled_from(
            (
                char.upper(),
                f"%{ord(char):02x}",
                f"%{ord(char):02X}",
                f"%25{ord(char):02x}",
                chr(ord(char) + 0xFEE0),
                f"{char}\u00ad",
                f"{char}\u200b",
                f"{char}\t",
                f"\n{char}",
                f"{char}\u0000",
                f"{char} ",
                f"{char}\\",
                f"{char}/",
                f"{char}@",
                f"{char}:",
                f"{char}#",
                "",
                char + char,
                f"{char}{draw(st.characters())}",
                draw(st.characters()),
                draw(st.sampled_from(_DOTS)),
            )
        )
    )
    return host[:at] + changed + host[at + 1 :]


_numbers = st.one_of(st.integers(0, 255), st.integers(0, 2**32), st.sampled_from((127, 1, 203, 113, 7)))


@st.composite
def _number_host(draw: st.DrawFn) -> str:
    """Addresses as numbers of every base, one to five of them."""
    parts = draw(st.lists(_numbers, min_size=1, max_size=5))
    spelt = [
        draw(st.sampled_from(("{:d}", "{:d}", "{:#x}", "{:#o}", "0{:o}", "0{:d}", "00{:d}", "{:X}"))).format(part)
        for part in parts
    ]
    return ".".join(spelt) + draw(st.sampled_from(("", "", "", ".", "..")))


@st.composite
def _six_host(draw: st.DrawFn) -> str:
    """IPv6 in some of its spellings, zones and embedded IPv4 addresses included."""
    groups = draw(
        st.lists(
            st.sampled_from(("0", "1", "7", "ffff", "FFFF", "0db8", "2001", "", "cb00", "7107", "10000", "g")),
            max_size=9,
        )
    )
    four = draw(st.sampled_from(("", "", "", ":203.0.113.7", "::127.0.0.1", ":1.2.3", ":0x7f.0.0.1", ":1.2.3.04")))
    zone = draw(st.sampled_from(("", "", "", "%25eth0", "%eth0", "%", "%251")))
    return f"[{':'.join(groups)}{four}{zone}]"


_label = st.one_of(
    st.text(_LETTERS + "0123456789-_", min_size=1, max_size=8),
    st.text(st.characters(), min_size=1, max_size=4),
    st.text(_LETTERS + "0123456789-", min_size=1, max_size=10).map("xn--{}".format),
)
_names = st.lists(_label, min_size=1, max_size=4).flatmap(
    lambda labels: st.sampled_from(_DOTS).map(
        lambda dot: ".".join(labels[:-1]) + (dot if len(labels) > 1 else "") + labels[-1]
    )
)
_hosts = st.one_of(
    _NEAR, _NEAR, _NEAR, _NEAR, _spoilt_host(), st.sampled_from(_ODD_HOSTS), _number_host(), _six_host(), _names
)
_tails = st.one_of(
    st.sampled_from(_TAILS),
    st.text(st.characters(), max_size=12).map("/{}".format),
    st.text("abcXYZ019-._~!$&'()*+,;=:@/?%", max_size=30).map("/{}".format),
)


@st.composite
def _assembled(draw: st.DrawFn) -> str:
    return "".join(
        (
            draw(st.sampled_from(_SCHEMES)),
            draw(st.sampled_from(_COLONS)),
            draw(st.sampled_from(_SLASHES)),
            draw(st.sampled_from(_USERS)),
            draw(_hosts),
            draw(st.sampled_from(_PORTS)),
            draw(_tails),
        )
    )


@st.composite
def _nearly_right(draw: st.DrawFn) -> str:
    """Right in all but one or two places."""
    origin = urlsplit(draw(st.sampled_from(ALLOWED)))
    parts = {
        "scheme": origin.scheme,
        "colon": ":",
        "slashes": "//",
        "user": "",
        "host": origin.netloc,
        "port": "",
        "tail": "/om?token=abc",
    }
    other: dict[str, SearchStrategy[str]] = {
        "scheme": st.sampled_from(_SCHEMES),
        "colon": st.sampled_from(_COLONS),
        "slashes": st.sampled_from(_SLASHES),
        "user": st.sampled_from(_USERS),
        "host": _hosts,
        "port": st.sampled_from(_PORTS),
        "tail": _tails,
    }
    for name in draw(st.lists(st.sampled_from(sorted(other)), max_size=2)):
        parts[name] = draw(other[name])
    return "".join(parts.values())


@st.composite
def _mutated(draw: st.DrawFn) -> str:
    """A whole link with characters put in, taken out or doubled anywhere."""
    text = draw(st.one_of(_nearly_right(), st.sampled_from(ALLOWED)))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        piece = draw(
            st.one_of(
                st.sampled_from(
                    ("\t", "\n", "\r", " ", "\\", "@", "/", ":", "#", "?", "%", "\u0000", "[", "]", ".", "\u00a0")
                ),
                st.characters(),
            )
        )
        text = text[:at] + piece + text[at + draw(st.integers(0, 1)) :]
    return text


_long = st.builds(
    lambda origin, size: f"{origin}/?token={base64.urlsafe_b64encode(b'x' * size).decode()}",
    st.sampled_from(ALLOWED),
    st.sampled_from((3000, 3030, 3040, 3050, 3060, 4000, 90_000)),
)

links: SearchStrategy[str] = st.one_of(
    _nearly_right(),
    _nearly_right(),
    _nearly_right(),
    _mutated(),
    _assembled(),
    _assembled(),
    st.text(st.characters(), max_size=30),
    _long,
)

right_links: SearchStrategy[str] = st.builds(
    lambda origin, tail: f"{origin}{tail}",
    st.sampled_from(ALLOWED),
    st.one_of(
        st.sampled_from(
            (
                "",
                "/",
                "/om?token=abc",
                "?a=b",
                "/%2e%2e/x",
                "/../..//evil.example",
                "//evil.example/",
                "/https://evil.example/",
                "?@x",
                "/%00",
                "#x",
            )
        ),
        st.text("abcXYZ019-._~!$&'()*+,;=:@/?", max_size=60).map("/{}".format),
        st.lists(
            st.sampled_from(("%41", "%2F", "%5c", "%00", "%0d%0a", "a", "/", "?", "=", "&", ".", "..", ";")),
            max_size=20,
        ).map(lambda parts: "/" + "".join(parts)),
    ),
)
"""Links that the validator should accept; browsers take some of their paths apart."""
