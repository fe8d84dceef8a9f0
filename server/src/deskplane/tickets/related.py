"""Links and references as they are declared: sets, of which what is given replaces what was there."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from deskplane.kernel.work import Work
from deskplane.tickets import links, outside
from deskplane.tickets.announcements import announce
from deskplane.tickets.draft import Draft

NAMES = ("links", "references")


def queue(work: Work, body: Mapping[str, Any]) -> None:
    """To be called before the ticket is locked."""
    links.queue(work, [item["type"] for item in body.get("links") or ()])


def shown(work: Work, draft: Draft, body: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a ticket's relations that are declared, as they are."""
    found: dict[str, Any] = {}
    if "links" in body:
        found["links"] = [link.shown() for link in links.seen(work, draft.columns["id"])]
    if "references" in body:
        there = outside.of_ticket(work, draft.columns["id"])
        told = [{name: getattr(one, name) for name in outside.PARTS} for one in there]
        found["references"] = sorted(told, key=lambda one: (one["type"], one["url"]))
    return found


def declare(work: Work, draft: Draft, body: Mapping[str, Any]) -> bool:
    """Makes them what is declared; answers whether anything changed."""
    changed = False
    if "links" in body:
        changed |= links.replace(work, draft, body["links"] or [])
    if "references" in body:
        changed |= outside.replace(work, draft, body["references"] or [])
    return changed


def changing(work: Work, draft: Draft, body: Mapping[str, Any], change: Callable[[], set[str]]) -> set[str]:
    """Declares them together with a change of the ticket: one new version, and one event. `change` makes it, and
    answers which fields changed."""
    declared, version = declare(work, draft, body), draft.columns["version"]
    changed = change()
    if declared and draft.columns["version"] == version:
        links.touch(work, draft)
        announce(work, "ticket_updated", draft)
    return changed | (set(NAMES) & set(body) if declared else set())
