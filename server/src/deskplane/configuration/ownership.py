"""Who declared what (domain: configuration as code). A manager owns the fields that it declared; an object has one
owner, the manager that made it or adopted it, and only that one prunes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import orjson
from sqlalchemy import ColumnElement, Table, and_, bindparam, delete, insert, or_, select, update

from deskplane.configuration.differences import differs
from deskplane.configuration.entries import Document, Entry
from deskplane.configuration.models import Claim, Manager
from deskplane.configuration.troubles import Troubles
from deskplane.kernel.compound import Group
from deskplane.kernel.db import execute
from deskplane.kernel.kind import Kind, State
from deskplane.kernel.problem import Problem, conflict
from deskplane.kernel.secrets import SecretReference
from deskplane.kernel.work import Work

REFUSE, DISABLE = "refuse", "disable"
MOST_NAMED = 20
MOST_BY_ID = 200
"""Objects whose claims are looked for one by one; of a large document's kinds it is quicker to read all claims."""


@dataclass(frozen=True)
class Declaration:
    """How a run's documents are meant. Without a manager nothing is owned, and nothing pruned.

    Args:
        kinds: the kinds that a whole desk's document lists; empty for a request about one object.
        prune: delete what the manager owns, of these kinds, and no longer declares; at most `max_deletions`.
        on_blocked: what becomes of a pruned object that something depends on: `refuse`, or `disable` it.
        adopt: become the owner of declared objects that have none.
        force: take over what another manager owns.
    """

    manager: str | None = None
    revision: str | None = None
    prune: bool = False
    max_deletions: int = 10
    on_blocked: str = REFUSE
    adopt: bool = False
    force: bool = False
    kinds: tuple[Kind, ...] = ()


def paths(kind: Kind, given: Mapping[str, Any]) -> set[str]:
    """The fields that are declared, objects part by part: `imap.port`. A key names an object, and is no field of it."""
    found: set[str] = set()
    for name, value in given.items():
        part = kind.written.get(name)
        if part is None or name in kind.key:
            continue
        if isinstance(part, Group):
            found |= {f"{name}.{inner}" for inner in (part.parts if value is None else value)}
        else:
            found.add(name)
    return found


def value_at(state: Mapping[str, Any], path: str) -> Any:
    """A field's value in a state."""
    name, _, inner = path.partition(".")
    value = state.get(name)
    return (value or {}).get(inner) if inner else value


def declared_values(document: Document, after: State) -> dict[str, Any]:
    """What is declared, by path: canonical, secrets sealed; of one that was declared by reference, the reference."""
    found: dict[str, Any] = {}
    keys, groups = document.kind.key, document.kind.groups
    for name, given in document.given.items():
        if name in keys:
            continue
        value = after[name]
        group = groups.get(name)
        if group is None:
            found[name] = {"$secret": given.text} if isinstance(given, SecretReference) else plain(value)
            continue
        for inner in group.parts if given is None else given:
            declared = None if given is None else given[inner]
            path = f"{name}.{inner}"
            found[path] = {"$secret": declared.text} if isinstance(declared, SecretReference) else plain(value[inner])
    return found


def plain(value: Any) -> Any:
    """A canonical value as JSON holds it."""
    if value is None or value.__class__ in (str, int, bool):
        return value
    if isinstance(value, list) and all(item.__class__ is str for item in value):
        return value
    return orjson.loads(orjson.dumps(value, option=orjson.OPT_UTC_Z))


def _another(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether something else is declared. As a rule it is the same text, which needs no look at each value."""
    one, other = (orjson.dumps(declared, option=orjson.OPT_SORT_KEYS) for declared in (old, new))
    return one != other and differs(old, new)


@dataclass(frozen=True)
class Held:
    """One manager's claim on one object."""

    manager: str
    owns: bool
    key: list[Any]
    declared: dict[str, Any]


Key = tuple[str, str]
"""Kind and id of an object."""


class Claims:
    """The claims on the objects of one run."""

    def __init__(self, work: Work, declaration: Declaration) -> None:
        self.work = work
        self.declaration = declaration
        self.held: dict[Key, dict[str, Held]] = defaultdict(dict)
        self.stored: dict[tuple[str, str, str], Held] = {}
        self.revisions: dict[str, str | None] = {}

    def load(self, objects: Iterable[Key], *, own: bool = True) -> None:
        """Reads every claim on these objects, and with `own` all of the manager's own of the listed kinds."""
        names = [kind.name for kind in self.declaration.kinds] if own else []
        wanted = [object_id for _kind, object_id in objects]
        condition: ColumnElement[bool]
        if names and len(wanted) > MOST_BY_ID:
            condition = Claim.kind.in_(names)
        else:
            condition = Claim.object_id.in_(wanted)
            if self.declaration.manager is not None and names:
                condition = or_(condition, and_(Claim.manager == self.declaration.manager, Claim.kind.in_(names)))
        columns = (Claim.kind, Claim.object_id, Claim.manager, Claim.owns, Claim.key, Claim.declared, Manager.revision)
        rows: Sequence[Any] = execute(self.work.session, select(*columns).join(Manager).where(condition), {}).all()
        for kind, object_id, manager, owns, key, declared, revision in rows:
            found = Held(manager, owns, key, declared)
            self.stored[kind, object_id, manager] = found
            self.held[kind, object_id][manager] = found
            self.revisions[manager] = revision

    def weigh(self, entries: Sequence[Entry], troubles: Troubles) -> None:
        """Lets the manager claim what it declares, and releases what it does not any more; notes what is another's."""
        manager = self.declaration.manager
        for entry in entries:
            key = (entry.kind.name, entry.id)
            if manager is None:
                self._warn(entry)
            elif entry.document.absent:
                self._absent(entry, troubles)
            elif entry.outcome.after is not None:  # else there is no such object, which is among the troubles already
                self._claim(manager, entry, entry.outcome.after, self.held[key], troubles)

    def _claim(self, manager: str, entry: Entry, after: State, held: dict[str, Held], troubles: Troubles) -> None:
        outcome = entry.outcome
        declared = declared_values(entry.document, after)
        place = entry.document.place
        mine = held.get(manager)
        others = [other for other in held.values() if other is not mine]
        for other in others:
            both = sorted(declared.keys() & other.declared.keys())
            if _takes_the_name(entry, other) and not self.declaration.force:
                both.insert(0, entry.kind.key[-1])
            if both and not self.declaration.force:
                troubles.clash(place, self._owned_by_another(entry, both, other))
            elif both:
                outcome.warnings.append(f"{_listed(both)} is taken over from {other.manager}")
                left = {path: value for path, value in other.declared.items() if path not in both}
                held[other.manager] = replace(other, declared=left)
        owner = next((other for other in others if other.owns), None)
        owns = entry.alive is None or (mine is not None and mine.owns)
        if not owns and self.declaration.adopt:
            if owner is not None and not self.declaration.force:
                troubles.clash(place, self._owned_by_another(entry, [], owner))
            owns = outcome.adopted = True
        if owns and owner is not None:
            outcome.warnings.append(f"the object is taken over from {owner.manager}")
            held[owner.manager] = replace(held[owner.manager], owns=False)
        if mine is not None and mine.declared.keys() != declared.keys():
            outcome.released = sorted(mine.declared.keys() - declared.keys())
        key = list(entry.key)
        if mine is None or (mine.owns, mine.key) != (owns, key) or _another(mine.declared, declared):
            held[manager] = Held(manager, owns, key, declared)

    def _absent(self, entry: Entry, troubles: Troubles) -> None:
        held = self.held[entry.kind.name, entry.id]
        for other in held.values():
            if other.manager != self.declaration.manager and not self.declaration.force and entry.alive is not None:
                troubles.clash(entry.document.place, self._owned_by_another(entry, [], other))
                break
        held.clear()

    def _owned_by_another(self, entry: Entry, fields: Sequence[str], other: Held) -> Problem:
        shown = _listed(fields) if fields else "the object"
        revision = self.revisions.get(other.manager)
        at = f" (revision {revision})" if revision else ""
        return conflict(
            "owned_by_another",
            f"{entry.label}: {shown} belongs to the manager {other.manager}{at}; "
            "leave it to that one, or take it over with force",
            owner=other.manager,
            fields=list(fields),
        )

    def _warn(self, entry: Entry) -> None:
        """A change by hand of what a manager declared is done, and told."""
        changed = {change["field"] for change in entry.outcome.changes}
        for held in self.held.get((entry.kind.name, entry.id), {}).values():
            if entry.outcome.action == "delete":
                if held.owns:
                    entry.outcome.warnings.append(f"{entry.label} belongs to {held.manager}, which will make it again")
                continue
            if _takes_the_name(entry, held):
                entry.outcome.warnings.append(
                    f"{held.manager} declares it as {held.key[-1]}, which its next apply makes again"
                )
            touched = sorted(changed & set(held.declared))
            if touched:
                entry.outcome.warnings.append(
                    f"{', '.join(touched)} is declared by {held.manager}, whose next apply sets it back"
                )

    def not_declared(self, entries: Sequence[Entry]) -> list[Key]:
        """What the manager has a claim on, of the listed kinds, and does not declare here."""
        manager = self.declaration.manager
        kinds = {kind.name for kind in self.declaration.kinds}
        declared = {(entry.kind.name, entry.id) for entry in entries}
        return [
            key
            for key, held in self.held.items()
            if manager is not None and manager in held and key[0] in kinds and key not in declared
        ]

    def leave(self, keys: Iterable[Key]) -> None:
        """Gives up the manager's claims on objects."""
        assert self.declaration.manager is not None
        for key in keys:
            self.held[key].pop(self.declaration.manager, None)

    def keep(self, key: Key) -> None:
        """Takes back what was given up of an object: it stays after all."""
        self.held[key] = {held.manager: held for (*of, _manager), held in self.stored.items() if tuple(of) == key}

    def owned(self, key: Key) -> bool:
        """Whether the object is the manager's own."""
        assert self.declaration.manager is not None
        return self.held[key][self.declaration.manager].owns

    def write(self) -> None:
        """Stores what differs from what is stored."""
        manager = self.declaration.manager
        if manager is None:
            return
        self._write_manager(manager)
        wanted = {
            (kind, object_id, held.manager): held
            for (kind, object_id), by_manager in self.held.items()
            for held in by_manager.values()
            if held.owns or held.declared
        }
        gone = [key for key in self.stored if key not in wanted]
        changed = [key for key, held in wanted.items() if key in self.stored and self.stored[key] is not held]
        new = [key for key in wanted if key not in self.stored]
        table = cast(Table, Claim.__table__)
        where = and_(
            table.c.kind == bindparam("of_kind"),
            table.c.object_id == bindparam("of_id"),
            # put so that the index by manager does not fit: without statistics PostgreSQL takes that one, and looks
            # through all that the manager claims, for each
            table.c.manager.concat("") == bindparam("of_manager"),
        )
        if gone or changed or new:
            self.work.change_configuration()
        session = self.work.session
        if gone:
            rows = [{"of_kind": key[0], "of_id": key[1], "of_manager": key[2]} for key in gone]
            execute(session, delete(table).where(where), rows)
        # who gives an object up goes first: it has one owner at any time
        changed.sort(key=lambda key: wanted[key].owns)
        if changed:
            values = {name: bindparam(f"new_{name}", type_=table.c[name].type) for name in ("owns", "key", "declared")}
            rows = [
                {
                    "of_kind": key[0],
                    "of_id": key[1],
                    "of_manager": key[2],
                    **{f"new_{name}": getattr(wanted[key], name) for name in values},
                }
                for key in changed
            ]
            execute(session, update(table).where(where).values(values), rows)
        if new:
            rows = [{"kind": key[0], "object_id": key[1], "manager": key[2], **_columns(wanted[key])} for key in new]
            execute(session, insert(table), rows)

    def _write_manager(self, name: str) -> None:
        session, now = self.work.session, self.work.clock.now()
        there = session.execute(select(Manager.revision).where(Manager.name == name)).first()
        values = {"revision": self.declaration.revision, "applied_at": now, "applied_by": self.work.actor.username}
        if there is None:
            self.work.change_configuration()
            session.execute(insert(Manager).values(name=name, **values))
        elif there.revision != self.declaration.revision and self.declaration.revision is not None:
            self.work.change_configuration()
            session.execute(update(Manager).where(Manager.name == name).values(**values))


def _listed(fields: Sequence[str]) -> str:
    more = f" and {len(fields) - MOST_NAMED} more" if len(fields) > MOST_NAMED else ""
    return ", ".join(fields[:MOST_NAMED]) + more


def _takes_the_name(entry: Entry, held: Held) -> bool:
    """Whether a rename takes from the owner the name by which he knows it: he would make it again, and prune this."""
    return held.owns and entry.renamed is not None and held.key != list(entry.key)


def _columns(held: Held) -> dict[str, Any]:
    return {"owns": held.owns, "key": held.key, "declared": held.declared}
