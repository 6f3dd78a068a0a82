"""What one person keeps using, read from their own launches. It opens nothing: every page asks their grants anew."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import BigIntegerField

from accounts.models import User
from omaccess.compiled import Compiled, given
from omaccess.models import Launch, LaunchState

LOOKED_AT = 200
"""How many of somebody's last launches say what they usually do."""
OFFERED = 5
"""How many of the last reasons, and of the last tickets, a form offers."""

_LAST = Compiled(
    lambda: (
        Launch.objects.filter(user=given("user", BigIntegerField()))
        .order_by("-id")
        .values_list("state", "account__host_id", "account_id", "reason", "ticket")[:LOOKED_AT]
    )
)


@dataclass(frozen=True, slots=True)
class Usual:
    """Ids. `hosts`: the last used first; `often`: the most used first; `account_of`: by host, the account last used.

    `reasons` and `tickets` are what was typed last, newest first, whatever came of it.
    """

    hosts: tuple[int, ...] = ()
    often: tuple[int, ...] = ()
    account_of: dict[int, int] = field(default_factory=dict)
    reasons: tuple[str, ...] = ()
    tickets: tuple[str, ...] = ()

    @classmethod
    def of(cls, user: User) -> Usual:
        """One short walk along an index."""
        last = _LAST.rows(user=user.pk)
        opened = [(host_id, account_id) for state, host_id, account_id, *_typed in last if state == LaunchState.OPENED]
        account_of: dict[int, int] = {}
        for host_id, account_id in opened:
            account_of.setdefault(host_id, account_id)
        often = Counter(host_id for host_id, _account_id in opened)
        return cls(
            tuple(account_of),
            tuple(host_id for host_id, _times in often.most_common()),
            account_of,
            _last(reason for *_ids, reason, _ticket in last),
            _last(ticket for *_ids, ticket in last),
        )


def _last(typed: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in typed if text))[:OFFERED]
