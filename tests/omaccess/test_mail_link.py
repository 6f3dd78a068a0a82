"""A mail to whoever has the next move, ready to be sent."""

from __future__ import annotations

from email.message import EmailMessage
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omaccess.mail_link import mail_link


def read(link: str) -> tuple[str, str, str]:
    """Address, subject and text, as a mail program reads them."""
    parts = urlsplit(link)
    fields = parse_qs(parts.query, strict_parsing=True)
    assert parts.scheme == "mailto"
    assert fields.keys() == {"subject", "body"}
    return unquote(parts.path), fields["subject"][0], fields["body"][0]


@pytest.mark.parametrize(
    ("contact", "address"),
    [
        ("shop@acme.example", "shop@acme.example"),
        ("Shop team <shop+night@acme.example>, #shop", "shop+night@acme.example"),
        ("call 4711 or write to a@b.example or c@d.example", "a@b.example"),
    ],
)
def test_it_goes_to_the_first_address_of_a_contact(contact: str, address: str) -> None:
    assert read(mail_link(contact, subject="s", lines=["one", "two"])) == (address, "s", "one\r\ntwo")


@pytest.mark.parametrize("contact", ["", "call 4711", "@shop", "shop@", "https://chat.example/@shop"])
def test_without_an_address_there_is_no_link(contact: str) -> None:
    assert mail_link(contact, subject="s", lines=["one"]) == ""


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(subject=TEXT, line=TEXT)
def test_nothing_in_the_text_becomes_another_field_or_another_recipient(subject: str, line: str) -> None:
    assert read(mail_link("a@b.example", subject=subject, lines=[line])) == ("a@b.example", subject, line)


def test_an_address_that_would_add_a_recipient_is_cut() -> None:
    address, _subject, _body = read(mail_link("a@b.example,c@d.example?cc=e@f.example", subject="s", lines=["x"]))

    message = EmailMessage()
    message["To"] = address
    assert [mailbox.addr_spec for mailbox in message["To"].addresses] == ["a@b.example"]
