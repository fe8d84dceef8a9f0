"""Words that several rooms share."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

PRIORITIES = ("low", "medium", "high", "critical")
STATUSES = ("open", "in_progress", "waiting", "resolved", "closed", "cancelled")
ENDED = ("resolved", "closed", "cancelled")
"""An open ticket is one that is in none of these."""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about a name that nothing has: the nearest one that something has, if one is near."""
    near = difflib.get_close_matches(name, known, 1)
    return f"; did you mean {near[0]}?" if near else ""


def counted(count: int, noun: str) -> str:
    """`1 ticket`, `2 tickets`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


EVENTS: dict[str, str] = {
    "ticket_created": "A ticket was opened.",
    "ticket_updated": "A ticket changed in any other way; one event for each request.",
    "ticket_closed": "A ticket was closed by someone.",
    "ticket_assigned": "A ticket was given to someone, or taken away.",
    "comment_added": "Someone wrote on a ticket; internal messages tell nobody.",
    "sla_warning": "A deadline of the service level comes near; once for each clock and deadline.",
    "sla_breached": "A deadline of the service level has passed; once for each clock and deadline.",
    "auto_closed": "A ticket was closed by the clean-up, because nobody touched it.",
}
"""What others can be told of, and when it happens."""
