"""Variables, files and folders of this machine."""

from __future__ import annotations

import filecmp
import os
import shutil
import stat
from pathlib import Path

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.checks import run_checks
from django.utils.translation import gettext as _

from omaccess.doctor.findings import Finding, Findings, note, of_checks

SECRETS = (
    "SECRET_KEY",
    "VAULT_KEYS",
    "DATABASE_URL",
    "MIGRATE_DATABASE_URL",
    "CACHE_URL",
    "BROKER_URL",
    "EMAIL_URL",
    "CLOUD_PROXY",
    "METRICS_TOKEN",
    "OTEL_EXPORTER_OTLP_HEADERS",
    "ADMIN_PASSWORD",
)
"""Variables that hold a secret; what NAME_FILE names is for the portal's user alone."""

_LITTLE_SPACE, _NO_SPACE = 1 << 30, 200 << 20
_ONE_DAY = 86_400


def variables() -> Findings:
    """Keys, endpoints, and whatever else Django's checks know."""
    yield from of_checks(run_checks(include_deployment_checks=False))
    if settings.DEBUG:
        yield Finding(_("DEBUG is on: error pages would show the portal's insides to anybody. Unset it."))
    if not settings.SUPPORT_CONTACT:
        yield note(_("SUPPORT_CONTACT is empty, so pages cannot say whom to ask."))
    if not settings.METRICS_TOKEN:
        yield note(_("METRICS_TOKEN is empty, so there is no /metrics and nobody is alarmed by Prometheus."))


def addresses() -> Findings:
    """Host names, https and the proxy in front fit together."""
    if not settings.IS_SANDBOX and not settings.HTTPS:
        yield Finding(_("HTTPS is off: passwords and links travel in the clear. Unset HTTPS=false."))
    if "*" in settings.ALLOWED_HOSTS:
        yield Finding(_("ALLOWED_HOSTS lets any name in: links in pages could lead elsewhere. Name the portal's own."))
    elif not settings.IS_SANDBOX and set(settings.ALLOWED_HOSTS) <= {"localhost", "127.0.0.1", "[::1]"}:
        yield Finding(_("ALLOWED_HOSTS has no name that people could type. Set it to the portal's."))
    if not settings.HTTPS:
        return
    if not settings.TRUSTED_PROXIES and not settings.TRUST_UNIX_PEERS:
        yield Finding(
            _(
                "TRUSTED_PROXIES is empty, so no request counts as https and each is sent to https again. "
                "Set it to the address of the proxy that terminates TLS."
            )
        )
    if settings.SECURE_HSTS_SECONDS < _ONE_DAY:
        yield note(_("HSTS_SECONDS is below a day, so browsers may still try http. Raise it once https works."))
    if any(origin.startswith("http:") for origin in settings.CSRF_TRUSTED_ORIGINS):
        yield Finding(_("CSRF_TRUSTED_ORIGINS trusts a plain http address. Take it out."))


def files() -> Findings:
    """Secrets are for nobody else, and there is room to write."""
    for variable, path in _secret_files():
        if _is_open_to_others(path):
            text = _("{path} ({variable}) can be read by everybody on this machine. Run: chmod o-rwx {path}")
            yield Finding(text.format(path=path, variable=variable))
    yield from _room(settings.DATA_DIR, "DATA_DIR")
    if settings.METRICS_TOKEN:
        yield from _room(settings.METRICS_DIR, "METRICS_DIR")


def static_files() -> Findings:
    """What collectstatic left in STATIC_ROOT is what this release brings."""
    hashed = getattr(staticfiles_storage, "hashed_files", None)
    if hashed is None:
        return  # a storage without a manifest serves the sources themselves
    if not hashed:
        text = _("There are no collected static files in {folder}. Run: manage.py collectstatic --no-input")
        yield Finding(text.format(folder=settings.STATIC_ROOT))
        return
    stale = _stale_static_files()
    if stale:
        text = _("Static files are missing or of another release ({names} …). Run: manage.py collectstatic --no-input")
        yield Finding(text.format(names=", ".join(stale[:3])))


def _stale_static_files() -> list[str]:
    stale, seen = [], set()
    for finder in get_finders():
        for name, storage in finder.list(ignore_patterns=["CVS", ".*", "*~"]):
            prefix = getattr(storage, "prefix", "")
            path = f"{prefix}/{name}" if prefix else name
            if path in seen:
                continue  # an earlier finder's file wins
            seen.add(path)
            collected = Path(settings.STATIC_ROOT) / path
            if not collected.is_file() or not filecmp.cmp(storage.path(name), collected, shallow=False):
                stale.append(path)
    return stale


def _secret_files() -> list[tuple[str, Path]]:
    names = ["ENV_FILE", *(f"{name}_FILE" for name in SECRETS)]
    found = [(name, Path(os.environ[name])) for name in names if os.environ.get(name)]
    if settings.IS_SQLITE:
        found.append(("DATABASE_URL", Path(settings.DATABASES["default"]["NAME"])))
    return [(name, path) for name, path in found if path.is_file()]


def _is_open_to_others(path: Path) -> bool:
    """Others need to be let into every folder above as well."""
    path = path.resolve()
    way = all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)
    return way and bool(path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH))


def _room(folder: Path, variable: str) -> Findings:
    """It can be written to, or made; and the disk is not full."""
    existing = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        text = _("{variable} ({folder}) cannot be written by this user. Let the portal's user own it.")
        yield Finding(text.format(variable=variable, folder=folder))
        return
    free = shutil.disk_usage(existing).free
    if free < _LITTLE_SPACE:
        text = _("Only {free} MB are free in {variable} ({folder}): once full, nothing can be recorded. Make room.")
        is_wrong = free < _NO_SPACE
        yield Finding(text.format(free=free >> 20, variable=variable, folder=folder), is_wrong=is_wrong)
