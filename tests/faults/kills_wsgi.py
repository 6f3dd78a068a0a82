"""The portal's WSGI application in a process that kills itself at a chosen step of a request. For tests only.

A request that carries `X-Kill-At: 7` ends its process by SIGKILL right before the seventh step (see `kills_steps`). Its
last two steps are the answer itself, before it leaves (`answer`) and after it has left (`sent`). A request with fewer
steps is answered, and `X-Steps` names them in order. `X-Process` says who answers.

With `X-Task` the function of that name in `omaccess.tasks` is called instead, on the same steps.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from wsgiref.types import StartResponse, WSGIEnvironment
from wsgiref.util import setup_testing_defaults

from django.db import connections
from django.utils.module_loading import import_string

from portal.startup import verify
from portal.wsgi import application as portal
from tests.faults.kills_steps import count_what_is_sent, steps

Answer = tuple[str, list[tuple[str, str]], bytes]
"""Status, headers, body."""


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """The WSGI entry: tests.faults.kills_wsgi"""
    if "HTTP_X_KILL_AT" not in environ:
        return portal(environ, start_response)
    return _mortal(environ, start_response)


def _mortal(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    steps.begin(kill_at=int(environ["HTTP_X_KILL_AT"]))
    try:
        with ExitStack() as stack:
            status, headers, body = (
                _done(environ["HTTP_X_TASK"]) if "HTTP_X_TASK" in environ else _answer(environ, stack)
            )
            steps.come_to("answer")
            told = [("X-Steps", " ".join([*steps.taken, "sent"])), ("X-Process", str(os.getpid()))]
            start_response(status, [*headers, *told])
            yield body
            steps.come_to("sent")
    finally:
        steps.end()


def _answer(environ: WSGIEnvironment, stack: ExitStack) -> Answer:
    """The portal's whole answer. It is closed by the stack, after it has left, as a server does."""
    heads: list[tuple[str, list[tuple[str, str]]]] = []

    def start(status: str, headers: list[tuple[str, str]], *_exception: object) -> Callable[[bytes], object]:
        heads.append((status, headers))
        return bytes

    parts = portal(environ, start)
    stack.callback(getattr(parts, "close", lambda: None))
    body = b"".join(parts)
    return *heads[-1], body


def _done(task: str) -> Answer:
    import_string(f"omaccess.tasks.{task}")()
    body = b"done\n"
    return "200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))], body


def _load_everything() -> None:
    """What a worker's start and first request would load, so that forking a new one costs little."""
    verify()
    environ: WSGIEnvironment = {"PATH_INFO": "/launches/opening/", "HTTP_HOST": "localhost"}
    setup_testing_defaults(environ)
    with ExitStack() as stack:
        _answer(environ, stack)
    connections.close_all()


_load_everything()
count_what_is_sent()
