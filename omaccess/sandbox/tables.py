"""Reading untrusted nested tables (TOML worlds, JSON control messages) with errors that name the place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final


class TableError(ValueError):
    """A table holds something that cannot be used; the text says where and what."""


class _Required:
    """Marks an argument that has no default."""


REQUIRED: Final = _Required()


class Table:
    """One table, read key by key; `finish()` then refuses the keys that nobody asked for.

    Refusing unknown keys matters: a misspelt `programatic_access = false` must not silently mean "allowed".
    """

    def __init__(self, values: object, where: str) -> None:
        if not isinstance(values, Mapping) or not all(isinstance(key, str) for key in values):
            raise TableError(f"{where}: expected a table")
        self._values: Mapping[str, object] = values
        self._seen: set[str] = set()
        self.where = where

    def fail(self, key: str, problem: str) -> TableError:
        """An error about one key, to be raised by the caller."""
        return TableError(f"{self.where}: '{key}' {problem}")

    def has(self, key: str) -> bool:
        return key in self._values

    def keys(self) -> list[str]:
        """All keys, for tables whose keys are free (labels); counts as reading them."""
        self._seen.update(self._values)
        return list(self._values)

    def raw(self, key: str, default: object = REQUIRED) -> object:
        """The value as it is."""
        self._seen.add(key)
        value = self._values.get(key, default)
        if isinstance(value, _Required):
            raise self.fail(key, "is missing")
        return value

    def text(self, key: str, default: str | _Required = REQUIRED, *, longest: int = 255, empty: bool = False) -> str:
        """A string of at most `longest` characters; blank only when `empty` allows it."""
        value = self.raw(key, default)
        if not isinstance(value, str):
            raise self.fail(key, "must be a text")
        if key not in self._values:
            return value
        if not empty and not value.strip():
            raise self.fail(key, "must not be blank")
        if len(value) > longest:
            raise self.fail(key, f"must have at most {longest} characters")
        return value

    def optional_text(self, key: str, *, longest: int = 255) -> str | None:
        """Like `text`, or None when the key is absent."""
        return self.text(key, longest=longest) if self.has(key) else None

    def choice(self, key: str, choices: Iterable[str], default: str | _Required = REQUIRED) -> str:
        """One of `choices`; the default need not be one of them."""
        allowed = tuple(choices)
        value = self.raw(key, default)
        if not isinstance(value, str):
            raise self.fail(key, "must be a text")
        if key in self._values and value not in allowed:
            raise self.fail(key, f"must be one of {', '.join(allowed)}")
        return value

    def flag(self, key: str, default: bool | _Required = REQUIRED) -> bool:
        """True or false."""
        value = self.raw(key, default)
        if not isinstance(value, bool):
            raise self.fail(key, "must be true or false")
        return value

    def integer(self, key: str, default: int | _Required = REQUIRED, *, least: int = 0, most: int) -> int:
        """A whole number within the bounds."""
        value = self.raw(key, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.fail(key, "must be a whole number")
        if not least <= value <= most:
            raise self.fail(key, f"must be between {least} and {most}")
        return value

    def number(self, key: str, default: float | _Required = REQUIRED, *, least: float = 0, most: float) -> float:
        """A number within the bounds."""
        value = self.raw(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise self.fail(key, "must be a number")
        if not least <= value <= most:  # also refuses NaN
            raise self.fail(key, f"must be between {least:g} and {most:g}")
        return float(value)

    def texts(self, key: str, default: tuple[str, ...] | _Required = REQUIRED) -> tuple[str, ...]:
        """A list of different, non-blank texts."""
        value = self.raw(key, default)
        if not isinstance(value, list | tuple):
            raise self.fail(key, "must be a list of texts")
        entries: list[str] = []
        for entry in value:
            if not isinstance(entry, str) or not entry.strip():
                raise self.fail(key, "must be a list of texts")
            entries.append(entry)
        if len(set(entries)) != len(entries):
            raise self.fail(key, "names the same entry twice")
        return tuple(entries)

    def table(self, key: str) -> Table:
        """A nested table; an absent one reads as empty, so that its defaults apply."""
        return Table(self.raw(key, {}), f"{self.where}: {key}")

    def tables(self, key: str, *, label: str = "name") -> list[Table]:
        """A list of nested tables, each named in errors by its number and its `label` key."""
        value = self.raw(key, [])
        if not isinstance(value, list):
            raise self.fail(key, "must be a list of tables")
        found = []
        for number, entry in enumerate(value, start=1):
            named = entry.get(label) if isinstance(entry, Mapping) else None
            title = f"{key} {number} ({named})" if isinstance(named, str) else f"{key} {number}"
            found.append(Table(entry, f"{self.where}: {title}"))
        return found

    def finish(self) -> None:
        """Refuse keys that were not read.

        Raises:
            TableError: there is such a key.
        """
        unknown = sorted(set(self._values) - self._seen)
        if unknown:
            raise TableError(f"{self.where}: unknown key {', '.join(repr(key) for key in unknown)}")
