"""Where a browser may be sent: every odd spelling that a browser would forgive must be refused."""

from __future__ import annotations

import pytest

from omaccess.cloud.errors import LoginOriginNotAllowed, UnusableLoginUrl
from omaccess.cloud.login_url import MAX_URL_BYTES, check_login_url, parse_origin

ALLOWED = [
    "https://bastion.example.com",
    "https://10.1.2.3",
    "https://[2001:db8::1]",
    "https://10.1.2.3:8443",
]


def check(value: object, *, loopback: bool = False, origins: list[str] | None = None) -> str:
    return check_login_url(value, link_origins=ALLOWED if origins is None else origins, allow_http_loopback=loopback)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://10.1.2.3:443?cbhinfo=xxxx", "https://10.1.2.3"),
        ("https://10.1.2.3", "https://10.1.2.3"),
        ("https://10.1.2.3/", "https://10.1.2.3"),
        ("https://10.1.2.3:8443/a/b;c=d?x=1&y=%20+/?:@!$'()*,~#/route?z", "https://10.1.2.3:8443"),
        ("HTTPS://Bastion.Example.COM/Path", "https://bastion.example.com"),
        ("https://bastion.example.com/?next=https://evil.example/", "https://bastion.example.com"),
        ("https://bastion.example.com/@evil.example", "https://bastion.example.com"),
        ("https://[2001:DB8:0:0::1]/x", "https://[2001:db8::1]"),
        ("https://[2001:db8::1]:443/x", "https://[2001:db8::1]"),
        ("https://10.1.2.3/" + "a" * (MAX_URL_BYTES - 17), "https://10.1.2.3"),
    ],
)
def test_plain_link_to_a_registered_address_is_usable(url: str, origin: str) -> None:
    assert check(url) == origin


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (None, "missing"),
        ("", "blank"),
        ("  \t\n", "blank"),
        (0, "not_text"),
        (True, "not_text"),
        (["https://10.1.2.3"], "not_text"),
        ({"url": "https://10.1.2.3"}, "not_text"),
        ("https://10.1.2.3/" + "a" * (MAX_URL_BYTES - 16), "too_long"),
        # Forms
        ("/om/session", "relative"),
        ("//10.1.2.3/x", "relative"),
        ("10.1.2.3", "relative"),
        ("10.1.2.3:443?cbhinfo=x", "relative"),
        ("xxxxxx", "relative"),
        ("https:10.1.2.3", "relative"),
        ("https:/10.1.2.3", "relative"),
        ("javascript:alert(1)", "relative"),
        ("data:text/html,x", "relative"),
        ("http://10.1.2.3/", "scheme"),
        ("http://127.0.0.1/", "scheme"),
        ("ftp://10.1.2.3/", "scheme"),
        ("javascript://10.1.2.3/%0aalert(1)", "scheme"),
        ("wss://10.1.2.3/", "scheme"),
        ("https:///10.1.2.3", "host"),
        ("https:////10.1.2.3", "host"),
        ("https://", "host"),
        ("https://?x", "host"),
        ("https://#x", "host"),
        ("https://:443", "host"),
        # Characters
        (" https://10.1.2.3", "characters"),
        ("https://10.1.2.3 ", "characters"),
        ("https://10.1.2.3/a b", "characters"),
        ("https://10.1.2.3/\r\nSet-Cookie: a=b", "characters"),
        ("https://10.1.2.3/\n", "characters"),
        ("https://10.1.2.3/\x00", "characters"),
        ("https://10.1.2.3/\x7f", "characters"),
        ("https://10.1.2.3\\@evil.example", "characters"),
        ("https:\\\\10.1.2.3", "characters"),
        ("https://10.1.2.3/é", "characters"),
        ("https://bücher.example/", "characters"),
        ("https://10。1。2。3/", "characters"),
        ("https://\uff110.1.2.3/", "characters"),
        ("https://10.1.2.3/\u202e", "characters"),
        ("https://10.1.2.3/<script>", "characters"),
        ('https://10.1.2.3/"', "characters"),
        ("https://10.1.2.3/{a}|^`", "characters"),
        ("https://10.1.2.3/%zz", "characters"),
        ("https://10.1.2.3/%4", "characters"),
        ("https://10.1.2.3/[x]", "characters"),
        ("https://10.1.2.3/#a#b", "characters"),
        # User info
        ("https://user@10.1.2.3/", "user_info"),
        ("https://user:pass@10.1.2.3/", "user_info"),
        ("https://@10.1.2.3/", "user_info"),
        ("https://10.1.2.3@evil.example/", "user_info"),
        ("https://10.1.2.3:443@evil.example/", "user_info"),
        ("https://a@b@10.1.2.3/", "user_info"),
        # Hosts
        ("https://2130706433/", "numeric_host"),
        ("https://0x7f000001/", "numeric_host"),
        ("https://0x7f.1/", "numeric_host"),
        ("https://127.1/", "numeric_host"),
        ("https://127.0.1/", "numeric_host"),
        ("https://0177.0.0.1/", "numeric_host"),
        ("https://010.1.2.3/", "numeric_host"),
        ("https://10.1.2.3./", "numeric_host"),
        ("https://10.1.2.256/", "numeric_host"),
        ("https://10.1.2.3.4/", "numeric_host"),
        ("https://10.1.2.0x3/", "numeric_host"),
        ("https://10.1.2.0x/", "numeric_host"),
        ("https://bastion.example.1/", "numeric_host"),
        ("https://1/", "numeric_host"),
        ("https://1./", "numeric_host"),
        ("https://%31%30.1.2.3/", "numeric_host"),
        ("https://%31%30%2e1.2.x/", "host"),
        ("https://bastion%2eexample.com/", "host"),
        ("https://bastion.example.com%2f@evil/", "user_info"),
        ("https://bastion.example.com%00.evil/", "host"),
        ("https://bastion.example.com./", "host"),
        ("https://.example.com/", "host"),
        ("https://bastion..com/", "host"),
        ("https://-bastion.com/", "host"),
        ("https://bastion-.com/", "host"),
        ("https://bas,tion.com/", "host"),
        ("https://*.example.com/", "host"),
        ("https://" + "a" * 64 + ".com/", "host"),
        ("https://" + "a." * 130 + "com/", "host"),
        ("https://[::1/", "host"),
        ("https://::1/", "host"),
        ("https://2001:db8::1/", "numeric_host"),
        ("https://db8::1/", "port"),
        ("https://[]/", "host"),
        ("https://[10.1.2.3]/", "host"),
        ("https://[fe80::1%25eth0]/", "host"),
        ("https://[v1.x]/", "host"),
        ("https://[::1]x/", "host"),
        ("https://[[::1]]/", "host"),
        ("https://x[::1]/", "host"),
        # Ports
        ("https://10.1.2.3:/", "port"),
        ("https://10.1.2.3:0/", "port"),
        ("https://10.1.2.3:00443/", "port"),
        ("https://10.1.2.3:65536/", "port"),
        ("https://10.1.2.3:99999999999/", "port"),
        ("https://10.1.2.3:-1/", "port"),
        ("https://10.1.2.3:+443/", "port"),
        ("https://10.1.2.3:4_43/", "port"),
        ("https://10.1.2.3:443:443/", "port"),
        ("https://10.1.2.3:https/", "port"),
        ("https://10.1.2.3:%34%34%33/", "port"),
    ],
)
def test_link_that_is_not_plain_is_unusable(value: object, problem: str) -> None:
    with pytest.raises(UnusableLoginUrl) as caught:
        check(value)

    assert caught.value.problem == problem
    assert caught.value.__context__ is None
    assert str(caught.value) == "UnusableLoginUrl cbh"


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://evil.example/x?secret", "https://evil.example"),
        ("https://bastion.example.com.evil.example/", "https://bastion.example.com.evil.example"),
        ("https://sub.bastion.example.com/", "https://sub.bastion.example.com"),
        ("https://bastion.example.com:8443/", "https://bastion.example.com:8443"),
        ("https://10.1.2.3:1/", "https://10.1.2.3:1"),
        ("https://10.1.2.3:65535/", "https://10.1.2.3:65535"),
        ("https://10.1.2.30/", "https://10.1.2.30"),
        ("https://XN--BCHER-KVA.example/", "https://xn--bcher-kva.example"),
        ("https://[::1]:8443/", "https://[::1]:8443"),
        ("https://[::ffff:10.1.2.3]/", "https://[::ffff:a01:203]"),
        ("https://my_bastion.corp/", "https://my_bastion.corp"),
    ],
)
def test_proper_link_to_another_address_names_that_address(url: str, origin: str) -> None:
    with pytest.raises(LoginOriginNotAllowed) as caught:
        check(url)

    assert caught.value.origin == origin
    assert "secret" not in str(caught.value.__dict__)


def test_no_registered_address_allows_nothing_and_still_names_what_was_seen() -> None:
    with pytest.raises(LoginOriginNotAllowed) as caught:
        check("https://10.1.2.3:443?cbhinfo=x", origins=[])

    assert caught.value.origin == "https://10.1.2.3"


@pytest.mark.parametrize(
    "origin",
    [
        "http://127.0.0.1:8010",
        "http://localhost:8010",
        "http://[::1]:8010",
        "http://127.9.9.9",
        "http://localhost",
    ],
)
def test_sandbox_may_use_http_to_loopback(origin: str) -> None:
    assert check(f"{origin}/om?x", loopback=True, origins=[origin]) == origin


@pytest.mark.parametrize(
    "origin", ["http://10.1.2.3", "http://localhost.example.com", "http://0.0.0.0", "http://evil.localhost"]
)
def test_sandbox_may_not_use_http_elsewhere(origin: str) -> None:
    with pytest.raises(UnusableLoginUrl) as caught:
        check(f"{origin}/om", loopback=True, origins=[origin])

    assert caught.value.problem == "scheme"


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("https://Bastion.Example.com", "https://bastion.example.com"),
        ("HTTPS://10.1.2.3:443", "https://10.1.2.3"),
        ("http://localhost:80", "http://localhost"),
        ("https://10.1.2.3:8443", "https://10.1.2.3:8443"),
        ("https://[2001:0DB8::0001]:443", "https://[2001:db8::1]"),
        ("http://[::1]:443", "http://[::1]:443"),
    ],
)
def test_origin_has_one_spelling(text: str, canonical: str) -> None:
    assert parse_origin(text) == canonical
    assert parse_origin(canonical) == canonical


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("bastion.example.com", "form"),
        ("ssh://bastion.example.com", "http and https"),
        ("https://*.example.com", "valid name"),
        ("https://bastion.example.com/", "path"),
        ("https://bastion.example.com?x", "path"),
        ("https://bastion.example.com#x", "path"),
        ("https://user:hush@bastion.example.com", "user name"),
        ("https://127.1", "unusual spelling"),
        ("https://bastion.example.com:0", "port"),
        (" https://bastion.example.com", "characters"),
    ],
)
def test_origin_that_is_none_is_refused_with_a_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason) as caught:
        parse_origin(text)

    assert "hush" not in str(caught.value)
