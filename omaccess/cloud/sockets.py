"""Connections that keep a deadline and a byte budget, whatever the other side does.

A socket's own timeout bounds one read, so a server that sends a byte now and then holds a caller for ever.
Here every read and write first sets the timeout to what is left of the whole call. The call in progress
travels in a context variable, because neither `requests` nor `urllib3` would carry it down to the socket.
`ssl` bounds a handshake by the timeout at its start, as one piece, so arming it once is enough.

What went wrong is noted on the call where it is known for certain; `http.py` then does not have to guess it
from an exception that has been wrapped three times.

Rejected: a watchdog thread that closes the socket (a thread per call, and a race with the connection's next
user). Known limit: looking up a name (`getaddrinfo`) cannot be interrupted; the resolver's own timeout bounds
it.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from contextvars import ContextVar
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import urllib3.connection
import urllib3.connectionpool
from urllib3.exceptions import NewConnectionError

from omaccess.cloud.types import Deadline

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer, WriteableBuffer

    _ConnectionBase = urllib3.connection.HTTPConnection
else:
    _ConnectionBase = object


# A wait may end a hair before the deadline that it was given.
CLOCK_SLACK_SECONDS = 0.01


class Fault(StrEnum):
    """What broke a call, as noticed at the socket."""

    TIMEOUT = "timeout"
    TLS = "tls"
    OVERSIZED = "oversized"
    MALFORMED = "malformed"
    DROPPED = "dropped"


class CallInProgress:
    """One request and its answer: what it may still use up, and what became of it."""

    def __init__(self, deadline: Deadline, *, byte_budget: int, connect_seconds: float) -> None:
        self.deadline = deadline
        self.connect_seconds = connect_seconds
        self.byte_budget = self.bytes_left = byte_budget
        self.fault: Fault | None = None
        self.detail = ""
        # Whether a connection, TLS and proxy tunnel included, existed: only then can anything have been sent.
        self.established = False

    def note(self, fault: Fault, detail: str = "") -> None:
        """Remember the first fault; what follows it is only its consequence."""
        if self.fault is None:
            self.fault, self.detail = fault, detail

    def seconds_left(self) -> float:
        """Raises TimeoutError when there are none: a socket takes 0 for "do not block"."""
        left = self.deadline.remaining()
        if left <= 0:
            self.note(Fault.TIMEOUT)
            raise TimeoutError("The call's deadline has passed.")
        return left

    def spend(self, count: int) -> None:
        self.bytes_left -= count
        if self.bytes_left < 0:
            self.note(Fault.OVERSIZED)
            raise OSError("The answer is larger than allowed.")


call_in_progress: ContextVar[CallInProgress | None] = ContextVar("call_in_progress", default=None)


class _Armed:
    """Around one socket operation: the timeout before it, the fault after it. Idle outside a call."""

    __slots__ = ("_call",)

    def __init__(self, sock: socket.socket) -> None:
        self._call = call_in_progress.get()
        if self._call is not None:
            sock.settimeout(self._call.seconds_left())

    def __enter__(self) -> CallInProgress | None:
        return self._call

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is None or self._call is None:
            return
        if isinstance(error, TimeoutError):
            self._call.note(Fault.TIMEOUT)
        elif isinstance(error, ssl.SSLCertVerificationError):
            self._call.note(Fault.TLS, error.verify_message)
        elif isinstance(error, ConnectionError | ssl.SSLEOFError | ssl.SSLZeroReturnError):
            self._call.note(Fault.DROPPED)
        elif isinstance(error, ssl.SSLError):
            self._call.note(Fault.TLS, error.reason or "")


class DeadlineSocket(socket.socket):
    """A plain TCP socket under the deadline of the call in progress."""

    def recv_into(self, buffer: WriteableBuffer, nbytes: int = 0, flags: int = 0) -> int:
        with _Armed(self) as call:
            count = super().recv_into(buffer, nbytes, flags)
            if call is not None:
                call.spend(count)
            return count

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        with _Armed(self) as call:
            received = super().recv(bufsize, flags)
            if call is not None:
                call.spend(len(received))
            return received

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        with _Armed(self):  # the kernel loop behind it keeps one timeout for all of `data`
            super().sendall(data, flags)


class DeadlineTlsSocket(ssl.SSLSocket):
    """A TLS socket under the deadline of the call in progress. Bytes are counted after decryption."""

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Python asks so, before TLS begins, whether a peer that is gone had said something.

        When it was reset, Python 3.11 forgets to close this socket: nobody else has a hand on it.
        """
        try:
            return super().recv(buflen, flags)
        except OSError:
            if self.version() is None:
                self.close()
            raise

    def do_handshake(self, block: bool = False) -> None:
        with _Armed(self):
            super().do_handshake(block)

    def recv_into(self, buffer: WriteableBuffer, nbytes: int | None = None, flags: int = 0) -> int:
        with _Armed(self) as call:
            count = super().recv_into(buffer, nbytes, flags)
            if call is not None:
                call.spend(count)
            return count

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        with _Armed(self):  # `sendall` goes through here, piece by piece
            return super().send(data, flags)


class StrictResponse(http.client.HTTPResponse):
    """An answer's head that must parse without leftovers.

    What `http.client` cannot parse, `urllib3` would write to the log, headers with tokens included.
    """

    def begin(self) -> None:
        call = call_in_progress.get()
        try:
            super().begin()
            if self.msg.defects or self.msg.get_payload():
                raise http.client.HTTPException("The answer's headers are malformed.")
            if call is not None and self.length is not None and self.length > call.byte_budget:
                call.note(Fault.OVERSIZED)  # before `http.client` reserves memory for what is only claimed
                raise http.client.HTTPException("The answer claims to be larger than allowed.")
        except http.client.RemoteDisconnected:
            if call is not None:
                call.note(Fault.DROPPED)
            raise
        except http.client.HTTPException:
            if call is not None:
                call.note(Fault.MALFORMED)
            raise


class _DeadlineConnection(_ConnectionBase):
    """What plain and TLS connections share: connecting within the deadline, and knowing when to retire."""

    response_class = StrictResponse
    #: A connection that lay idle for longer may have been forgotten by something in between, which would show
    #: only as a request without an answer. Huawei's gateways and most firewalls keep them for a minute or
    #: more.
    max_idle_seconds = 30.0

    _used_at = 0.0

    def connect(self) -> None:
        super().connect()
        self._mark_established()

    def request(self, *args: Any, **kwargs: Any) -> None:
        if self.sock is not None:
            self._mark_established()
        super().request(*args, **kwargs)

    def _mark_established(self) -> None:
        self._used_at = time.monotonic()
        if (call := call_in_progress.get()) is not None:
            call.established = True

    @property
    def is_connected(self) -> bool:
        if not super().is_connected or time.monotonic() - self._used_at > self.max_idle_seconds:
            return False
        # Decrypted bytes that nobody asked for are not seen by waiting on the socket; they would be taken for
        # the beginning of the next answer.
        return not (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending())

    def _new_conn(self) -> socket.socket:
        """Connect to the first address that answers, each within `connect_seconds` and the deadline."""
        call = call_in_progress.get()
        if call is None:
            raise RuntimeError("Cloud connections are made by CloudTransport.request only.")
        failure: OSError = OSError("The name has no address.")
        try:
            addresses = socket.getaddrinfo(self._dns_host, self.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise NewConnectionError(self, "The name cannot be looked up.") from error
        for family, kind, protocol, _, address in addresses:
            sock = DeadlineSocket(family, kind, protocol)
            try:
                sock.settimeout(min(call.seconds_left(), call.connect_seconds))
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                sock.connect(address)
            except OSError as error:
                sock.close()
                failure = error
            else:
                return sock
        if call.deadline.remaining() < CLOCK_SLACK_SECONDS:
            call.note(Fault.TIMEOUT)
        raise NewConnectionError(self, "No address of the name accepts connections.") from failure


class DeadlineHTTPConnection(_DeadlineConnection, urllib3.connection.HTTPConnection):
    """Plain HTTP; in this product only to loopback."""


class DeadlineHTTPSConnection(_DeadlineConnection, urllib3.connection.HTTPSConnection):
    """HTTPS, directly or through a proxy's CONNECT."""


class DeadlineHTTPConnectionPool(urllib3.connectionpool.HTTPConnectionPool):
    ConnectionCls = DeadlineHTTPConnection


class DeadlineHTTPSConnectionPool(urllib3.connectionpool.HTTPSConnectionPool):
    ConnectionCls = DeadlineHTTPSConnection


POOL_CLASSES = {"http": DeadlineHTTPConnectionPool, "https": DeadlineHTTPSConnectionPool}
