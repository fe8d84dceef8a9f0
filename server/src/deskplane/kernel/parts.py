"""Fields of kinds that live in tables of their own, besides plain sets of references (`kernel/kind.py`, `Links`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Table, delete, insert, select
from sqlalchemy.orm import Session

from deskplane.kernel.kind import Links, Registry, Resolve


@dataclass(frozen=True)
class Backlinks(Links):
    """The far side of a set of references: names of the objects of `kind` that list this one.

    A relation is written on one side only, so that the order of kinds in a document cannot matter; this is the other.
    """

    def save(self, session: Session, values: Mapping[str, Any], resolve: Resolve) -> None:
        raise AssertionError("what is read only is never written")

    def named(self, value: Any) -> Iterable[tuple[str, str, tuple[str | int, ...]]]:
        return ()


@dataclass(frozen=True)
class Rows:
    """A list of objects (`compound.Items`), one row each.

    `columns` are the objects' parts, those first that tell them apart; `references` says of which kind a part
    names an object, whose id stands in `<part>_id`.
    """

    table: Table
    owner: str
    columns: tuple[str, ...]
    references: Mapping[str, str] = field(default_factory=dict)

    def load(self, session: Session, ids: Sequence[str], registry: Registry) -> dict[str, Any]:
        shown = [
            registry[self.references[name]].key_column.label(name) if name in self.references else self.table.c[name]
            for name in self.columns
        ]
        statement = select(self.table.c[self.owner], *shown).where(self.table.c[self.owner].in_(ids))
        for name, kind in self.references.items():
            model = registry[kind].model
            statement = statement.join(model, model.id == self.table.c[f"{name}_id"])
        found: dict[str, list[dict[str, Any]]] = defaultdict(list)
        for owner, *values in session.execute(statement):
            found[owner].append(dict(zip(self.columns, values, strict=True)))
        first, *others = self.columns
        return {
            owner: sorted(items, key=lambda item: (item[first], *(str(item[name]) for name in others)))
            for owner, items in found.items()
        }

    def save(self, session: Session, values: Mapping[str, Any], resolve: Resolve) -> None:
        session.execute(delete(self.table).where(self.table.c[self.owner].in_(list(values))))
        rows = [
            {self.owner: owner, **dict(self._column(name, item[name], resolve) for name in self.columns)}
            for owner, items in values.items()
            for item in items or ()
        ]
        if rows:
            session.execute(insert(self.table), rows)

    def _column(self, name: str, value: Any, resolve: Resolve) -> tuple[str, Any]:
        kind = self.references.get(name)
        return (name, value) if kind is None else (f"{name}_id", resolve(kind, value))

    def named(self, value: Any) -> Iterable[tuple[str, str, tuple[str | int, ...]]]:
        return [
            (kind, item[name], (index, name))
            for index, item in enumerate(value or [])
            for name, kind in self.references.items()
        ]
