"""Deletions: what stands in their way, and what goes along."""

from __future__ import annotations

from sqlalchemy import select, update

from deskplane.configuration import store
from deskplane.configuration.store import Stored
from deskplane.kernel.fields import Ref
from deskplane.kernel.kind import Kind, Referrer
from deskplane.kernel.problem import conflict
from deskplane.kernel.work import Work

MOST_NAMED = 20


def remove(work: Work, kind: Kind, stored: Stored, *, cascade: bool) -> None:
    """Deletes an object. Raises 409 with the list of what depends on it; nothing is deleted then.

    A soft deletion leaves every reference as it is, so that the object can come back.
    """
    if not kind.soft_delete:
        blocking = _clear_the_way(work, kind, stored, cascade=cascade)
        if not cascade:
            for ask in work.registry.dependants[kind.name]:
                blocking += ask(work, stored.id)
        if blocking:
            shown = blocking[:MOST_NAMED]
            more = f" and {len(blocking) - MOST_NAMED} more" if len(blocking) > MOST_NAMED else ""
            hint = "; cascade deletes what can go along" if kind.cascades and not cascade else ""
            raise conflict(
                "has_dependants",
                f"{kind.label(stored.state)} cannot be deleted: {', '.join(shown)}{more} depend on it{hint}",
                dependants=shown,
            )
    for tell in work.registry.deleting[kind.name]:
        tell(work, stored.id)
    store.delete_object(work, kind, stored)


def _clear_the_way(work: Work, kind: Kind, stored: Stored, *, cascade: bool) -> list[str]:
    """Clears or takes along what refers to the object; answers what may not go."""
    blocking: list[str] = []
    for referrer in work.registry.referrers(kind.name):
        found = _referring(work, referrer, stored.id)
        if referrer.on_delete == "clear":
            column = f"{referrer.field}_id"
            if found:
                model = referrer.kind.model
                work.session.execute(
                    update(model)
                    .where(getattr(model, column) == stored.id)
                    .values({column: None, "version": model.version + 1, "updated_at": work.clock.now()})
                )
        elif referrer.on_delete == "cascade" and cascade:
            for other in found:
                remove(work, referrer.kind, other, cascade=True)
        else:
            blocking += [referrer.kind.label(other.state) for other in found]
    return blocking


def _referring(work: Work, referrer: Referrer, object_id: str) -> list[Stored]:
    kind = referrer.kind
    chosen = store.selection(work, kind)
    if isinstance(kind.fields[referrer.field], Ref):
        condition = getattr(kind.model, f"{referrer.field}_id") == object_id
    else:
        part = kind.parts[referrer.field]
        table, owner, target = part.table, part.owner, part.target  # type: ignore[attr-defined]
        condition = kind.model.id.in_(select(table.c[owner]).where(table.c[target] == object_id))
    return chosen.fetch(work, chosen.statement.where(condition, *kind.alive()))
