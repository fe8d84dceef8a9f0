"""Objects of a kind, as states, from the database and into it: in a fixed number of statements, however many."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, and_, delete, insert, or_, select, update
from sqlalchemy.orm import aliased

from deskplane.kernel.fields import SECRET_SHOWN, Ref
from deskplane.kernel.ids import new_id
from deskplane.kernel.kind import Kind, Registry, State
from deskplane.kernel.work import Work

Key = tuple[Any, ...]
CHUNK = 200


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
    return tuple(values.get(name) for name in kind.key)


class Selection:
    """The select that reads objects of a kind, with the keys of what they refer to joined in."""

    def __init__(self, kind: Kind, registry: Registry) -> None:
        self.kind = kind
        self.registry = registry
        model = kind.model
        columns: list[Any] = [model.id, model.version, model.created_at, model.updated_at]
        columns += [model.deleted_at] if kind.soft_delete else []
        self.key_columns: dict[str, Any] = {}
        joins: list[tuple[Any, Any]] = []
        for name, part in kind.fields.items():
            if name in kind.parts:
                continue
            if isinstance(part, Ref):
                target = aliased(registry[part.kind].model)
                column = getattr(target, registry[part.kind].key[0])
                joins.append((target, target.id == getattr(model, f"{name}_id")))
            else:
                column = getattr(model, name)
            columns.append(column.label(f"f_{name}"))
            self.key_columns[name] = column
        statement: Select[Any] = select(*columns)
        for target, condition in joins:
            statement = statement.outerjoin(target, condition)
        self.statement = statement

    def stored(self, row: Any, parts: Mapping[str, Mapping[str, Any]]) -> Stored:
        """A row as an object."""
        values = row._mapping
        state: State = {}
        for name, part in self.kind.fields.items():
            if name in self.kind.parts:
                found = parts[name].get(values["id"])
                state[name] = part.initial() if found is None else found
            else:
                state[name] = values[f"f_{name}"]
        return Stored(
            id=values["id"],
            version=values["version"],
            state=state,
            created_at=values["created_at"],
            updated_at=values["updated_at"],
            deleted=bool(self.kind.soft_delete and values["deleted_at"] is not None),
        )

    def fetch(self, work: Work, statement: Select[Any]) -> list[Stored]:
        """Runs a statement made from `self.statement`."""
        rows = work.session.execute(statement).all()
        ids = [row.id for row in rows]
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


def load_by_keys(work: Work, kind: Kind, keys: Sequence[Key]) -> dict[Key, Stored]:
    """Objects by natural key, softly deleted ones too."""
    chosen = selection(work, kind)
    found: dict[Key, Stored] = {}
    wanted = sorted(set(keys), key=repr)
    for start in range(0, len(wanted), CHUNK):
        chunk = wanted[start : start + CHUNK]
        if len(kind.key) == 1:
            condition = chosen.key_columns[kind.key[0]].in_([key[0] for key in chunk])
        else:
            condition = or_(
                *[
                    and_(*[chosen.key_columns[name] == part for name, part in zip(kind.key, key, strict=True)])
                    for key in chunk
                ]
            )
        for stored in chosen.fetch(work, chosen.statement.where(condition)):
            found[key_of(kind, stored.state)] = stored
    return found


def load_by_id(work: Work, kind: Kind, object_id: str) -> Stored | None:
    """The object, if the caller may see it."""
    chosen = selection(work, kind)
    statement = chosen.statement.where(kind.model.id == object_id, *kind.alive())
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


def _columns(kind: Kind, state: Mapping[str, Any], resolve: Callable[[str, str], str]) -> dict[str, Any]:
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


def insert_objects(work: Work, kind: Kind, states: Sequence[State], resolve: Callable[[str, str], str]) -> list[str]:
    """Writes new objects; answers their ids, in order."""
    now = work.clock.now()
    rows = [
        {"id": new_id(), "version": 1, "created_at": now, "updated_at": now, **_columns(kind, state, resolve)}
        for state in states
    ]
    if rows:
        work.session.execute(insert(kind.model), rows)
    for name, part in kind.parts.items():
        values = {row["id"]: state[name] for row, state in zip(rows, states, strict=True) if state.get(name)}
        if values:
            part.save(work.session, values, resolve)
    return [row["id"] for row in rows]


def update_object(work: Work, kind: Kind, stored: Stored, changed: State, resolve: Callable[[str, str], str]) -> None:
    """Writes the fields that changed."""
    values = _columns(kind, changed, resolve)
    if kind.soft_delete:
        values["deleted_at"] = None
    values |= {"version": stored.version + 1, "updated_at": work.clock.now()}
    work.session.execute(update(kind.model).where(kind.model.id == stored.id).values(**values))
    for name, part in kind.parts.items():
        if name in changed:
            part.save(work.session, {stored.id: changed[name]}, resolve)


def delete_object(work: Work, kind: Kind, stored: Stored) -> None:
    """Removes an object, softly where its kind says so."""
    if kind.soft_delete:
        work.session.execute(
            update(kind.model)
            .where(kind.model.id == stored.id)
            .values(deleted_at=work.clock.now(), version=stored.version + 1)
        )
    else:
        work.session.execute(delete(kind.model).where(kind.model.id == stored.id))


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
            found[name] = SECRET_SHOWN
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
