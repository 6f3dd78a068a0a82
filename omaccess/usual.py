"""What one person keeps using, read from their own launches. It opens nothing: every page asks their grants anew."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from accounts.models import User
from omaccess.models import Launch, LaunchState

LOOKED_AT = 200
"""How many of somebody's last launches say what they usually do."""


@dataclass(frozen=True, slots=True)
class Usual:
    """Ids. `hosts`: the last used first; `often`: the most used first; `account_of`: by host, the account last used."""

    hosts: tuple[int, ...]
    often: tuple[int, ...]
    account_of: dict[int, int]

    @classmethod
    def of(cls, user: User) -> Usual:
        """One short walk along an index."""
        last = (
            Launch.objects.of(user).order_by("-id").values_list("state", "account__host_id", "account_id")[:LOOKED_AT]
        )
        opened = [(host_id, account_id) for state, host_id, account_id in last if state == LaunchState.OPENED]
        account_of: dict[int, int] = {}
        for host_id, account_id in opened:
            account_of.setdefault(host_id, account_id)
        often = Counter(host_id for host_id, _account_id in opened)
        return cls(tuple(account_of), tuple(host_id for host_id, _times in often.most_common()), account_of)
