"""Structured logs: a constant event name, facts as fields, one line each."""

import re
from typing import Any

import structlog

_QUERY = re.compile(r"\?\S+")


def without_query(_logger: Any, _method: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Leave out what people asked for: the request that Django's lines carry, and the query in a quoted address.

    CSRF's complaint quotes the Referer, gunicorn's about a malformed request its first line. Our own lines have none.
    """
    event.pop("request", None)
    if str(event.get("logger")).startswith(("django.", "gunicorn.")):
        event["event"] = _QUERY.sub("?…", str(event["event"]))
    return event


LOG_PROCESSORS: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.ExtraAdder(),
    without_query,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.StackInfoRenderer(),
    # Tracebacks as text, never with local variables: those hold tokens and links.
    structlog.processors.format_exc_info,
]


def renderer(kind: str) -> Any:
    """`json` for machines (the default), `console` for people."""
    if kind == "console":
        return structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    return structlog.processors.JSONRenderer()


def formatter(kind: str) -> dict[str, Any]:
    """For `logging.config.dictConfig`: lines of everybody, ours and the libraries', in one form."""
    return {
        "()": structlog.stdlib.ProcessorFormatter,
        "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer(kind)],
        "foreign_pre_chain": LOG_PROCESSORS,
    }


structlog.configure(
    processors=[
        structlog.stdlib.filter_by_level,
        *LOG_PROCESSORS,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ],
    logger_factory=structlog.stdlib.LoggerFactory(),
    cache_logger_on_first_use=True,
)
