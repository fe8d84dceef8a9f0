"""Sealing every stored secret with the present secret key, while the desk works: some rows at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Column, Table, bindparam, select, tuple_, update
from sqlalchemy.orm import Session

from deskplane.configuration.models import Claim
from deskplane.configuration.service import lock_configuration
from deskplane.kernel.crypto import Vault, looks_sealed
from deskplane.kernel.db import Database, execute
from deskplane.kernel.kind import Registry
from deskplane.kernel.work import Work

AT_ONCE = 200
"""Rows that one transaction looks at."""


@dataclass
class Count:
    """What was found: secrets, how many of them are sealed with an older key, and the places of those that no key
    opens."""

    secrets: int = 0
    older: int = 0
    unreadable: list[str] = field(default_factory=list)


def columns(registry: Registry) -> list[Column[Any]]:
    """Every column that holds sealed secrets: those of kinds' secret fields, and what rooms keep besides."""
    found = {}
    for kind in registry:
        # what is prepared is hashed, not sealed
        for path in kind.secrets if kind.prepare is None else ():
            column = getattr(kind.model, path.partition(".")[0]).property.columns[0]
            found[column.table.name, column.name] = column
    for column in registry.sealed:
        found[column.table.name, column.name] = column
    return [found[name] for name in sorted(found)]


def sealed_claims() -> Column[Any]:
    """What managers declared, secrets among it."""
    return cast(Table, Claim.__table__).columns["declared"]


def rotate(
    database: Database, work_of: Callable[[Session], Work], column: Column[Any], tell: Callable[[int, int], object]
) -> int:
    """Seals a column's secrets with the first key; answers how many were not. `tell` is told of rows and secrets so
    far. Run again it goes on: what is done already is not touched."""
    after: tuple[Any, ...] | None = None
    rows = resealed = 0
    while True:

        def step(session: Session, behind: tuple[Any, ...] | None = after) -> tuple[tuple[Any, ...] | None, int, int]:
            work = work_of(session)
            lock_configuration(work)  # who changes configuration holds it, and what he read he writes again
            found = _rows(session, column, behind)
            written = 0
            for key, value in found:
                new, anew = _resealed(value, work.vault)
                if anew:
                    work.change_configuration()
                    _write(session, column, key, new)
                    written += anew
            return (found[-1][0] if len(found) == AT_ONCE else None), len(found), written

        after, looked_at, anew = database.run(step, write=True)
        rows, resealed = rows + looked_at, resealed + anew
        tell(rows, resealed)
        if after is None:
            return resealed


def count(session: Session, vault: Vault, column: Column[Any]) -> Count:
    """How a column's secrets are sealed."""
    result = Count()
    after: tuple[Any, ...] | None = None
    while True:
        found = _rows(session, column, after)
        for key, value in found:
            for token in _tokens(value):
                result.secrets += 1
                try:
                    result.older += vault.resealed(token) != token
                except ValueError:
                    result.unreadable.append(f"{column.table.name}.{column.name} of {'/'.join(map(str, key))}")
        if len(found) < AT_ONCE:
            return result
        after = found[-1][0]


def _rows(session: Session, column: Column[Any], after: tuple[Any, ...] | None) -> list[tuple[tuple[Any, ...], Any]]:
    keys = list(column.table.primary_key.columns)
    statement = select(*keys, column.label("sealed")).order_by(*keys).limit(AT_ONCE)
    if after is not None:
        statement = statement.where(tuple_(*keys) > tuple_(*after))
    return [(tuple(row[:-1]), row[-1]) for row in execute(session, statement, {})]


def _write(session: Session, column: Column[Any], key: tuple[Any, ...], value: Any) -> None:
    table: Any = column.table
    names = [(one, part) for one, part in zip(table.primary_key.columns, key, strict=True)]
    statement = update(table).where(*(one == part for one, part in names))
    execute(session, statement.values({column: bindparam("new", type_=column.type)}), {"new": value})


def _resealed(value: Any, vault: Vault) -> tuple[Any, int]:
    """A stored value with its secrets under the first key, and how many were not. What no key opens stays."""
    if isinstance(value, Mapping):
        parts = {name: _resealed(inner, vault) for name, inner in value.items()}
        return {name: new for name, (new, _anew) in parts.items()}, sum(anew for _new, anew in parts.values())
    if not looks_sealed(value):
        return value, 0
    try:
        new = vault.resealed(value)
    except ValueError:
        return value, 0
    return new, int(new != value)


def _tokens(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _tokens(inner)
    elif looks_sealed(value):
        yield value
