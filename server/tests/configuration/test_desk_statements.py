"""Statements grow with kinds and not with objects: ten times the desk takes no statement more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from whole import KINDS, Blank, apply, drift, exported, law, plan

from desks import Configuration, desks, multiplied, worlds
from statements import recorded

GIT = {"manager": "git:helpdesk"}
TIMES = 10


def statements_of(blank: Blank, first: Configuration, second: Configuration) -> dict[str, int]:
    """How many statements each step of a desk's life takes."""
    api, found = blank.api, {}
    nothing: Configuration = {kind.plural: [] for kind in KINDS if not kind.fixed}
    declared = [*first.get("settings", ()), *second.get("settings", ())]
    nothing["settings"] = [{"key": key, "state": "absent"} for key in sorted({item["key"] for item in declared})]
    steps: dict[str, Callable[[], Any]] = {
        "plan of a new desk": lambda: plan(api, first, **GIT),
        "apply of a new desk": lambda: apply(api, first, **GIT),
        "plan without a change": lambda: plan(api, first, **GIT),
        "apply without a change": lambda: apply(api, first, **GIT),
        "plan of changes": lambda: plan(api, second, **GIT),
        "apply of changes": lambda: apply(api, second, **GIT),
        "drift": lambda: drift(api),
        "export": lambda: exported(api),
        "export of a manager's": lambda: exported(api, f"?manager={GIT['manager']}&full=true"),
        "prune of all": lambda: apply(api, nothing, **GIT, prune=True, max_deletions=10_000),
    }
    for name, step in steps.items():
        with recorded(api.desk) as statements:
            step()
        found[name] = len(statements)
    return found


@law(2, 20)
def test_ten_times_the_desk_takes_no_statement_more(blank: Blank, data: st.DataObject) -> None:
    world = data.draw(worlds(50))
    first, second = data.draw(desks(world)), data.draw(desks(world))
    small = statements_of(blank, first, second)
    blank.empty()
    large = multiplied(first, TIMES), multiplied(second, TIMES)
    assert sum(map(len, large[0].values())) > 400
    assert statements_of(blank, *large) == small
