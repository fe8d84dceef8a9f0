"""Structured logs: one JSON object a line, with the request's id; or readable lines for a terminal."""

from __future__ import annotations

import logging
import sys
from typing import Any

import orjson
import structlog

logger = structlog.stdlib.get_logger("deskplane")


def _dumps(event: dict[str, Any], **_options: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def configure(log_format: str, level: str) -> None:
    """Sends all logs of the process to standard error in one form."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: Any = (
        structlog.processors.JSONRenderer(serializer=_dumps)
        if log_format == "json"
        # plain: the richer forms print every frame's variables, and with them keys and passwords
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[*shared, structlog.processors.format_exc_info, renderer]
        if log_format == "json"
        else [*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.processors.format_exc_info],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)  # which else tells of itself at every look at the database
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
