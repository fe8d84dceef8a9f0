"""Objects of a kind, as states, from the database and into it: in a fixed number of statements, however many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, bindparam, delete, insert, or_, select, update
from sqlalchemy.orm import aliased

from deskplane.kernel.db import execute
from deskplane.kernel.fields import Ref
from deskplane.kernel.kind import Kind, Registry, Resolve, State
from deskplane.kernel.secrets import secret_shown
from deskplane.kernel.work import Work

Key = tuple[Any, ...]
CHUNK = 10_000
"""Values in one condition; both databases take 32,000 parameters in a statement."""
MOST_EXACT = 20
"""Keys of several parts that are looked for one by one; for more it is quicker to look for their last parts alone."""


@dataclass
class Stored:
    """One object as it stands in the database."""

    id: str
    version: int
    state: State
    created_at: datetime | None = None
    updated_at: datetime | None = None
    deleted: bool = False


def key_of(kind: Kind, values: Mapping[str, Any]) -> Key:
    """The natural key in a state or in given fields."""
    return tuple(map(values.get, kind.key))


class Selection:
    """The select that reads objects of a kind, with the keys of what they refer to joined in."""

    def __init__(self, kind: Kind, registry: Registry) -> None:
        self.kind = kind
        self.registry = registry
        model = kind.model
        columns: list[Any] = [model.id, model.version, model.created_at, model.updated_at]
        columns += [model.deleted_at] if kind.soft_delete else []
        self.key_columns: dict[str, Any] = {}
        self.first = len(columns)
        self.names: list[str] = []
        joins: list[tuple[Any, Any]] = []
        for name, part in kind.fields.items():
            if name in kind.parts:
                continue
            if isinstance(part, Ref):
                to = registry[part.kind]
                target = aliased(to.model)
                column = getattr(target, to.key[0])
                found = target.id == getattr(model, f"{name}_id")
                # what was deleted softly is named again when it comes back
                joins.append((target, and_(found, target.deleted_at.is_(None)) if to.soft_delete else found))
            else:
                column = getattr(model, name)
            columns.append(column.label(f"f_{name}"))
            self.names.append(name)
            self.key_columns[name] = column
        statement: Select[Any] = select(*columns)
        for target, condition in joins:
            statement = statement.outerjoin(target, condition)
        self.statement = statement

    def stored(self, row: Any, parts: Mapping[str, Mapping[str, Any]]) -> Stored:
        """A row as an object."""
        object_id, version, created_at, updated_at = row[:4]
        state: State = dict(zip(self.names, row[self.first :], strict=True))
        for name, values in parts.items():
            found = values.get(object_id)
            state[name] = self.kind.fields[name].initial() if found is None else found
        deleted = self.kind.soft_delete and row[4] is not None
        return Stored(object_id, version, state, created_at, updated_at, bool(deleted))

    def fetch(self, work: Work, statement: Select[Any]) -> list[Stored]:
        """Runs a statement made from `self.statement`."""
        rows = execute(work.session, statement, {}).all()
        ids = [row[0] for row in rows]
        parts = {
            name: part.load(work.session, ids, self.registry) if ids else {} for name, part in self.kind.parts.items()
        }
        return [self.stored(row, parts) for row in rows]


def selection(work: Work, kind: Kind) -> Selection:
    """The kind's select; built once a process."""
    found: Selection | None = work.registry.selections.get(kind.name)
    if found is None:
        found = work.registry.selections[kind.name] = Selection(kind, work.registry)
    return found


def load_by_keys(
    work: Work, kind: Kind, keys: Sequence[Key], rename: Callable[[str, str], str] | None = None
) -> dict[Key, Stored]:
    """Objects by natural key, softly deleted ones too.

    `rename` says, for kind and name, what an object that a key refers to will be called: keys are then in new names.
    """
    chosen = selection(work, kind)
    found: dict[Key, Stored] = {}
    wanted = sorted(set(keys), key=repr)
    exact = len(kind.key) > 1 and len(wanted) <= MOST_EXACT and rename is None
    last = chosen.key_columns[kind.key[-1]]
    for start in range(0, len(wanted), CHUNK):
        chunk = wanted[start : start + CHUNK]
        condition = _exactly(kind, chosen, chunk) if exact else last.in_(sorted({key[-1] for key in chunk}))
        for stored in chosen.fetch(work, chosen.statement.where(condition)):
            found[_key_in_new_names(kind, stored.state, rename)] = stored
    return {key: found[key] for key in wanted if key in found}


def _exactly(kind: Kind, chosen: Selection, keys: Sequence[Key]) -> Any:
    return or_(
        *[and_(*[chosen.key_columns[name] == part for name, part in zip(kind.key, key, strict=True)]) for key in keys]
    )


def _key_in_new_names(kind: Kind, state: State, rename: Callable[[str, str], str] | None) -> Key:
    key = key_of(kind, state)
    if rename is None:
        return key
    parts = [kind.fields[name] for name in kind.key]
    return tuple(
        rename(part.kind, value) if isinstance(part, Ref) and value is not None else value
        for part, value in zip(parts, key, strict=True)
    )


def load_by_ids(work: Work, kind: Kind, ids: Sequence[str]) -> list[Stored]:
    """Objects that are there, by id."""
    chosen = selection(work, kind)
    found: list[Stored] = []
    for start in range(0, len(ids), CHUNK):
        condition = kind.model.id.in_(ids[start : start + CHUNK])
        found += chosen.fetch(work, chosen.statement.where(condition, *kind.alive()))
    return found


def load_all(work: Work, kind: Kind) -> list[Stored]:
    """Every object of a kind, in the order of their keys."""
    chosen = selection(work, kind)
    found = chosen.fetch(work, chosen.statement.where(*kind.alive()))
    # sorted here: databases disagree about the order of letters
    return sorted(found, key=lambda stored: sortable(key_of(kind, stored.state)))


def sortable(key: Key) -> tuple[str, ...]:
    """A key to sort by; null comes first."""
    return tuple("" if part is None else f"1{part}" for part in key)


def load_by_id(work: Work, kind: Kind, object_id: str, *, deleted: bool = False) -> Stored | None:
    """The object, if the caller may see it; with `deleted` also where it was deleted softly."""
    chosen = selection(work, kind)
    statement = chosen.statement.where(kind.model.id == object_id, *(() if deleted else kind.alive()))
    condition = kind.visible(work.actor) if kind.visible else None
    if condition is not None:
        statement = statement.where(condition)
    found = chosen.fetch(work, statement)
    return found[0] if found else None


def ids_of(work: Work, kind: Kind, names: Sequence[str]) -> dict[str, str]:
    """Natural key to id, for kinds with a key of one part."""
    found: dict[str, str] = {}
    wanted = sorted(set(names))
    for start in range(0, len(wanted), CHUNK):
        statement = select(kind.key_column, kind.model.id).where(
            kind.key_column.in_(wanted[start : start + CHUNK]), *kind.alive()
        )
        found.update(dict(work.session.execute(statement).all()))
    return found


def _columns(kind: Kind, state: Mapping[str, Any], resolve: Resolve) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in state.items():
        part = kind.written.get(name)
        if part is None or name in kind.parts:
            continue
        if isinstance(part, Ref):
            values[f"{name}_id"] = None if value is None else resolve(part.kind, value)
        else:
            values[name] = value
    return values


def insert_objects(work: Work, kind: Kind, states: Mapping[str, State], resolve: Resolve) -> None:
    """Writes the rows of new objects, given by id. Their parts are written by `save_parts`, when all rows are there."""
    now = work.clock.now()
    rows = [
        {"id": object_id, "version": 1, "created_at": now, "updated_at": now, **_columns(kind, state, resolve)}
        for object_id, state in states.items()
    ]
    # past the ORM, which makes a statement of each row that has other fields than the one before
    execute(
        work.session,
        insert(kind.model.__table__),
        [{_column(kind, name).name: value for name, value in row.items()} for row in rows],
    )


def update_objects(
    work: Work, kind: Kind, versions: Mapping[str, int], states: Mapping[str, State], resolve: Resolve
) -> None:
    """Writes the rows of objects that changed, given by id with the version that each had."""
    now = work.clock.now()
    rows = []
    for object_id, state in states.items():
        values = _columns(kind, state, resolve)
        if kind.soft_delete:
            values["deleted_at"] = None
        values |= {"version": versions[object_id] + 1, "updated_at": now}
        rows.append({"of_id": object_id, **{f"new_{name}": value for name, value in values.items()}})
    names = [name.removeprefix("new_") for name in rows[0] if name != "of_id"]
    table = kind.model.__table__
    execute(
        work.session,
        update(table)
        .where(table.c.id == bindparam("of_id"))
        .values({_column(kind, name): bindparam(f"new_{name}", type_=_column(kind, name).type) for name in names}),
        rows,
    )


def _column(kind: Kind, name: str) -> Any:
    """The column behind an attribute of the model, whose name may be another."""
    return getattr(kind.model, name).property.columns[0]


def set_names_aside(work: Work, kind: Kind, ids: Sequence[str]) -> None:
    """Gives objects names that no one has, so that they can swap theirs."""
    table = kind.model.__table__
    execute(
        work.session,
        update(table).where(table.c.id == bindparam("of_id")).values({_column(kind, kind.key[-1]): bindparam("aside")}),
        [{"of_id": object_id, "aside": f"\x7f{object_id}"} for object_id in ids],
    )


def save_parts(work: Work, kind: Kind, values: Mapping[str, Mapping[str, Any]], resolve: Resolve) -> None:
    """Writes the fields that live in tables of their own: field → id → value."""
    for name, part in kind.parts.items():
        if values.get(name):
            part.save(work.session, values[name], resolve)


def delete_objects(work: Work, kind: Kind, ids: Sequence[str]) -> None:
    """Removes objects, softly where their kind says so."""
    if kind.soft_delete:
        work.session.execute(
            update(kind.model)
            .where(kind.model.id.in_(ids))
            .values(deleted_at=work.clock.now(), version=kind.model.version + 1)
        )
    else:
        work.session.execute(delete(kind.model).where(kind.model.id.in_(ids)))


def shown(kind: Kind, state: Mapping[str, Any] | None) -> State | None:
    """A state as callers see it: secrets masked."""
    if state is None:
        return None
    found: State = {}
    for name, part in kind.fields.items():
        value = state.get(name)
        if value is None:
            found[name] = None
        elif part.secret:
            found[name] = secret_shown(value)
        else:
            found[name] = part.output(value)
    return found


def document(kind: Kind, stored: Stored) -> dict[str, Any]:
    """An object as the API answers it."""
    return {
        "id": stored.id,
        **(shown(kind, stored.state) or {}),
        "created_at": stored.created_at,
        "updated_at": stored.updated_at,
    }
