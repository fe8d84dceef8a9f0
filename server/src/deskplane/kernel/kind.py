"""Kinds: what the desk's configuration is made of, each declared once.

A kind is a model (its table), a schema (its contract) and one `Kind(...)`. The reconciler, the endpoints, OpenAPI,
the rights and the Ansible modules follow from it. Kinds name each other through the registry and never import one
another, so that a lower room can refer to a higher one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

from marshmallow import Schema, ValidationError
from sqlalchemy import Column, ColumnElement, Table, delete, insert, select
from sqlalchemy.orm import Session

from deskplane.kernel.actor import Actor
from deskplane.kernel.compound import Group, RefSet, described
from deskplane.kernel.db import Database
from deskplane.kernel.fields import Described, Ref
from deskplane.kernel.problem import FieldError, pointer
from deskplane.kernel.work import Work

State = dict[str, Any]
"""An object as its canonical field values: references as natural keys, secrets sealed."""

Resolve = Callable[[str, str], str]
"""Kind and natural key to id."""

Prepared = tuple[Mapping[str, Any], Mapping[str, Any]]
"""The given fields and the options of one object."""


class Part(Protocol):
    """A field that lives in a table of its own."""

    def load(self, session: Session, ids: Sequence[str], registry: Registry) -> dict[str, Any]:
        """The values of those objects that have one."""
        ...

    def save(self, session: Session, values: Mapping[str, Any], resolve: Resolve) -> None:
        """Replaces the values of objects, given by id: in a fixed number of statements, however many."""
        ...

    def named(self, value: Any) -> Iterable[tuple[str, str, tuple[str | int, ...]]]:
        """Each reference in a value: kind, natural key, and the path to it below the field."""
        ...


@dataclass(frozen=True)
class Links:
    """A set of references in an association table of (owner, target)."""

    kind: str
    table: Table
    owner: str
    target: str

    def load(self, session: Session, ids: Sequence[str], registry: Registry) -> dict[str, Any]:
        target = registry[self.kind]
        owner_column, target_column = self.table.c[self.owner], self.table.c[self.target]
        rows = session.execute(
            select(owner_column, getattr(target.model, target.key[-1]))
            .join(target.model, target.model.id == target_column)
            .where(owner_column.in_(ids), *target.alive())
        )
        found: dict[str, list[str]] = defaultdict(list)
        for owner, name in rows:
            found[owner].append(name)
        return {owner: sorted(names) for owner, names in found.items()}

    def save(self, session: Session, values: Mapping[str, Any], resolve: Resolve) -> None:
        session.execute(delete(self.table).where(self.table.c[self.owner].in_(list(values))))
        rows = [
            {self.owner: owner, self.target: resolve(self.kind, name)}
            for owner, names in values.items()
            for name in names or ()
        ]
        if rows:
            session.execute(insert(self.table), rows)

    def named(self, value: Any) -> Iterable[tuple[str, str, tuple[str | int, ...]]]:
        return [(self.kind, name, (index,)) for index, name in enumerate(value or [])]


@dataclass
class Check:
    """One object about to be written, for a kind's own rules. `after` may be brought into another form.

    Rules run before anything is written: what they ask of the database they ask through `work.keep`, or `exists`,
    which also knows what is made, renamed and deleted together with this object.
    """

    work: Work
    kind: Kind
    before: State | None
    after: State
    given: Mapping[str, Any]
    exists: Callable[[str, str], bool]
    errors: list[FieldError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    unresolved: list[dict[str, str]] | None = None

    def unknown(self, name: str, kind: str, key: str) -> None:
        """Notes a field that names what there is not: as bad, or as unresolved where that is asked for."""
        if self.unresolved is None:
            self.refuse(name, "unknown_reference", f"there is no {self.work.registry[kind].title} named {key!r}")
        else:
            self.unresolved.append({"field": name, "kind": kind, "name": key})

    def refuse(self, name: str, code: str, detail: str, allowed: Any = None) -> None:
        """Notes a bad field; `name` may be dotted."""
        self.errors.append(FieldError(pointer(*name.split(".")), code, detail, allowed))


@dataclass(frozen=True)
class Written:
    """What was (or, in a dry run, would be) done with one object. `declared` is kind and key of everything that was
    declared together with it."""

    work: Work
    kind: Kind
    id: str
    action: str
    before: State | None
    after: State | None
    warnings: list[str]
    declared: frozenset[tuple[str, tuple[Any, ...]]] = frozenset()


@dataclass(frozen=True)
class Beside:
    """What was done besides an object's own fields: entries of the list of changes, and further parts of the answer."""

    changes: list[dict[str, Any]]
    answer: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of configuration object.

    Args:
        name: singular, as in the document, the module and the code; `module` where Ansible's differs.
        plural: the name of its list in the desk's document; `path` in addresses.
        key: the fields that name an object.
        permission: what its writing needs. `readers` are further permissions that allow reading.
        parts: fields that live in tables of their own.
        options: what an apply may say besides the fields.
        check: the kind's own rules.
        prepare: works out, from the given fields and options of each object and before any lock is taken, what becomes
            of fields that are hashed: for each a function from the stored value, null for an object that is made, to
            the one to store. Only under the lock is it known which object is meant. Fields left out stay as they are.
        work_out: does what takes long of what `prepare` answered, outside of any transaction: hashing. May raise 429.
        beside: brings what belongs to an object, given its id and the options, to what is declared.
        beside_options: the options that this is about; they are no part of the desk's document.
        fixed: objects are neither made nor deleted; `absent` sets one back to its defaults.
        soft_delete: a deletion keeps the row (column `deleted_at`); apply brings it back.
        cascades: whether a deletion may be asked to take its dependants along.
        visible: the condition under which a caller sees an object; None: all of them.
        filters: fields that a list of them is filtered by, besides those of the key.
        owned_by: the field that names the customer whose owners manage such objects as well.
        as_shipped: whether an object is just as every desk has it from the start; an export leaves it out.
    """

    name: str
    plural: str
    title: str
    model: Any
    schema: type[Schema]
    key: tuple[str, ...]
    permission: str
    short_description: str
    description: Sequence[str] = ()
    notes: Sequence[str] = ()
    examples: Sequence[Mapping[str, Any]] = ()
    sample: Mapping[str, Any] = field(default_factory=dict)
    version_added: str = "0.1.0"
    module: str = ""
    readers: tuple[str, ...] = ("tickets:access",)
    field_permissions: Mapping[str, str] = field(default_factory=dict)
    parts: Mapping[str, Part] = field(default_factory=dict)
    options: type[Schema] | None = None
    check: Callable[[Check], None] | None = None
    prepare: Callable[[Work, Sequence[Prepared]], list[dict[str, Any]]] | None = None
    work_out: Callable[[Work, Database, Sequence[Mapping[str, Any]]], None] | None = None
    beside: Callable[[Work, str, Mapping[str, Any]], Beside] | None = None
    beside_options: tuple[str, ...] = ()
    fixed: bool = False
    soft_delete: bool = False
    cascades: bool = False
    visible: Callable[[Actor], ColumnElement[bool] | None] | None = None
    filters: tuple[str, ...] = ()
    owned_by: str | None = None
    as_shipped: Callable[[State], bool] | None = None

    @property
    def path(self) -> str:
        """The kind in addresses."""
        return self.plural.replace("_", "-")

    @cached_property
    def fields(self) -> dict[str, Described]:
        """Every field by name, in the schema's order."""
        return described(self.schema())

    @cached_property
    def naming(self) -> tuple[str, ...]:
        """The parts of the key that every document gives; of another part, null is a value like any other."""
        return tuple(name for name in self.key if self.fields[name].must_have)

    @cached_property
    def written(self) -> dict[str, Described]:
        """The fields that a caller may set."""
        return {name: part for name, part in self.fields.items() if not part.read_only}

    @property
    def key_column(self) -> Any:
        """The column of a key of one part, by which other kinds refer to this one."""
        return getattr(self.model, self.key[0])

    @cached_property
    def referring(self) -> tuple[str, ...]:
        """The fields that may refer to other objects."""
        return tuple(name for name, part in self.fields.items() if isinstance(part, Ref) or name in self.parts)

    @cached_property
    def groups(self) -> Mapping[str, Group]:
        """The fields that are objects of fields."""
        return {name: part for name, part in self.written.items() if isinstance(part, Group)}

    @cached_property
    def secrets(self) -> tuple[str, ...]:
        """The paths of the fields that are secret: `imap.password`."""
        found = []
        for name, part in self.written.items():
            if part.secret:
                found.append(name)
            elif isinstance(part, Group):
                found += [f"{name}.{inner}" for inner, inner_part in part.parts.items() if inner_part.secret]
        return tuple(found)

    def spelled(self, name: str, text: str) -> str:
        """A text that may be a part of the key, in the one spelling; as it is, where nothing can be called so."""
        try:
            return str(self.fields[name].deserialize(text))
        except ValidationError:
            return text

    def alive(self) -> tuple[ColumnElement[bool], ...]:
        """The condition that leaves out what was deleted softly."""
        return (self.model.deleted_at.is_(None),) if self.soft_delete else ()

    def label(self, state: Mapping[str, Any]) -> str:
        """The object in words: `sla_policy critical-30m`."""
        return f"{self.name} " + "/".join(str(state.get(part) or "-") for part in self.key)

    def describe(self) -> dict[str, Any]:
        """Everything that generators need (modules, documentation)."""
        options = described(self.options()) if self.options else {}
        return {
            "name": self.name,
            "module": self.module or self.name,
            "plural": self.plural,
            "path": self.path,
            "title": self.title,
            "key": list(self.key),
            "filters": list(self.filters),
            "short_description": self.short_description,
            "description": list(self.description),
            "notes": list(self.notes),
            "version_added": self.version_added,
            "permission": self.permission,
            "states": ["present", "absent"],
            "fixed": self.fixed,
            "cascades": self.cascades,
            "options": [part.describe(name) for name, part in options.items()],
            "fields": [part.describe(name) for name, part in self.fields.items()],
            "examples": [dict(example) for example in self.examples],
            "sample": dict(self.sample),
        }


@dataclass(frozen=True)
class Referrer:
    """A field of some kind that refers to a given one."""

    kind: Kind
    field: str
    on_delete: str


@dataclass(frozen=True)
class Misfit:
    """Why what was written does not go together: in words, and the fields that it lies in: kind, id and field of each
    object, the one first that is rather to be changed."""

    code: str
    detail: str
    fields: Sequence[tuple[str, str, str]]


class Unsettled(Exception):
    """Raised by `Registry.settled` for what does not go together, all of it at once."""

    def __init__(self, misfits: Sequence[Misfit]) -> None:
        super().__init__(misfits[0].detail)
        self.misfits = misfits


class Registry:
    """The kinds of one server, and what higher rooms want to be asked or told about them.

    `checks`: rules of higher rooms, besides the kind's own. `dependants`: asked before deletions; answers, by id,
    what stands in their way, in words. `deleting`: told just before rows go, softly or not; `purging`: just before
    rows go for good that would only go softly. `made`: told by a room that makes an object by itself, for the
    configuration's history. `sealed`: columns besides those of kinds that hold sealed secrets. `on_written`: told
    after writes (or dry ones) in the same transaction; may add warnings. `settled`: asked at the end, when all is
    written, and may still refuse all of it by raising a Problem or Unsettled. Each is given all objects of a kind
    at once.
    """

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self.kinds: dict[str, Kind] = {kind.name: kind for kind in kinds}
        self.selections: dict[str, Any] = {}
        self.checks: dict[str, list[Callable[[Check], None]]] = defaultdict(list)
        self.dependants: dict[str, list[Callable[[Work, Sequence[str]], dict[str, list[str]]]]] = defaultdict(list)
        self.deleting: dict[str, list[Callable[[Work, Sequence[str]], None]]] = defaultdict(list)
        self.purging: dict[str, list[Callable[[Work, Sequence[str]], None]]] = defaultdict(list)
        self.made: list[Callable[[Work, Kind, str, State], None]] = []
        self.on_written: dict[str, list[Callable[[Sequence[Written]], None]]] = defaultdict(list)
        self.sealed: list[Column[Any]] = []
        self.settled: dict[str, list[Callable[[Work], None]]] = defaultdict(list)

    def __getitem__(self, name: str) -> Kind:
        return self.kinds[name]

    def __iter__(self) -> Any:
        return iter(self.kinds.values())

    def referrers(self, name: str) -> list[Referrer]:
        """Every field that refers to the kind: directly, or in a set or list."""
        found = []
        for kind in self.kinds.values():
            for field_name, part in kind.fields.items():
                if isinstance(part, Ref) and part.kind == name:
                    found.append(Referrer(kind, field_name, part.on_delete))
                elif isinstance(part, RefSet) and part.kind == name:
                    found.append(Referrer(kind, field_name, "refuse"))
        return found

    @cached_property
    def writing_order(self) -> tuple[Kind, ...]:
        """Every kind after those whose rows its own rows point at. Sets have tables of their own, written last."""
        return self._ordered(lambda part: isinstance(part, Ref))

    @cached_property
    def deleting_order(self) -> tuple[Kind, ...]:
        """Every kind before those whose deletion it would stand in the way of."""
        return self._ordered(
            lambda part: isinstance(part, RefSet) or (isinstance(part, Ref) and part.on_delete != "clear")
        )[::-1]

    def _ordered(self, counts: Callable[[Described], bool]) -> tuple[Kind, ...]:
        found: dict[str, Kind] = {}

        def visit(kind: Kind, below: tuple[str, ...]) -> None:
            if kind.name in found or kind.name in below:
                return
            for part in kind.fields.values():
                if isinstance(part, (Ref, RefSet)) and counts(part) and part.kind in self.kinds:
                    visit(self.kinds[part.kind], (*below, kind.name))
            found[kind.name] = kind

        for kind in self.kinds.values():
            visit(kind, ())
        return tuple(found.values())


def references(kind: Kind, state: Mapping[str, Any]) -> list[tuple[str, str, tuple[str | int, ...]]]:
    """Each reference in a state (or a part of one): kind, natural key, path."""
    found: list[tuple[str, str, tuple[str | int, ...]]] = []
    for name in kind.referring:
        value = state.get(name)
        if value is None:
            continue
        part = kind.fields[name]
        if isinstance(part, Ref):
            found.append((part.kind, value, (name,)))
        else:
            found += [(target, key, (name, *path)) for target, key, path in kind.parts[name].named(value)]
    return found
