"""The service-level clock (domain: service levels).

A clock counts the working time from its start, less its pauses, until it is met. Nothing is truncated to minutes.
What is stored is enough to know the state whenever it is read, without any job: states are ranges of now.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from deskplane.service_levels.working_time import NOTHING, WorkingTime

RUNNING = "running"
PAUSED = "paused"
STOPPED = "stopped"


@dataclass(frozen=True)
class Pause:
    """Time that counts for nobody, and why: the status in which the ticket stood. Without an end it lasts."""

    since: datetime
    until: datetime | None
    status: str


@dataclass(frozen=True)
class Terms:
    """What is promised for one clock. A threshold larger than the target counts from the start."""

    target: timedelta
    warn: timedelta
    critical: timedelta
    working: WorkingTime


@dataclass(frozen=True)
class Deadline:
    """One clock of one ticket: phase, when its state changes by itself, and when it was met.

    A null phase: nothing was promised. A running clock without deadline is timed by a calendar that has no working
    time left. While a clock is paused, the edges that it had not reached are null, and `left` is the working time
    that it has then.
    """

    phase: str | None = None
    warn_at: datetime | None = None
    critical_at: datetime | None = None
    due_at: datetime | None = None
    met_at: datetime | None = None
    left: timedelta | None = None

    def state(self, now: datetime) -> str:
        """`none`, `ok`, `warning`, `critical`, `breached` (stays so when met late), `paused` or `met`."""
        if self.phase is None:
            return "none"
        if self.met_at is not None:
            return "breached" if self.due_at is not None and self.met_at > self.due_at else "met"
        if self.due_at is not None and now >= self.due_at:
            return "breached"
        if self.phase == PAUSED:
            return "paused"
        if self.critical_at is not None and now >= self.critical_at:
            return "critical"
        if self.warn_at is not None and now >= self.warn_at:
            return "warning"
        return "ok"


def deadline(terms: Terms | None, start: datetime, pauses: Sequence[Pause], met_at: datetime | None) -> Deadline:
    """The clock under a promise. `pauses` are in order and apart from each other; only the last one may last."""
    if terms is None:
        return Deadline(met_at=met_at)
    if met_at is not None:  # what came afterwards is no matter of this clock
        pauses = [replace(each, until=min(each.until or met_at, met_at)) for each in pauses if each.since < met_at]
    paused = bool(pauses) and pauses[-1].until is None
    due = _reached(terms.working, start, pauses, terms.target)
    edges = [
        _reached(terms.working, start, pauses, max(NOTHING, terms.target - threshold))
        for threshold in (terms.warn, terms.critical)
    ]
    warn_at, critical_at, due_at = (edge if isinstance(edge, datetime) else None for edge in (*edges, due))
    return Deadline(
        STOPPED if met_at is not None else PAUSED if paused else RUNNING,
        warn_at,
        critical_at,
        due_at,
        met_at,
        due if isinstance(due, timedelta) else None,
    )


def _reached(
    working: WorkingTime, start: datetime, pauses: Sequence[Pause], amount: timedelta
) -> datetime | timedelta | None:
    """When so much was worked outside the pauses; what is left where a pause lasts; null where it never comes."""
    if amount <= NOTHING:
        return start
    left, since = amount, start
    for pause in pauses:
        if pause.since > since:
            worked = working.between(since, pause.since)
            if worked >= left:
                break
            left -= worked
        if pause.until is None:
            return left
        since = max(since, pause.until)
    return working.after(since, left)


def used(working: WorkingTime, start: datetime, pauses: Sequence[Pause], now: datetime) -> timedelta:
    """The working time from the start until now, less the pauses."""
    found, since = NOTHING, start
    for pause in pauses:
        if pause.since >= now:
            break
        if pause.since > since:
            found += working.between(since, pause.since)
        if pause.until is None or pause.until >= now:
            return found
        since = max(since, pause.until)
    return found + working.between(since, now) if since < now else found


SEVERITY = ("none", "met", "paused", "ok", "warning", "critical", "breached")


def worst(states: list[tuple[str, bool]]) -> str:
    """The worst state of the clocks that are not met, else the worst of all. Pairs of state and whether it is met."""
    unmet = [state for state, is_met in states if not is_met and state != "none"]
    return max(unmet or [state for state, _ in states], key=SEVERITY.index)
