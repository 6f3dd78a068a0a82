"""nginx with the files of deploy/nginx, in a folder of the test's own: only paths, ports and the host name differ."""

from __future__ import annotations

import datetime as dt
import os
import re
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from accounts.models import User
from tests.deploy.tools import DEPLOY
from tests.faults.visitor import Visitor
from tests.processes import free_port, wait_until

_MAIN = """
{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/nginx-error.log warn;
events {{}}
http {{
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    types {{ text/html html; text/css css; }}
    include {folder}/sallyport.conf;
}}
"""


class Nginx:
    """The proxy of the RUNBOOK in front of the given upstreams (host:port); `url` is where people reach it."""

    def __init__(self, binary: str, folder: Path, upstreams: Sequence[str]) -> None:
        self._binary, self.folder = binary, folder
        self.port = free_port()
        self.url = f"https://localhost:{self.port}"
        self.certificate = folder / "portal.pem"
        self._running: subprocess.Popen[bytes] | None = None
        self._write(upstreams)

    def test(self) -> subprocess.CompletedProcess[str]:
        """What `nginx -t` says of the files."""
        return subprocess.run([*self._command, "-t"], text=True, capture_output=True, check=False)

    @contextmanager
    def serving(self) -> Iterator[Nginx]:
        self._running = subprocess.Popen(self._command, start_new_session=True)
        try:
            wait_until(self._answers)
            yield self
        finally:
            self._running.send_signal(signal.SIGQUIT)
            try:
                self._running.wait(timeout=10)
            except subprocess.TimeoutExpired:
                os.killpg(self._running.pid, signal.SIGKILL)
                self._running.wait(timeout=10)

    def logged(self) -> str:
        """Everything that this nginx wrote into any log."""
        return "".join(path.read_text(encoding="utf-8") for path in self.folder.glob("*.log"))

    @property
    def _command(self) -> list[str]:
        return [self._binary, "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]

    def _answers(self) -> bool:
        try:
            requests.get(f"{self.url}/metrics", verify=str(self.certificate), timeout=5)
        except requests.ConnectionError:
            return False
        return True

    def _write(self, upstreams: Sequence[str]) -> None:
        """The product's files with this folder's paths; the key and certificate are made up."""
        text = (DEPLOY / "nginx" / "sallyport.conf").read_text(encoding="utf-8")
        for theirs in ("/etc/nginx/sallyport", "/etc/ssl/sallyport", "/var/log/nginx"):
            text = text.replace(theirs, str(self.folder))
        text = text.replace("/var/cache/nginx-sallyport", f"{self.folder}/cache")
        text = text.replace("portal.example.com", "localhost")
        text = re.sub(r"listen 443\b", f"listen 127.0.0.1:{self.port}", text)
        text = re.sub(r"listen 80\b", f"listen 127.0.0.1:{free_port()}", text)
        (self.folder / "sallyport.conf").write_text(text, encoding="utf-8")
        for name in ("proxy.conf", "unavailable.html"):
            (self.folder / name).write_text((DEPLOY / "nginx" / name).read_text(encoding="utf-8"), encoding="utf-8")
        pattern = (DEPLOY / "nginx" / "upstream.conf").read_text(encoding="utf-8")
        line = re.search(r"^server \S+(.*;)$", pattern, flags=re.MULTILINE)
        assert line is not None
        lines = "".join(f"server {upstream}{line[1]}\n" for upstream in upstreams)
        (self.folder / "upstream.conf").write_text(lines, encoding="utf-8")
        user = "user root;" if os.geteuid() == 0 else ""
        (self.folder / "nginx.conf").write_text(_MAIN.format(folder=self.folder, user=user), encoding="utf-8")
        _make_certificate(self.certificate, self.folder / "portal.key")


class SecureVisitor(Visitor):
    """A person whose browser trusts the proxy's certificate and says where a form was sent from."""

    def __init__(self, nginx: Nginx, user: User) -> None:
        super().__init__(nginx.url, user, "")
        self._http.cookies.clear()
        self._http.verify = str(nginx.certificate)
        self._http.headers["Referer"] = f"{nginx.url}/"


def _make_certificate(certificate: Path, key: Path) -> None:
    """Self-signed, for `localhost`, valid for a day."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    certificate.write_bytes(made.public_bytes(pem))
    form = serialization.PrivateFormat.PKCS8
    key.write_bytes(private.private_bytes(pem, form, serialization.NoEncryption()))
    key.chmod(0o600)
