"""A mail that only has to be sent: to whoever has the next move, with the facts of a refusal filled in."""

from __future__ import annotations

import re
from collections.abc import Sequence
from urllib.parse import quote, urlencode

_ADDRESS = re.compile(r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+")


def mail_link(contact: str, *, subject: str, lines: Sequence[str]) -> str:
    """`mailto:` to the first mail address in a contact's text; empty when there is none.

    Source: RFC 6068; everything but the address is percent-encoded, lines end in CR LF.
    """
    found = _ADDRESS.search(contact)
    if found is None:
        return ""
    query = urlencode({"subject": subject, "body": "\r\n".join(lines)}, quote_via=quote, safe="")
    return f"mailto:{quote(found[0], safe='@')}?{query}"
