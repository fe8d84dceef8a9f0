"""What generators need to know of tickets."""

from __future__ import annotations

from typing import Any

from deskplane.kernel.compound import described
from deskplane.tickets.schemas import TicketAnswer, TicketApply, TicketList


def describe() -> dict[str, Any]:
    """The options of an apply, the filters of the list, and the fields of the answer."""
    return {
        "name": "ticket",
        "path": "tickets",
        "options": [part.describe(name) for name, part in described(TicketApply()).items()],
        "filters": [part.describe(name) for name, part in described(TicketList()).items()],
        "fields": [part.describe(name) for name, part in described(TicketAnswer()).items()],
        "version_added": "0.1.0",
    }
