"""What a launch form posts."""

from __future__ import annotations

import uuid

from django import forms

MAX_ID = 2**63 - 1
"""The largest id a row can have; more would overflow the database's integer."""


MAX_TYPED = 2000
"""More than any field takes; the rest of somebody's megabyte is not sent back to them."""


def one_line(text: str) -> str:
    """Typed text without anything unprintable: PostgreSQL refuses NUL, and an audit is read line by line."""
    return "".join(character if character.isprintable() else " " for character in text).strip()


class LaunchForm(forms.Form):
    """Only the account is judged here. Reason and ticket are judged by the action, which knows the grants."""

    # Digits as our own forms send them, nothing that merely reads as a number.
    account = forms.RegexField(r"\A[1-9][0-9]{0,18}\Z", strip=False)

    def clean_account(self) -> int:
        number = int(self.cleaned_data["account"])
        if number > MAX_ID:
            raise forms.ValidationError("too large", code="invalid")
        return number

    @property
    def account_id(self) -> int:
        return int(self.cleaned_data["account"])

    @property
    def reason(self) -> str:
        return one_line(self.data.get("reason", "")[:MAX_TYPED])

    @property
    def ticket(self) -> str:
        return one_line(self.data.get("ticket", "")[:MAX_TYPED])

    @property
    def once(self) -> uuid.UUID | None:
        """Random per form, so that a double click is one launch. Rubbish counts as none."""
        try:
            return uuid.UUID(self.data.get("once", ""))
        except ValueError:
            return None
