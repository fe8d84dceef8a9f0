"""Words that several rooms share."""

from __future__ import annotations

PRIORITIES = ("low", "medium", "high", "critical")
STATUSES = ("open", "in_progress", "waiting", "resolved", "closed", "cancelled")
ENDED = ("resolved", "closed", "cancelled")
"""An open ticket is one that is in none of these."""

EVENTS = (
    "ticket_created",
    "ticket_updated",
    "ticket_closed",
    "ticket_assigned",
    "comment_added",
    "sla_warning",
    "sla_breached",
    "auto_closed",
)
