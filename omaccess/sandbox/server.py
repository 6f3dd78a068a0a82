"""An HTTP/1.1 server for the sandbox: threads, kept-alive connections, and answers that go wrong on request.

Not werkzeug's development server: that one closes every connection, so a client's pool would never be tested,
and it cannot send half an answer.
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import json
import logging
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterable
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from types import TracebackType
from typing import Any, Final
from urllib.parse import unquote_to_bytes

from omaccess.sandbox.app import SandboxApp, create_app
from omaccess.sandbox.control import Control
from omaccess.sandbox.replies import JSON_TYPE, error_body, status_line
from omaccess.sandbox.wire import WIRE_KEY, Wire
from omaccess.sandbox.world import World

log = logging.getLogger("omaccess.sandbox.server")

_LARGEST_REQUEST_BODY: Final = 12 * 1024 * 1024
_UNREADABLE: Final = {
    413: (413, "Request entity too large"),
    414: (414, "URI too large"),
    431: (494, "Request headers too large."),
}
_IDLE_SECONDS: Final = 75.0
_LONGEST_DRIP_SECONDS: Final = 120.0


class SandboxError(Exception):
    """The sandbox cannot start; the text says why in one sentence."""


class SandboxServer:
    """Serves one world on a loopback address.

    `port=0` takes a free port. After `stop()`, `start()` listens on the same port again with everything as it
    was, which is how tests take the cloud away and bring it back. Also a context manager.
    """

    def __init__(self, world: World, host: str = "127.0.0.1", port: int = 0, control_token: str | None = None) -> None:
        """Raises SandboxError unless `host` is `localhost` or a loopback address."""
        self._world = world
        self._host = _loopback(host)
        self._port = port
        self._control_token = control_token
        self._app: SandboxApp | None = None
        self._listener: _Listener | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """Where it answers, without a slash at the end. Known from the first `start()` on."""
        shown = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{shown}:{self._port}"

    @property
    def app(self) -> SandboxApp:
        if self._app is None:
            raise SandboxError("The sandbox has not been started.")
        return self._app

    @property
    def control(self) -> Control:
        """Changes the sandbox from this process; needs no token."""
        return self.app.control

    def start(self) -> None:
        """Listen and serve in the background.

        Raises:
            SandboxError: the port is taken or may not be used.
        """
        if self._listener is not None:
            return
        try:
            listener = _Listener(self._host, self._port)
        except OSError as error:
            raise SandboxError(
                f"The sandbox cannot use port {self._port} on {self._host}: {error.strerror or error}."
            ) from error
        self._port = listener.server_address[1]
        if self._app is None:
            self._app = create_app(self._world, base_url=self.url, control_token=self._control_token)
        self._app.cloud.reopen()
        listener.application = self._app
        self._listener = listener
        self._thread = threading.Thread(
            target=listener.serve_forever, kwargs={"poll_interval": 0.05}, name="sandbox", daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening, cut open connections, let waiting calls end. Does nothing when not started."""
        if self._listener is None or self._thread is None:
            return
        self.app.cloud.close()
        self._listener.shutdown()
        self._listener.server_close()
        self._listener.cut_connections()
        self._thread.join(timeout=10)
        self._listener = self._thread = None

    def __enter__(self) -> SandboxServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _loopback(host: str) -> str:
    """The address to bind; anything a neighbour could reach is refused, because passwords here are public."""
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError:
        address = None
    if address is None or not address.is_loopback:
        raise SandboxError(f"The sandbox serves loopback addresses only, not {host!r}.")
    return str(address)


class _Listener(ThreadingMixIn, TCPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_address = True
    request_queue_size = 128
    application: SandboxApp

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._open: set[socket.socket] = set()
        self._open_lock = threading.Lock()
        super().__init__((host, port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._open_lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def cut_connections(self) -> None:
        """Wake the threads that wait on kept-alive connections; each closes its own socket."""
        with self._open_lock:
            for connection in self._open:
                with contextlib.suppress(OSError):  # the client was faster
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        error = sys.exception()
        if not isinstance(error, ConnectionError | TimeoutError):  # a client that left is no event
            log.error("sandbox_connection_failed", exc_info=error)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    disable_nagle_algorithm = True
    server: _Listener

    def serve(self) -> None:
        body = self._read_body()
        if body is None:
            return
        wire = Wire()
        status, headers, content = self._call(body, wire)
        head = self._head(status, headers, len(content))
        if self.command == "HEAD":
            content = b""
        self._send(wire, head, content)

    # The base class looks for one method per verb.
    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = serve

    def log_message(self, format: str, *args: object) -> None:
        """Silence: the application logs, and the base class would write login URLs to stderr."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is not even a request, as the gateway does: JSON, and 494 where the base class says 431."""
        status, text = _UNREADABLE.get(code, (int(code), "API request error"))
        request_id = secrets.token_hex(16)
        body = error_body("gateway", status=status, code="APIGW.0201", message=text, request_id=request_id)
        content = json.dumps(body).encode()
        headers = [("Content-Type", JSON_TYPE), ("X-Request-Id", request_id), ("Server", "api-gateway")]
        self.close_connection = True
        self.wfile.write(self._head(status_line(status), headers, len(content)))
        if self.command != "HEAD":
            self.wfile.write(content)

    def _read_body(self) -> bytes | None:
        """The whole body, read first so that a kept-alive connection stays in step; None after a refusal."""
        length = self.headers.get("Content-Length", "0")
        if "Transfer-Encoding" in self.headers or not (length.isascii() and length.isdigit()):
            self.send_error(411)
        elif len(length) > 9 or int(length) > _LARGEST_REQUEST_BODY:
            self.send_error(413)
        else:
            return self.rfile.read(int(length))
        return None

    def _call(self, body: bytes, wire: Wire) -> tuple[str, list[tuple[str, str]], bytes]:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: object = None
        ) -> Any:  # the write() callable of old WSGI, which nothing here uses
            started.append((status, headers))

        try:
            parts: Iterable[bytes] = self.server.application(self._environ(body, wire), start_response)
            content = b"".join(parts)
        except Exception:  # a defect of ours must be one bad answer, not a silent connection
            log.exception("sandbox_call_failed")
            return "500 Internal Server Error", [("Content-Type", "text/plain")], b"sandbox error"
        status, headers = started[-1]
        return status, headers, content

    def _environ(self, body: bytes, wire: Wire) -> dict[str, Any]:
        path, _, query = self.path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": str(self.server.server_address[0]),
            "SERVER_PORT": str(self.server.server_address[1]),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "REMOTE_PORT": str(self.client_address[1]),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            WIRE_KEY: wire,
        }
        for name, value in self.headers.items():
            if "_" in name:
                continue  # WSGI could not tell it from the name with "-", which may be a signed one
            key = name.upper().replace("-", "_")
            if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
                key = f"HTTP_{key}"
            environ[key] = f"{environ[key]},{value}" if key in environ else value
        return environ

    def _head(self, status: str, headers: list[tuple[str, str]], length: int) -> bytes:
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
        names = {name.lower() for name, _ in headers}
        if "content-length" not in names and not status.startswith(("204", "304")):
            lines.append(f"Content-Length: {length}")
        if self.close_connection:
            lines.append("Connection: close")
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def _send(self, wire: Wire, head: bytes, content: bytes) -> None:
        """Send an answer as far and as fast as its fault allows."""
        if wire.drop:
            self.close_connection = True
        if wire.drop == "silently":
            return
        if wire.drop == "mid_headers":
            head, content = head[: len(head) // 2], b""
        elif wire.drop == "mid_body":
            content = content[: len(content) // 2]
        if wire.drip is None:
            self.wfile.write(head + content)
        elif wire.drip.part == "headers":
            self._drip(head, wire)
            self.wfile.write(content)
        else:
            self.wfile.write(head)
            self._drip(content, wire)

    def _drip(self, content: bytes, wire: Wire) -> None:
        if wire.drip is None:
            return
        deadline = time.monotonic() + _LONGEST_DRIP_SECONDS
        stopping = self.server.application.cloud.stopping
        for start in range(0, len(content), wire.drip.piece_bytes):
            self.wfile.write(content[start : start + wire.drip.piece_bytes])
            if stopping.wait(wire.drip.interval_seconds) or time.monotonic() > deadline:
                raise ConnectionAbortedError("the drip was cut short")
