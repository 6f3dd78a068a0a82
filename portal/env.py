"""The one reader of environment variables.

Every variable may also be given as ``NAME_FILE``, the path of a file that holds the value (container secrets).
``ENV_FILE`` names a file of ``NAME=value`` lines that is read first; what the process already has wins.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from environs import EnvError, FileAwareEnv


# Files that hold a secret usually end in a line break, which is no part of it.
class _Env(FileAwareEnv):
    def _get_value(self, env_key: str, default: Any) -> Any:
        try:
            return super()._get_value(env_key, default)
        except UnicodeDecodeError:
            raise ImproperlyConfigured(f"{env_key}_FILE is not text in UTF-8.") from None
        except OSError as error:
            raise ImproperlyConfigured(f"{env_key}_FILE cannot be read: {error.strerror}.") from None
        except ValueError as error:
            raise ImproperlyConfigured(str(error)) from None


env = _Env(eager=True, strip_whitespace=True)


def read_env_file() -> None:
    """Read the file that ``ENV_FILE`` names, if it names one.

    Raises: ImproperlyConfigured when the file is not there; a silent default would hide a wrong deployment.
    """
    path = os.environ.get("ENV_FILE", "")
    if not path:
        return
    if not Path(path).is_file():
        raise ImproperlyConfigured(f"ENV_FILE names {path}, which is not a file.")
    env.read_env(path, recurse=False)


def labels(name: str, default: Iterable[str]) -> frozenset[tuple[str, str]]:
    """Labels such as ``env=prod``, separated by commas, as pairs in lower case.

    Raises: ImproperlyConfigured for what is no label; nobody would see that a mark is missing.
    """
    texts: list[str] = [text.strip() for text in env.list(name, list(default))]
    wrong = [text for text in texts if "=" not in text or text.startswith("=")]
    if wrong:
        raise ImproperlyConfigured(f"{name}: {wrong[0]!r} is no label; env=prod is one.")
    pairs = (text.lower().split("=", 1) for text in texts)
    return frozenset((key.strip(), value.strip()) for key, value in pairs)


def required(name: str, *, why: str) -> str:
    """A value without a default. A missing one stops the start and names itself.

    Raises: ImproperlyConfigured.
    """
    try:
        value: str = env.str(name)
    except EnvError:
        value = ""
    if not value:
        raise ImproperlyConfigured(
            f"{name} (or {name}_FILE) is not set. {why} See deploy/env.example; `make demo` makes its own."
        )
    return value


def check_address(name: str, value: str) -> None:
    """Refuse an address that cannot be read, before some library quotes half of a password in its complaint.

    Raises: ImproperlyConfigured, which names the variable and never its value.
    """
    try:
        parts = urlsplit(value)
        _port = parts.port  # reading it is what fails
        is_whole = not value or (bool(parts.scheme) and not parts.fragment)
    except ValueError:
        is_whole = False
    if not is_whole:
        raise ImproperlyConfigured(
            f"{name} is not an address. In its password write / # ? @ and the like as %2F %23 %3F %40."
        )
