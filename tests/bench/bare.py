"""What a launch costs at the least: two commits and the call, answered before anything else of the portal looks at it.

Served by gunicorn with the product's configuration and database, under tests.bench.bare_settings.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import requests
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from requests.adapters import HTTPAdapter

PATH = "/bare/"
_TABLE = "bench_bare"


class BareView:
    """Middleware, so that neither session nor CSRF nor anything else is asked for."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response
        self._http = requests.Session()
        self._http.trust_env = False
        self._http.mount("http://", HTTPAdapter(pool_connections=1, pool_maxsize=32))
        self._http.headers["X-Auth-Token"] = os.environ["BENCH_TOKEN"]

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self._launch() if request.path_info == PATH else self._get_response(request)

    def _launch(self) -> HttpResponse:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {_TABLE} (state) VALUES ('pending') RETURNING id")
            (row,) = cursor.fetchone()
        answer = self._http.get(os.environ["BENCH_CALL"], timeout=10)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(f"UPDATE {_TABLE} SET state = 'opened' WHERE id = %s", [row])
        response = HttpResponse(status=303)
        response["Location"] = answer.json()["login_url"]
        return response
