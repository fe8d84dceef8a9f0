"""Plans and drift for people: coloured on a terminal, plain text elsewhere and where NO_COLOR is set."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from deskplane.client.desk_files import Declared

SIGNS = {"create": ("+", "green"), "update": ("~", "yellow"), "delete": ("-", "red"), "none": ("=", "cyan")}
DONE = {"create": "created", "update": "updated", "delete": "deleted", "none": "without change"}
PLANNED = {"create": "to create", "update": "to update", "delete": "to delete", "none": "without change"}
WIDE = 120


def console(*, stderr: bool = False) -> Console:
    """Where to print; text is as wide as it is where nobody looks at it."""
    found = Console(stderr=stderr, highlight=False, soft_wrap=True)
    if not found.is_terminal:
        found.width = 10_000
    return found


def show_plan(out: Console, answer: Mapping[str, Any], declared: Declared, *, done: bool = False) -> None:
    """Every change with its fields and its place, what ought to be looked at, and the sums."""
    for change in answer.get("changes") or ():
        for line in _change(change, declared):
            out.print(line)
    for note in notes(answer, declared):
        out.print(Text("! ", style="yellow").append(note, style="default"))
    out.print(summary(answer, done=done))


def _change(change: Mapping[str, Any], declared: Declared) -> Iterator[Text]:
    action = str(change.get("action"))
    sign, colour = SIGNS.get(action, ("?", "default"))
    line = Text(f"{sign} {change.get('label')}", style=f"bold {colour}")
    about = [f"renamed from {change['renamed_from']}"] if change.get("renamed_from") else []
    about += [word for word in ("adopted", "pruned", "disabled") if change.get(word)]
    if about:
        line.append(f" ({', '.join(about)})", style="not bold default")
    place = declared.place(str(change.get("pointer") or ""))
    if place and place.line:
        line.append(f"  {place}", style="not bold dim default")
    yield line
    if action != "delete":
        for field in change.get("changes") or ():
            yield from _field(field, creates=action == "create")
    if change.get("released"):
        yield Text(f"    released, and left as they are: {', '.join(change['released'])}", style="cyan")
    for warning in change.get("warnings") or ():
        yield Text(f"    ! {warning}", style="yellow")


def _field(field: Mapping[str, Any], *, creates: bool) -> Iterator[Text]:
    name, before, after = field.get("field"), field.get("before"), field.get("after")
    head = Text(f"    {name}: ")
    if creates:
        first, *others = words(after).splitlines() or [""]
        yield head.append(first, style="green")
        yield from (Text(f"      {line}", style="green") for line in others)
    elif isinstance(before, list) and isinstance(after, list):
        gone, new = [item for item in before if item not in after], [item for item in after if item not in before]
        if not gone and not new:
            head.append(words(before), style="red").append(" → ").append(words(after), style="green")
        for sign, colour, items in (("-", "red", gone), ("+", "green", new)):
            for item in items:
                head.append(f" {sign}{words(item)}", style=colour)
        yield head
    elif (
        isinstance(before, str)
        and isinstance(after, str)
        and ("\n" in before + after or len(before + after) > 2 * WIDE)
    ):
        yield head
        for line in list(difflib.unified_diff(before.splitlines(), after.splitlines(), lineterm="", n=1))[2:]:
            colour = {"-": "red", "+": "green", "@": "cyan"}.get(line[:1], "default")
            yield Text(f"      {line}", style=colour)
    else:
        yield head.append(words(before), style="red").append(" → ").append(words(after), style="green")


def _is_long(text: str) -> bool:
    return "\n" in text or len(text) > WIDE


def words(value: Any) -> str:
    """A value as it may be read: text as it is, unless it would look like nothing or something else."""
    if isinstance(value, str) and value and value.strip() == value and value not in ("null", "true", "false"):
        return value
    return json.dumps(value, ensure_ascii=False)


def notes(answer: Mapping[str, Any], declared: Declared) -> list[str]:
    """What ought to be looked at besides the changes."""
    found = [str(text) for text in answer.get("warnings") or ()]
    for missing in answer.get("unresolved") or ():
        pointer = str(missing.get("pointer"))
        place = declared.place(pointer)
        where = f"{place}: " if place and place.line else ""
        found.append(
            f"{where}{declared.name(pointer)} names the {missing['kind']} {missing['name']}, which is not there"
        )
    for need in answer.get("needs_secret") or ():
        named = "/".join(str(part) for part in need["key"].values())
        found.append(
            f"the desk has no {need['field']} of {need['kind']} {named} yet: "
            f"give {declared.reference(need)} by --secrets"
        )
    left = [str(one.get("label")) for one in answer.get("not_declared") or ()]
    if left:
        more = f", and {len(left) - 10} more" if len(left) > 10 else ""
        found.append(f"declared no longer, and left alone without --prune: {', '.join(left[:10])}{more}")
    return found


def summary(answer: Mapping[str, Any], *, done: bool = False) -> Text:
    """The sums in a line."""
    sums = answer.get("summary") or {}
    said = DONE if done else PLANNED
    parts = [f"{sums[action]} {said[action]}" for action in ("create", "update", "delete", "none") if sums.get(action)]
    parts += [
        f"{sums[name]} {word}" for name, word in (("adopt", "adopted"), ("release", "released")) if sums.get(name)
    ]
    head = "No change" if not answer.get("changed") else "Applied" if done else "Plan"
    return Text(f"{head}: {', '.join(parts) or 'nothing is declared'}", style="bold")


def show_drift(out: Console, answer: Mapping[str, Any]) -> None:
    """What was changed since it was declared, as a table."""
    items = answer.get("items") or []
    if not items:
        out.print(Text("No drift: the desk is as it was declared", style="bold"))
        return
    table = Table(box=SIMPLE)
    for column in ("object", "field", "declared", "now", "who", "when"):
        table.add_column(column, overflow="fold")
    for item in items:
        gone = item.get("change") == "deleted"
        cells = [item.get("label"), item.get("field")]
        cells += ["", "deleted"] if gone else [words(item.get("before")), words(item.get("after"))]
        cells += [item.get("who"), item.get("when")]
        table.add_row(*(Text(str(cell or "-" if cell is None else cell)) for cell in cells))
    out.print(table)
    objects = len({(item.get("kind"), item.get("label")) for item in items})
    out.print(Text(f"{_count(len(items), 'difference')} in {_count(objects, 'object')}", style="bold"))


def _count(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
