"""What both sides know of the rows: those who make them inside Django, and those who ask for them over HTTP."""

from __future__ import annotations

GRANTS = 5_000
REACH = 1_000
"""How many hosts the two people with a limited reach may open, where there are so many."""
A_DAY = 1_000
"""Events a day: a log that is a hundred times as long goes back a hundred times as far."""
BUSY = "person-000"
"""Who stands in every tenth event."""
SEARCHED = "shop-0000"
"""The same nineteen hosts at every size from a hundred on, so that what is found is as long, whoever searches."""


def host_name(pk: int) -> str:
    """Different beginnings, as names in a company have: `shop-00042-web`."""
    return f"{('shop', 'erp', 'crm', 'mail', 'lab')[pk % 5]}-{pk:06}-web"
