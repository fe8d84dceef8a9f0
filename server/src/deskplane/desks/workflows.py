"""Workflows: which status may follow which (domain: lifecycle). The two that come with Deskplane."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from deskplane.kernel.words import STATUSES


@dataclass(frozen=True)
class Workflow:
    """Statuses that may follow each status, and those after which nothing changes any more."""

    name: str
    transitions: Mapping[str, tuple[str, ...]]
    final: frozenset[str] = frozenset()

    def path(self, start: str, goal: str) -> list[str] | None:
        """The shortest allowed way from one status to another, without the start; None where there is none."""
        before: dict[str, str] = {}
        waiting = deque([start])
        while waiting:
            here = waiting.popleft()
            if here == goal:
                steps = []
                while here != start:
                    steps.append(here)
                    here = before[here]
                return steps[::-1]
            for following in self.transitions.get(here, ()):
                if following != start and following not in before:
                    before[following] = here
                    waiting.append(following)
        return None


FREE = Workflow("free", {status: tuple(other for other in STATUSES if other != status) for status in STATUSES})

ITIL = Workflow(
    "itil",
    {
        "open": ("in_progress", "cancelled"),
        "in_progress": ("waiting", "resolved", "cancelled"),
        "waiting": ("in_progress", "cancelled"),
        "resolved": ("closed", "in_progress", "cancelled"),
    },
    final=frozenset({"closed", "cancelled"}),
)

WORKFLOWS: Mapping[str, Workflow] = {workflow.name: workflow for workflow in (FREE, ITIL)}
