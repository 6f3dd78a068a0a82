"""Ticket patterns of grants. RE2, so that no pattern can make a request hang."""

import re2

MAX_TICKET = 100


class InvalidTicketPattern(ValueError):
    """The text is not an RE2 expression; the message says why."""


def check_ticket_pattern(pattern: str) -> None:
    """Raises: InvalidTicketPattern."""
    try:
        re2.compile(pattern, _options())
    except re2.error as error:
        reason = error.args[0] if error.args else ""
        text = reason.decode("utf-8", "replace") if isinstance(reason, bytes) else str(reason)
        raise InvalidTicketPattern(f"This is not a regular expression (RE2): {text}") from None


def is_ticket_ok(pattern: str, ticket: str) -> bool:
    """Does the whole ticket match? An empty pattern asks for nothing."""
    if not pattern:
        return True
    return len(ticket) <= MAX_TICKET and re2.fullmatch(pattern, ticket, _options()) is not None


def _options() -> "re2.Options":
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 1 << 20
    return options
