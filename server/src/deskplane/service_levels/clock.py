"""The service-level clock (domain: service levels), around the clock.

Instants are UTC. A deadline is its start plus the target plus what the clock stood still. Nothing is truncated to
minutes. What is stored is enough to know the state whenever it is read, without any job: states are ranges of now.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

RUNNING = "running"
STOPPED = "stopped"


@dataclass(frozen=True)
class Deadline:
    """One clock of one ticket: phase, when its state changes by itself, and when it was met.

    `stood_still` is the time, so far, that counts for nobody. A null phase: nothing was promised.
    """

    phase: str | None = None
    warn_at: datetime | None = None
    critical_at: datetime | None = None
    due_at: datetime | None = None
    met_at: datetime | None = None
    stood_still: timedelta = timedelta(0)

    def promised(self, start: datetime, minutes: int | None, warn_minutes: int, critical_minutes: int) -> Deadline:
        """The same clock under another promise: start, time stood still and outcome stay."""
        if minutes is None:
            return replace(self, phase=None, warn_at=None, critical_at=None, due_at=None)
        due = start + timedelta(minutes=minutes) + self.stood_still
        # a threshold larger than the target counts from the start
        return replace(
            self,
            phase=RUNNING if self.met_at is None else STOPPED,
            warn_at=max(start, due - timedelta(minutes=warn_minutes)),
            critical_at=max(start, due - timedelta(minutes=critical_minutes)),
            due_at=due,
        )

    def met(self, now: datetime) -> Deadline:
        """What was promised is done; the first time counts."""
        if self.met_at is not None:
            return self
        return replace(self, met_at=now, phase=STOPPED if self.phase else None)

    def resumed(self, now: datetime) -> Deadline:
        """It turned out not to be done: the time since it was met counts for nobody."""
        if self.met_at is None:
            return self
        pause = now - self.met_at
        return replace(
            self,
            met_at=None,
            phase=RUNNING if self.phase else None,
            warn_at=self.warn_at + pause if self.warn_at else None,
            critical_at=self.critical_at + pause if self.critical_at else None,
            due_at=self.due_at + pause if self.due_at else None,
            stood_still=self.stood_still + pause,
        )

    def state(self, now: datetime) -> str:
        """`none`, `ok`, `warning`, `critical`, `breached` (stays so when met late) or `met`."""
        if self.phase is None or self.due_at is None:
            return "none"
        if self.met_at is not None:
            return "breached" if self.met_at > self.due_at else "met"
        if now >= self.due_at:
            return "breached"
        if self.critical_at is not None and now >= self.critical_at:
            return "critical"
        if self.warn_at is not None and now >= self.warn_at:
            return "warning"
        return "ok"


SEVERITY = ("none", "met", "ok", "warning", "critical", "breached")


def worst(states: list[tuple[str, bool]]) -> str:
    """The worst state of the clocks that are not met, else the worst of all. Pairs of state and whether it is met."""
    unmet = [state for state, is_met in states if not is_met and state != "none"]
    return max(unmet or [state for state, _ in states], key=SEVERITY.index)
