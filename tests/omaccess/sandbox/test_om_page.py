from __future__ import annotations

import re
from collections.abc import Callable

from omaccess.sandbox.world import World
from tests.omaccess.sandbox.conftest import Caller
from tests.omaccess.sandbox.worlds import USER, small_world


def login_url(caller: Caller, account: str = "root") -> str:
    return str(caller.om_url(caller.token(), host_account_name=account).json()["login_url"])


def test_the_page_shows_host_account_and_iam_user(caller: Caller) -> None:
    page = caller.http.get(login_url(caller), timeout=20)

    assert page.status_code == 200
    assert 'id="session-host">web &lt;01&gt;<' in page.text
    assert 'id="session-account">root<' in page.text
    assert f'id="session-user">{USER}<' in page.text
    assert page.headers["Cache-Control"] == "no-store"
    assert page.headers["Referrer-Policy"] == "no-referrer"


def test_everything_on_the_page_is_escaped(caller: Caller) -> None:
    page = caller.http.get(login_url(caller, "böb+&<i>"), timeout=20)

    assert "böb+&amp;&lt;i&gt;" in page.text
    assert "<i>" not in page.text


def test_a_link_works_exactly_once(caller: Caller) -> None:
    link = login_url(caller)

    first, second = (caller.http.get(link, timeout=20) for _ in range(2))

    assert first.status_code == 200
    assert second.status_code == 410
    assert 'data-problem="used"' in second.text
    assert "web" not in second.text


def test_probing_a_link_uses_it_up(caller: Caller) -> None:
    link = login_url(caller)

    probe = caller.http.head(link, timeout=20)
    page = caller.http.get(link, timeout=20)

    assert (probe.status_code, probe.content) == (200, b"")
    assert page.status_code == 410


def test_a_link_expires(serve: Callable[[World], Caller]) -> None:
    caller = serve(small_world(om_url_seconds="30"))
    link = login_url(caller)

    caller.server.control.advance_clock(31)
    page = caller.http.get(link, timeout=20)

    assert page.status_code == 410
    assert 'data-problem="expired"' in page.text


def test_an_invented_link_opens_nothing(caller: Caller) -> None:
    page = caller.get("/", cbhinfo='"><script>alert(1)</script>')

    assert page.status_code == 410
    assert 'data-problem="unknown"' in page.text
    assert "alert" not in page.text


def test_the_page_needs_nothing_from_elsewhere_and_runs_only_its_own_script(caller: Caller) -> None:
    page = caller.http.get(login_url(caller), timeout=20)

    nonce = re.search(r"script-src 'nonce-([^']+)'", page.headers["Content-Security-Policy"])
    assert nonce is not None
    assert f'<script nonce="{nonce[1]}">' in page.text
    assert f'<style nonce="{nonce[1]}">' in page.text
    assert not re.search(r"(src|href)=\"(?!data:)", page.text)
    assert "Cross-Origin-Opener-Policy" not in page.headers


def test_the_address_by_itself_says_what_this_is(caller: Caller) -> None:
    page = caller.get("/")

    assert page.status_code == 200
    assert "Small &lt;world&gt;" in page.text
    assert caller.get("/favicon.ico").status_code == 204
