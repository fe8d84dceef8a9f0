"""Time, in one place, so that tests can drive it.

Instants are timezone-aware UTC datetimes with microseconds everywhere in the server.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """Whatever can say what time it is."""

    def now(self) -> datetime:
        """The present instant, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)


def rfc3339(instant: datetime) -> str:
    """RFC 3339 in UTC, with microseconds only where there are any: `2026-03-01T08:30:00Z`."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")
