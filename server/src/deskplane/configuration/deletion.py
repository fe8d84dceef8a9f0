"""Deletions: what stands in their way, and what goes along. Many objects of a kind at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from sqlalchemy import select, update

from deskplane.configuration import store
from deskplane.configuration.store import Stored
from deskplane.kernel.fields import Ref
from deskplane.kernel.kind import Kind, Referrer
from deskplane.kernel.problem import Problem, conflict
from deskplane.kernel.work import Work

MOST_NAMED = 20


@dataclass
class Gone:
    """What else a deletion did: objects that went along, and fields of others that were cleared."""

    along: list[tuple[Kind, Stored]] = field(default_factory=list)
    cleared: list[tuple[Kind, Stored, str]] = field(default_factory=list)


def blocking(work: Work, kind: Kind, objects: Sequence[Stored], *, cascade: bool) -> dict[str, list[str]]:
    """What stands in the way of each object's deletion, by id, in words.

    Nothing does where the deletion is soft: every reference stays, so that the object can come back.
    """
    found: dict[str, list[str]] = defaultdict(list)
    if kind.soft_delete or not objects:
        return found
    for referrer in work.registry.referrers(kind.name):
        if referrer.on_delete == "clear" or (referrer.on_delete == "cascade" and cascade):
            continue
        for target, other in _referring(work, kind, referrer, objects):
            found[target.id].append(referrer.kind.label(other.state))
    if not cascade:
        for ask in work.registry.dependants[kind.name]:
            for object_id, words in ask(work, [stored.id for stored in objects]).items():
                found[object_id] += words
    return found


def refusal(kind: Kind, stored: Stored, found: Sequence[str], *, cascade: bool) -> Problem:
    """The 409 that lists what stands in the way."""
    shown = list(found[:MOST_NAMED])
    more = f" and {len(found) - MOST_NAMED} more" if len(found) > MOST_NAMED else ""
    hint = "; cascade deletes what can go along" if kind.cascades and not cascade else ""
    return conflict(
        "has_dependants",
        f"{kind.label(stored.state)} cannot be deleted while others depend on it: {', '.join(shown)}{more}{hint}",
        dependants=shown,
    )


def remove(work: Work, kind: Kind, objects: Sequence[Stored], *, cascade: bool, gone: Gone) -> None:
    """Deletes objects of which nothing stands in the way. Raises 409 where something does that goes along."""
    if not kind.soft_delete:
        _clear_the_way(work, kind, objects, cascade=cascade, gone=gone)
    ids = [stored.id for stored in objects]
    for tell in work.registry.deleting[kind.name]:
        tell(work, ids)
    store.delete_objects(work, kind, ids)


def _clear_the_way(work: Work, kind: Kind, objects: Sequence[Stored], *, cascade: bool, gone: Gone) -> None:
    ids = [stored.id for stored in objects]
    for referrer in work.registry.referrers(kind.name):
        if referrer.on_delete == "clear":
            found = [other for _target, other in _referring(work, kind, referrer, objects)]
            if found:
                column = f"{referrer.field}_id"
                model = referrer.kind.model
                work.session.execute(
                    update(model)
                    .where(getattr(model, column).in_(ids))
                    .values({column: None, "version": model.version + 1, "updated_at": work.clock.now()})
                )
                gone.cleared += [(referrer.kind, other, referrer.field) for other in found]
        elif referrer.on_delete == "cascade" and cascade:
            others = [other for _target, other in _referring(work, kind, referrer, objects)]
            for object_id, words in blocking(work, referrer.kind, others, cascade=True).items():
                if words:
                    stored = next(other for other in others if other.id == object_id)
                    raise refusal(referrer.kind, stored, words, cascade=True)
            if others:
                remove(work, referrer.kind, others, cascade=True, gone=gone)
                gone.along += [(referrer.kind, other) for other in others]


def _referring(
    work: Work, target_kind: Kind, referrer: Referrer, targets: Sequence[Stored]
) -> Iterator[tuple[Stored, Stored]]:
    """Pairs of a target and an object whose field refers to it."""
    kind = referrer.kind
    chosen = store.selection(work, kind)
    by_name = {stored.state[target_kind.key[0]]: stored for stored in targets}
    ids = [stored.id for stored in targets]
    direct = isinstance(kind.fields[referrer.field], Ref)
    if direct:
        condition = getattr(kind.model, f"{referrer.field}_id").in_(ids)
    else:
        part = kind.parts[referrer.field]
        table, owner, target = part.table, part.owner, part.target  # type: ignore[attr-defined]
        condition = kind.model.id.in_(select(table.c[owner]).where(table.c[target].in_(ids)))
    for other in chosen.fetch(work, chosen.statement.where(condition, *kind.alive())):
        value = other.state[referrer.field]
        for name in [value] if direct else value:
            if name in by_name:
                yield by_name[name], other
