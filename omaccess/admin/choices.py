"""Fields whose value is another row's id: what was posted is judged before the database is asked for it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django import forms
from django.contrib.admin.widgets import AutocompleteSelect, AutocompleteSelectMultiple
from django.core.exceptions import ValidationError

from omaccess.admin.words import row_id


class RowSelect(AutocompleteSelect):
    """One row, found by typing. Shows the form again without what was no id: Django would fail on it."""

    def optgroups(self, name: str, value: Sequence[str], attr: dict[str, Any] | None = None) -> Any:
        return super().optgroups(name, _ids(value), attr)


class RowSelectMultiple(AutocompleteSelectMultiple):
    """Several rows, as RowSelect."""

    def optgroups(self, name: str, value: Sequence[str], attr: dict[str, Any] | None = None) -> Any:
        return super().optgroups(name, _ids(value), attr)


class Rows(forms.ModelMultipleChoiceField):  # type: ignore[type-arg]
    """Refuses ids that no column holds, before the database fails on them."""

    def clean(self, value: Any) -> Any:
        for one in value or ():
            if row_id(str(one)) is None:
                raise ValidationError(
                    self.error_messages["invalid_pk_value"], code="invalid_pk_value", params={"pk": one}
                )
        return super().clean(value)


def _ids(values: Iterable[Any]) -> list[Any]:
    return [one for one in values if row_id(str(one)) is not None]
