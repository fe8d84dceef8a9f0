"""Everything that is wrong with what was declared, collected, so that one answer names all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from deskplane.kernel.problem import FieldError, Problem, invalid, pointer

Place = tuple[str | int, ...]
"""Where an object is declared: `("departments", 2)`; empty where it is the whole document."""


ENOUGH = 1000


@dataclass
class Troubles:
    """Bad fields (422), and what conflicts with what is there (409)."""

    errors: list[FieldError] = field(default_factory=list)
    conflicts: list[tuple[Place, Problem]] = field(default_factory=list)

    @property
    def enough(self) -> bool:
        """Whether there is more than anyone reads: looking further would only take time and memory."""
        return len(self.errors) >= ENOUGH

    def bad(self, place: Place, path: Sequence[str | int], code: str, detail: str, allowed: object = None) -> None:
        """Notes a bad field of the object at a place."""
        self.errors.append(FieldError(pointer(*place, *path), code, detail, allowed))

    def bad_fields(self, place: Place, errors: Sequence[FieldError]) -> None:
        """Notes bad fields whose pointers begin at the object."""
        if errors:
            prefix = pointer(*place)
            self.errors += [replace(error, pointer=prefix + error.pointer[1:]) for error in errors]

    def clash(self, place: Place, problem: Problem) -> None:
        """Notes a conflict."""
        self.conflicts.append((place, problem))

    def raise_any(self) -> None:
        """Raises what there is: bad fields, with the conflicts among them, as 422; else the conflicts as 409."""
        listed = [FieldError(pointer(*place), problem.code, problem.detail) for place, problem in self.conflicts]
        if self.errors:
            raise invalid([*self.errors, *listed])
        if not self.conflicts:
            return
        place, first = self.conflicts[0]
        if len(self.conflicts) == 1 and not place:
            raise first
        more = f" (and {len(listed) - 1} more)" if len(listed) > 1 else ""
        raise Problem(
            first.status, first.code, first.detail + more, errors=listed, headers=first.headers, extra=first.extra
        )
