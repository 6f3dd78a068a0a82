"""The cloud's side of the wire, to the byte: scripted answers on a real socket, plain or TLS.

This stands for Huawei Cloud (and for what is in between), not for our code. Every reply takes the socket and
the event that ends the test; whatever waits, waits on that event, so nothing outlives a test.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PATIENCE_SECONDS = 10.0
Reply = Callable[[socket.socket, threading.Event], bool]  # True: the connection goes on


@dataclass
class Received:
    """One request as it came in."""

    method: str
    target: str
    headers: dict[str, str]  # lower-case names
    body: bytes
    connection: int  # the number of the connection it came on

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def answer(
    body: object = b"", status: int = 200, headers: Iterable[tuple[str, str]] = (), *, keep: bool = True
) -> Reply:
    """A proper answer; anything but bytes goes out as JSON."""
    payload = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(payload)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return raw("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + payload, keep=keep)


def raw(data: bytes, *, keep: bool = False) -> Reply:
    def reply(sock: socket.socket, over: threading.Event) -> bool:
        sock.sendall(data)
        return keep

    return reply


def drip(start: bytes, drops: bytes, *, seconds: float = 0.02) -> Reply:
    """`start` at once, then one byte of `drops` after another, over and over, until the client goes."""

    def reply(sock: socket.socket, over: threading.Event) -> bool:
        sock.sendall(start)
        position = 0
        while not over.wait(seconds):
            sock.sendall(drops[position % len(drops) :][:1])
            position += 1
        return False

    return reply


def hang(start: bytes = b"") -> Reply:
    def reply(sock: socket.socket, over: threading.Event) -> bool:
        sock.sendall(start)
        over.wait(PATIENCE_SECONDS)
        return False

    return reply


def drop(start: bytes = b"", *, reset: bool = False) -> Reply:
    """Close without (the rest of) an answer, politely or by a reset."""

    def reply(sock: socket.socket, over: threading.Event) -> bool:
        sock.sendall(start)
        if reset:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        return False

    return reply


@dataclass
class Wire:
    """A server on loopback that plays one reply per request, the last one over and over.

    `greeting` is played on every new connection before anything is read (instead of a TLS handshake, say).
    """

    replies: list[Reply]
    tls: ssl.SSLContext | None = None
    greeting: Reply | None = None
    host: str = "127.0.0.1"
    received: list[Received] = field(default_factory=list)
    connections: int = 0

    def __enter__(self) -> Self:
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        self._listener = socket.create_server((self.host, 0), family=family)
        self.port: int = self._listener.getsockname()[1]
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for sock in self._open:
                with contextlib.suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE_SECONDS)

    @property
    def url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{self.port}"

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self.connections += 1
                self._open.add(sock)
                thread = threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True)
                self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        sock.settimeout(PATIENCE_SECONDS)
        # The client going away, or failing the handshake, is what many tests are about.
        with contextlib.suppress(OSError), contextlib.ExitStack() as stack:
            stack.callback(self._forget, sock)
            if self.greeting is not None and not self.greeting(sock, self._over):
                return
            if self.tls is not None:
                raw_sock, sock = sock, self.tls.wrap_socket(sock, server_side=True)
                stack.callback(sock.close)
                with self._lock:
                    self._open.discard(raw_sock)
                    self._open.add(sock)
                stack.callback(self._forget, sock)
            while (request := read_request(sock, number)) is not None:
                with self._lock:
                    reply = self.replies[min(len(self.received), len(self.replies) - 1)]
                    self.received.append(request)
                if not reply(sock, self._over):
                    return

    def _forget(self, sock: socket.socket) -> None:
        with self._lock:
            self._open.discard(sock)
        sock.close()


def read_request(sock: socket.socket, connection: int) -> Received | None:
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = sock.recv(1)
        if not byte:
            return None
        head += byte
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    body = b""
    while len(body) < int(headers.get("content-length", "0")):
        body += sock.recv(65536)
    method, target, _ = first.split(" ", 2)
    return Received(method, target, headers, body, connection)


def tunnel(target: Wire) -> Reply:
    """What a proxy does with CONNECT: say yes, then carry bytes both ways."""

    def reply(sock: socket.socket, over: threading.Event) -> bool:
        with socket.create_connection((target.host, target.port)) as beyond:
            sock.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_carry, args=(beyond, sock), daemon=True)
            back.start()
            _carry(sock, beyond)
            back.join(PATIENCE_SECONDS)
        return False

    return reply


def _carry(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(OSError):
        source.shutdown(socket.SHUT_RD)


class Authority:
    """A certificate authority for the length of a test run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        certificate = self._sign(self._name, self._key.public_key(), None)
        self.bundle = folder / "ca.pem"
        self.bundle.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))

    def server(self, host: str) -> ssl.SSLContext:
        """A server's TLS context with a certificate for `host`."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
        certificate = self._sign(name, key.public_key(), host)
        file = self._folder / f"{host.replace(':', '_')}.pem"
        file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _sign(self, name: x509.Name, key: ec.EllipticCurvePublicKey, host: str | None) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        )
        if host is not None:
            try:
                alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(host))
            except ValueError:
                alternative = x509.DNSName(host)
            builder = builder.add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
        return builder.sign(self._key, hashes.SHA256())
