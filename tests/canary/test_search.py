"""The search itself: a canary that cannot die shows nothing, so a planted secret is found in every sink."""

from __future__ import annotations

import base64
import html
import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import pytest
import redis
from django.contrib.sessions.backends.db import SessionStore
from django.core import mail
from django.core.cache import cache
from django.db import connection
from django.http import HttpResponse
from django.utils import timezone

from accounts.models import User
from omaccess.audit import Kind, record
from omaccess.locks import writing
from omaccess.meta import Meta
from tests.canary.issued import SLICE, Issued
from tests.canary.sinks import Sinks, add_database, add_files, add_mail, add_redis, add_response
from tests.factories import HostFactory

SECRET = "MIIF" + "Ab-9+x/Q" * 20


@pytest.fixture
def planted() -> Issued:
    found = Issued()
    found.add_token(SECRET)
    return found


@pytest.mark.parametrize(
    "write",
    [
        str,
        lambda secret: quote(secret, safe=""),
        quote,
        lambda secret: f"before{secret}after",
        lambda secret: secret[: len(secret) // 2 + SLICE],
        lambda secret: secret[5:],
        lambda secret: base64.b64encode(secret.encode()).decode(),
        lambda secret: base64.b64encode(b"x" + secret.encode() + b"yz").decode(),
        lambda secret: base64.urlsafe_b64encode(b"xy" + secret.encode()).decode(),
        lambda secret: secret.encode().hex(),
        lambda secret: json.dumps({"a": secret}),
        lambda secret: json.dumps({"a": secret}).replace("/", "\\/"),
        lambda secret: repr(secret.encode()),
        lambda secret: html.escape(secret),
    ],
)
@pytest.mark.parametrize(
    "secret", ["pass word/with+odd&chars", SECRET, "-_".join("abcdefghijklmnopqrstuvwxyz0123456789" * 2)]
)
def test_the_search_would_find_a_secret(write: Callable[[str], str], secret: str) -> None:
    sinks, issued = Sinks(), Issued()
    issued.add_token(secret)
    is_cut = len(write(secret)) < len(secret)
    sinks.add("place", write(secret))

    found = sinks.leaks(issued)

    assert found or (is_cut and len(secret) < 2 * SLICE)


def test_the_search_finds_nothing_where_there_is_nothing(planted: Issued) -> None:
    sinks = Sinks()
    sinks.add("place", "nothing of interest " * 100)

    assert sinks.leaks(planted) == []


def test_a_secret_that_is_too_short_to_be_found_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter than"):
        Issued().add("password", "short")


def test_a_secret_would_be_found_in_a_log_at_debug(planted: Issued, sinks: Sinks, logged: None) -> None:
    logging.getLogger("somebody.s.library").debug("asked with %s", SECRET)
    logging.getLogger("django.server").debug("keeps to itself", extra={"token": SECRET})
    try:
        raise RuntimeError(SECRET)
    except RuntimeError:
        logging.getLogger("omaccess").exception("defect")

    leaks = sinks.leaks(planted)

    for place in ("plain", "attributes", "as production writes it", "exceptions"):
        assert any(leak.endswith(f"log: {place}") for leak in leaks), place


@pytest.mark.database
def test_a_secret_would_be_found_in_every_kind_of_column(db: None, planted: Issued) -> None:
    session = SessionStore()
    session["draft"] = SECRET
    session.create()
    cache.set("token", {"value": SECRET})
    HostFactory(owner=SECRET[:60])
    with writing():
        record(Kind.DEMO_LOADED, by=None, meta=Meta(), nested={"list": [SECRET]})
    sinks = Sinks()
    add_database(sinks)

    leaks = " ".join(sinks.leaks(planted))

    for place in ("table omaccess_host", "table omaccess_auditevent", "table portal_cache, decoded", "sessions"):
        assert place in leaks


@pytest.mark.database
def test_a_secret_of_a_binary_column_would_be_found(db: None, planted: Issued) -> None:
    with connection.cursor() as cursor:
        kind = "bytea" if connection.vendor == "postgresql" else "blob"
        cursor.execute(f"CREATE TABLE planted (content {kind})")
        cursor.execute("INSERT INTO planted VALUES (%s)", [pickle.dumps({"token": SECRET})])
        sinks = Sinks()
        add_database(sinks)
        cursor.execute("DROP TABLE planted")

    assert sinks.leaks(planted)


def test_a_secret_would_be_found_in_a_file(tmp_path: Path, planted: Issued) -> None:
    sinks = Sinks()
    path = tmp_path / "pages"
    path.write_bytes(b"\0\xff" * 100 + SECRET.encode() + b"\n\0")

    assert add_files(sinks, "file", [path]) > 100
    assert sinks.leaks(planted)


@pytest.mark.redis
def test_a_secret_would_be_found_in_every_kind_of_redis_value(
    redis_url: str, redis_prefix: str, planted: Issued
) -> None:
    with redis.Redis.from_url(redis_url) as client:
        writes: list[Callable[[str], object]] = [
            lambda key: client.set(key, pickle.dumps({"a": SECRET})),
            lambda key: client.lpush(key, base64.b64encode(SECRET.encode())),
            lambda key: client.sadd(key, SECRET),
            lambda key: client.hset(key, "field", SECRET),
            lambda key: client.zadd(key, {SECRET: 1}),
        ]
        for write in writes:
            sinks = Sinks()
            write(f"{redis_prefix}one")
            assert add_redis(sinks, redis_url, redis_prefix) == 1
            client.delete(f"{redis_prefix}one")

            assert sinks.leaks(planted)


def test_a_secret_would_be_found_in_mail(planted: Issued) -> None:
    mail.send_mail("Subject", f"see {SECRET}", "portal@example.com", ["ada@example.com"])
    sinks = Sinks()
    add_mail(sinks)

    assert sinks.leaks(planted)


@pytest.mark.parametrize("place", ["body", "header", "cookie", "reason"])
def test_a_secret_would_be_found_in_every_part_of_an_answer(place: str, planted: Issued) -> None:
    response = HttpResponse(SECRET if place == "body" else "", reason=SECRET if place == "reason" else None)
    if place == "header":
        response["Location"] = f"/?token={quote(SECRET)}"
    if place == "cookie":
        response.set_cookie("token", SECRET)
    sinks = Sinks()
    add_response(sinks, response)

    assert sinks.leaks(planted)


def test_the_answer_that_hands_a_link_over_may_hold_it_in_its_location_only(planted: Issued) -> None:
    sinks = Sinks()
    headers = {"Location": SECRET, "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    add_response(sinks, HttpResponse(status=303, headers=headers), is_hand_over=True)
    assert sinks.leaks(planted) == []

    add_response(sinks, HttpResponse(status=303, headers={**headers, "Link": SECRET}), is_hand_over=True)
    assert sinks.leaks(planted)


@pytest.mark.database
def test_a_person_with_a_secret_for_a_name_would_be_found(db: None, planted: Issued) -> None:
    """Not only in what tests plant: in a row that the portal itself writes."""
    User.objects.create(username=SECRET[:100], last_login=timezone.now())
    sinks = Sinks()
    add_database(sinks)

    assert sinks.leaks(planted)
