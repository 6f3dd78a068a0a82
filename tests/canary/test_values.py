"""What values and exceptions say of themselves: `repr`, `str`, formats, pickles, tracebacks. None is left out."""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
import importlib
import inspect
import pickle
import pkgutil
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

import accounts
import omaccess
import portal
from omaccess import cloud_link, errors
from omaccess.actions import account_test, launches
from omaccess.cloud.errors import CloudError
from omaccess.cloud.types import Deadline, IamToken, OmUrl, PasswordCredential
from omaccess.cloud_link import Target, Timing
from omaccess.errors import CredentialBlocked, CredentialUnusable
from omaccess.sandbox.server import SandboxServer
from tests.canary.issued import Issued
from tests.canary.life import cbh_faults, forget_tokens, iam_faults, password_of
from tests.canary.sinks import Sinks
from tests.inventory import Inventory

SECRET = "a-secret-of-thirty-two-characters"

NAMES_OF_SECRETS = {"password", "secret", "secret_key", "access_key", "value", "token", "body", "headers", "url"}
NAMES_OF_SECRETS |= {"secrets", "session_key", "login_url", "control_token", "link", "sk", "plain"}
"""A field that is called so holds a secret, or may."""


def modules() -> Iterator[Any]:
    """All of the product's own. Not the sandbox's: its passwords are public, and it has a test for its log."""
    for package in (omaccess, accounts, portal):
        for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not found.name.startswith(("omaccess.sandbox", "portal.asgi")) and ".migrations" not in found.name:
                yield importlib.import_module(found.name)


def classes(of: type[Any] | None = None) -> dict[str, type[Any]]:
    found = {}
    for module in modules():
        for name, kind in inspect.getmembers(module, inspect.isclass):
            if kind.__module__ == module.__name__ and (of is None or issubclass(kind, of)):
                found[f"{module.__name__}.{name}"] = kind
    return found


DATACLASSES = {name: kind for name, kind in classes().items() if dataclasses.is_dataclass(kind)}
BY_NAME = {kind.__name__: kind for kind in DATACLASSES.values()}
EXCEPTIONS = classes(of=Exception)
CLOUD_ERRORS = {name: kind for name, kind in EXCEPTIONS.items() if issubclass(kind, CloudError)}


def bearing(kind: type[Any]) -> list[str]:
    """The fields of a dataclass that hold a secret, by their names."""
    return [field.name for field in dataclasses.fields(kind) if field.name in NAMES_OF_SECRETS]


BEARERS = sorted(f"{name}.{field}" for name, kind in DATACLASSES.items() for field in bearing(kind))


def made(kind: type[Any]) -> Any:
    """An instance with the secret in every field that may hold one, or within it, and nothing in the others."""
    value = object.__new__(kind)
    for field in dataclasses.fields(kind):
        inner = BY_NAME.get(str(field.type).partition(" | ")[0])
        secret = made(inner) if inner is not None else SECRET
        object.__setattr__(value, field.name, secret if field.name in NAMES_OF_SECRETS else None)
    return value


def test_the_walk_finds_what_is_known_to_hold_secrets() -> None:
    known = {PasswordCredential: "password", IamToken: "value", OmUrl: "value", launches.Result: "url"}

    for kind, field in known.items():
        assert f"{kind.__module__}.{kind.__name__}.{field}" in BEARERS
    assert "omaccess.cloud.http.Answer.body" in BEARERS
    assert "omaccess.meta.Meta.session_key" in BEARERS
    assert len(CLOUD_ERRORS) > 25
    assert f"{errors.VaultError.__module__}.VaultError" in EXCEPTIONS


@pytest.mark.parametrize("bearer", BEARERS)
def test_no_value_shows_its_secret(bearer: str) -> None:
    """A new class with such a field is found here without anybody's doing."""
    name, _dot, _field = bearer.rpartition(".")
    value = made(DATACLASSES[name])

    for text in (repr(value), str(value), f"{value} {value!r}", repr([value]), repr({"a": (value,)})):
        assert SECRET not in text


def test_a_value_that_shows_its_secret_would_be_found() -> None:
    @dataclasses.dataclass(frozen=True, slots=True)
    class Careless:
        token: str

    assert bearing(Careless) == ["token"]
    assert SECRET in repr(made(Careless))


@pytest.mark.parametrize("name", CLOUD_ERRORS)
def test_an_exception_shows_and_pickles_nothing_that_a_cloud_said_with_a_link_in_it(name: str) -> None:
    """Made with a link in each of its texts: what it cleans is not in any form of it; what it refuses, it refuses."""
    kind = CLOUD_ERRORS[name]
    link = f"https://bastion.example.com/login?ticket={SECRET}"
    facts: dict[str, Any] = dict.fromkeys(("code", "description", "request_id"), f"see {link}")
    extra: dict[str, Any] = {
        "sent": True,
        "problem": "x",
        "origin": "https://bastion.example.com",
        "retry_after_seconds": 1.0,
    }
    extra |= {"state": None, "raw_state": f"odd {link}"}
    wanted = set(inspect.signature(kind).parameters)
    error = kind(service="cbh", status=500, **facts, **{key: value for key, value in extra.items() if key in wanted})

    try:
        raise error
    except CloudError as raised:
        shown = "".join(traceback.format_exception(raised))
    for text in (repr(error), str(error), shown, repr(vars(error)), pickle.dumps(error).decode("latin-1")):
        assert SECRET not in text
    assert repr(pickle.loads(pickle.dumps(error))) == repr(error)  # noqa: S301 - made above
    assert repr(copy.copy(error)) == repr(error)


def test_every_other_exception_takes_nothing_that_could_hold_a_secret() -> None:
    """Causes, numbers, rows and sentences of ours. A new one is looked at by whoever makes this test fail."""
    harmless = {"self", "cause", "account", "problems", "retry_after_seconds"}  # errors.py
    harmless |= {"why", "message", "target", "accounts"}  # a change that was refused
    harmless |= {"column", "slug"}  # which part cannot be read
    harmless |= {"result"}  # how many events were read, and how many were wrong

    for name in EXCEPTIONS.keys() - CLOUD_ERRORS.keys():
        own = vars(EXCEPTIONS[name]).get("__init__")
        parameters = set(inspect.signature(own).parameters) if own is not None else set()
        assert parameters <= harmless, name


@pytest.mark.database
def test_no_secret_is_in_a_repr_or_a_pickled_exception_of_a_real_launch(
    inventory: Inventory, sandbox: SandboxServer, issued: Issued, meta_of: Any, sinks: Sinks
) -> None:
    meta = meta_of(inventory.staff)
    issued.add("session key", meta.session_key)
    result = launches.launch(
        account_id=inventory.root.pk, reason="", ticket="", once=None, by=inventory.staff, meta=meta
    )
    assert result.url is not None
    token = issued.last_token
    held = IamToken(token, "id", "name", dt.datetime.now(dt.UTC), "id", "name", "request")
    credential = PasswordCredential("acme", "portal", password_of(sandbox))
    outcome = account_test.run(inventory.root, by=inventory.staff, meta=meta)
    for value in (result, result.url, result.launch, meta, credential, held, outcome, [result], {"url": result.url}):
        sinks.add("repr", f"{value!r} {value!s} {value}")
    for row in (*inventory.credentials.values(), result.launch, inventory.root, inventory.root.host.instance):
        sinks.add("row", f"{row!r} {row!s} {vars(row)!r}")
        sinks.add("pickled row", pickle.dumps(row))

    faults_seen = 0
    account = inventory.root
    for name, faults in (("cbh.om_url", cbh_faults(token)), ("iam.token", iam_faults(password_of(sandbox)))):
        for fault in faults:
            if name == "iam.token":
                forget_tokens()
            sandbox.control.add_fault(name, times=2, **fault)
            try:
                cloud_link.om_url(account, Target.of(account), deadline=Deadline.after(5), timing=Timing())
            except (CloudError, CredentialUnusable, CredentialBlocked) as error:
                faults_seen += 1
                sinks.add("pickled exception", pickle.dumps(error))
                sinks.add("exception", f"{error!r} {error!s} {vars(error)!r}")
                sinks.add("traceback", "".join(traceback.format_exception(error)))
                sinks.add("hidden causes", f"{error.__cause__!r} {error.__context__!r}")
            sandbox.control.clear_faults()

    assert faults_seen > 25
    assert sinks.leaks(issued) == []


@pytest.mark.parametrize("bearer", [bearer for bearer in BEARERS if bearer.startswith("omaccess.")])
def test_no_value_with_a_secret_is_pickled_or_copied(bearer: str) -> None:
    """A pickle in a cache, a queue or a file would hold what no repr shows."""
    name, _dot, _field = bearer.rpartition(".")
    value = made(DATACLASSES[name])

    for write in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="holds a secret"):
            write(value)
