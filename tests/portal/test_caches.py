"""The token cache in Redis: sealed texts go in and come out, and nothing that is found there is ever run."""

from __future__ import annotations

import pickle
import secrets
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.cache.backends.redis import RedisCache

from tests import production


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.fail, ("a value in Redis was run",)


def cache_in(url: str, prefix: str) -> RedisCache:
    return RedisCache(url, {"KEY_PREFIX": prefix, "OPTIONS": {"serializer": "portal.caches.TextSerializer"}})


@pytest.mark.redis
@pytest.mark.parametrize(
    "planted", [pickle.dumps(Hostile()), pickle.dumps("a text"), b"rubbish", b"\xff\xfe", b"7"], ids=repr
)
def test_what_somebody_else_put_into_redis_is_read_as_text(redis_url: str, redis_prefix: str, planted: bytes) -> None:
    cache = cache_in(redis_url, redis_prefix)
    with redis.Redis.from_url(redis_url) as raw:
        raw.set(cache.make_key("token:x"), planted, ex=60)

    found = cache.get("token:x")
    cache.close()

    assert isinstance(found, str)


@pytest.mark.redis
def test_text_comes_back_as_it_was(redis_url: str, redis_prefix: str) -> None:
    cache = cache_in(redis_url, redis_prefix)
    text = f"v1.k1.{secrets.token_urlsafe(9000)} ünïcode"

    cache.set("token:x", text, timeout=60)
    found = cache.get("token:x")
    cache.close()

    assert found == text


def test_production_keeps_its_tokens_by_this_serializer(tmp_path: Path) -> None:
    environment = {**production.variables(tmp_path), "CACHE_URL": "redis://127.0.0.1:1/0"}
    ask = "from django.conf import settings; cache = settings.CACHES['tokens']; "
    ask += "print(cache['OPTIONS']['serializer'], cache['VERSION'])"

    answer = production.manage("shell", "--no-imports", "--command", ask, env=environment, is_quiet=True)

    # Version 1 was pickled: while an earlier release still runs, it must not find what it cannot read.
    assert answer.stdout.strip() == "portal.caches.TextSerializer 2", answer.stderr
