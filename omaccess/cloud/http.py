"""HTTP to Huawei Cloud: the only module that knows `requests` and `urllib3`.

The rules every request keeps: only to allowed endpoints, TLS verified, no redirects, no cookies, nothing from
the environment (`.netrc`, proxies, CA variables), one deadline over everything, at most 1 MB per answer, no
compression (so that the limit is on what is held in memory). Nothing of `requests` or `urllib3` gets out, not
even as an exception's context: their messages hold addresses and headers.
"""

from __future__ import annotations

import http.client
import json as json_module
import re
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from threading import Lock
from typing import Any
from urllib.parse import quote, urlsplit

import certifi
import requests
import urllib3
from requests.adapters import HTTPAdapter

from omaccess.cloud.endpoints import EndpointRules
from omaccess.cloud.envelopes import request_id_of
from omaccess.cloud.errors import (
    CloudConnectionFailed,
    CloudError,
    CloudTimeout,
    CloudTlsFailed,
    UnreadableAnswer,
)
from omaccess.cloud.sockets import (
    POOL_CLASSES,
    CallInProgress,
    DeadlineTlsSocket,
    Fault,
    call_in_progress,
)
from omaccess.cloud.types import Deadline, NotPickled

__all__ = ["Answer", "CloudTransport", "EndpointRules", "path_segment"]

MAX_ANSWER_BYTES = 1024 * 1024
USER_AGENT = "sallyport"

_SENDABLE = re.compile(r"[\x20-\x7e]*")
# OSError and ValueError are the roots of everything `requests` raises; the others do not derive from them. The last two
# come of a chunk that claims to be longer than any memory.
_TRANSPORT_FAULTS = (
    OSError,
    ValueError,
    urllib3.exceptions.HTTPError,
    http.client.HTTPException,
    OverflowError,
    MemoryError,
)


@dataclass(frozen=True, slots=True)
class Answer(NotPickled):
    """What came back: any status, redirects included. Headers and body may be secrets."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    """What the request held that must not be kept when the answer repeats it."""


def path_segment(value: str) -> str:
    """`value` as one segment of a path, whatever it holds; also `..` stays a name."""
    return quote(value, safe="") if value.strip(".") else value.replace(".", "%2E")


class CloudTransport:
    """Sends requests to allowed endpoints over pooled connections, one pool per endpoint. Safe for threads.

    Args:
        rules: where requests may go.
        ca_bundle: file of PEM certificates to trust instead of the bundled public ones.
        proxy: `http://[user:password@]host:port`; https requests go through its CONNECT. Plain http, which
            exists to loopback only, never does.
        connect_seconds: the most that connecting to one address may take.
        pool_size: idle connections kept per endpoint.

    Raises:
        ValueError: the proxy is not of that form (the message does not repeat it).
        OSError: the CA bundle cannot be read.
    """

    def __init__(
        self,
        rules: EndpointRules,
        *,
        ca_bundle: str | None = None,
        proxy: str | None = None,
        connect_seconds: float = 3.0,
        pool_size: int = 32,
    ) -> None:
        self._rules = rules
        self._proxies = {"https": _checked_proxy(proxy)} if proxy else {}
        self._connect_seconds = connect_seconds
        self._pool_size = pool_size
        self._tls = _tls_context(ca_bundle)
        self._sessions: dict[str, requests.Session] = {}
        self._lock = Lock()

    def request(
        self,
        method: str,
        endpoint: str,
        path: str,
        *,
        deadline: Deadline,
        service: str,
        query: Sequence[tuple[str, str]] = (),
        json: object = None,
        headers: Mapping[str, str] | None = None,
        secrets: tuple[str, ...] = (),
    ) -> Answer:
        """Send one request, read the whole answer. Nothing is repeated here.

        Args:
            path: absolute, already percent-encoded (see `path_segment`).
            query: pairs in the order to send; encoded here, a space as `%20`.
            json: a body to send as JSON; None sends none.
            headers: printable ASCII only.
            secrets: what of all this is one; hidden wherever the answer repeats it.

        Raises:
            EndpointNotAllowed: nothing was sent.
            CloudTimeout, CloudConnectionFailed, CloudTlsFailed: no answer.
            UnreadableAnswer: an answer that is no proper HTTP, cut short, compressed or larger than 1 MB.
            ValueError: a header that cannot be sent (a mistake of the caller; its value is not in the
                message).
        """
        base = self._rules.check(endpoint, service=service)
        for name, value in (headers or {}).items():
            if not _SENDABLE.fullmatch(value) or value != value.strip():
                raise ValueError(f"Header {name} holds characters that cannot be sent.")
        text = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in query)
        request = requests.Request(method, f"{base}{path}{'?' if text else ''}{text}", headers=dict(headers or {}))
        if json is not None:
            request.data = json_module.dumps(json).encode("ascii")
            request.headers["Content-Type"] = "application/json;charset=utf8"
        return self._send(base, request, deadline, service, secrets)

    def close(self) -> None:
        """Close the idle connections. The transport may be used again."""
        with self._lock:
            sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.close()

    def _send(
        self, base: str, request: requests.Request, deadline: Deadline, service: str, secrets: tuple[str, ...]
    ) -> Answer:
        """The one place where faults of the transport become ours."""
        if deadline.expired:
            raise CloudTimeout(service=service)
        session = self._session(base)
        call = CallInProgress(deadline, byte_budget=MAX_ANSWER_BYTES, connect_seconds=self._connect_seconds)
        response: requests.Response | None = None
        token = call_in_progress.set(call)
        try:
            prepared = session.prepare_request(request)
            # To the byte: `requests` decodes `%2E` and the like, and `%2E%2E` must not become a way up.
            prepared.url = request.url
            response = session.send(
                prepared,
                timeout=deadline.remaining() or None,  # for urllib3's own waits; the sockets know better
                allow_redirects=False,
                stream=True,
            )
            return _read(response, service, secrets)
        except _TRANSPORT_FAULTS:
            failure = _failure(call, response, service, secrets)
        finally:
            call_in_progress.reset(token)
            if response is not None:
                response.close()
        # Outside the handler, so that the library's exception is not even this one's hidden context.
        raise failure

    def _session(self, base: str) -> requests.Session:
        with self._lock:
            session = self._sessions.get(base)
            if session is None:
                session = self._sessions[base] = _PlainSession(self._tls, self._proxies, self._pool_size)
            return session


def _read(response: requests.Response, service: str, secrets: tuple[str, ...]) -> Answer:
    """The whole answer; a connection that might hold more than it is not used again."""
    facts: dict[str, Any] = {
        "service": service,
        "status": response.status_code,
        "request_id": request_id_of(response.headers, secrets=secrets),
    }
    if response.headers.get("Content-Encoding", "identity").strip().lower() not in ("identity", ""):
        raise UnreadableAnswer(problem="compressed", **facts)
    if response.status_code < 200:
        # An interim answer that `http.client` took for a final one; unread, so the connection is dropped with
        # it, for the real answer would follow and be taken for the answer to somebody else's request.
        raise UnreadableAnswer(problem="status", **facts)
    body = response.raw.read(decode_content=False)
    return Answer(status=response.status_code, headers=response.headers, body=body, secrets=secrets)


def _failure(
    call: CallInProgress, response: requests.Response | None, service: str, secrets: tuple[str, ...]
) -> CloudError:
    """What became of a call that the transport gave up."""
    status = None if response is None else response.status_code
    request_id = "" if response is None else request_id_of(response.headers, secrets=secrets)
    facts: dict[str, Any] = {"service": service, "status": status, "request_id": request_id}
    if call.fault is Fault.TIMEOUT:
        return CloudTimeout(**facts)
    if call.fault is Fault.TLS:
        return CloudTlsFailed(description=call.detail, **facts)
    if call.fault in (Fault.OVERSIZED, Fault.MALFORMED) and call.established:
        return UnreadableAnswer(problem=str(call.fault), **facts)
    if response is not None and call.fault is not Fault.DROPPED:
        return UnreadableAnswer(problem="truncated", **facts)
    return CloudConnectionFailed(sent=call.established, **facts)


class _PlainSession(requests.Session):
    """A session that takes nothing from its surroundings and keeps nothing but connections."""

    def __init__(self, tls: ssl.SSLContext, proxies: Mapping[str, str], pool_size: int) -> None:
        super().__init__()
        self.trust_env = False
        self.proxies = dict(proxies)
        self.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        self.headers.clear()
        self.headers.update({"User-Agent": USER_AGENT, "Accept": "application/json", "Accept-Encoding": "identity"})
        self.adapters.clear()
        adapter = _DeadlineAdapter(tls, pool_size)
        self.mount("https://", adapter)
        self.mount("http://", adapter)

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """None: even with redirects off, `requests` reads the body and parses the target of one."""
        return None


class _DeadlineAdapter(HTTPAdapter):
    """Uses our connections and our TLS context, also behind a proxy."""

    def __init__(self, tls: ssl.SSLContext, pool_size: int) -> None:
        self._tls = tls
        super().__init__(pool_connections=1, pool_maxsize=pool_size, max_retries=0, pool_block=False)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, ssl_context=self._tls, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOL_CLASSES

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, ssl_context=self._tls, **kwargs)
        manager.pool_classes_by_scheme = POOL_CLASSES
        return manager

    def build_connection_pool_key_attributes(self, request: Any, verify: Any, cert: Any = None) -> tuple[Any, Any]:
        """No CA file by name: the context holds it already, and would load it again for every connection."""
        host, _ = super().build_connection_pool_key_attributes(request, True, None)
        return host, {"cert_reqs": "CERT_REQUIRED"}

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """Always required; the context holds the certificates, so there is nothing to set per request."""
        conn.cert_reqs = "CERT_REQUIRED"


def _tls_context(ca_bundle: str | None) -> ssl.SSLContext:
    # Not ssl.create_default_context(): it obeys SSLKEYLOGFILE and SSL_CERT_FILE from the environment.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION
    context.hostname_checks_common_name = False
    context.load_verify_locations(cafile=ca_bundle or certifi.where())
    context.sslsocket_class = DeadlineTlsSocket
    return context


def _checked_proxy(proxy: str) -> str:
    try:
        parts = urlsplit(proxy)
        usable = parts.scheme == "http" and bool(parts.hostname) and parts.port is not None
    except ValueError:
        usable = False
    if not usable or parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError("The egress proxy needs the form http://[user:password@]host:port.")
    return proxy
