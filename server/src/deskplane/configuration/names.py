"""Names and ids: who is called what when all is done. References are looked for in the document first, then in the
database, in one statement a kind."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from sqlalchemy import select

from deskplane.configuration import store
from deskplane.configuration.entries import Document, Entry
from deskplane.configuration.store import Key
from deskplane.configuration.troubles import Troubles
from deskplane.kernel.compound import ListOf
from deskplane.kernel.fields import Ref
from deskplane.kernel.kind import Kind, State, references
from deskplane.kernel.words import did_you_mean
from deskplane.kernel.work import Work

MOST_HINTS = 20
"""Unknown names for which the nearest is looked for: it takes long, and others wait for the lock meanwhile."""


class Names:
    """What the names in one run's documents stand for."""

    def __init__(self, work: Work) -> None:
        self.work = work
        self.ids: dict[tuple[str, str], str | None] = {}
        self.renamed: dict[tuple[str, str], str] = {}
        self.deleted: set[tuple[str, str]] = set()
        self._hints = 0

    def renames(self, kind: Kind, old: Key, new: Key) -> None:
        """Notes that an object gets another name. Only kinds with keys of one part are referred to."""
        if len(kind.key) == 1:
            self.renamed[kind.name, old[0]] = new[0]

    def rename(self, kind: str, name: str) -> str:
        """What the object that has this name in the database will be called."""
        return self.renamed.get((kind, name), name)

    def in_new_names(self, kind: Kind, state: State) -> State:
        """A state from the database, with what it refers to called as it will be: a rename changes no reference."""
        if not self.renamed:
            return state
        found = dict(state)
        lists: dict[str, ListOf] = {}
        for target, name, path in references(kind, state):
            new = self.rename(target, name)
            if new == name:
                continue
            field_name = str(path[0])
            part = kind.fields[field_name]
            if isinstance(part, Ref):
                found[field_name] = new
            elif isinstance(part, ListOf):
                found[field_name] = _replaced(found[field_name], path[1:], new)
                lists[field_name] = part
        for field_name, part in lists.items():  # put in order only now: the paths are those of the old names
            found[field_name] = part.collect(found[field_name])
        return found

    def learn(self, entry: Entry) -> None:
        """Takes up the name of a document's object."""
        kind = entry.kind
        if len(kind.key) != 1:
            return
        name = entry.document.key[0]
        if entry.document.absent and not kind.fixed:
            self.deleted.add((kind.name, name))
            self.ids[kind.name, name] = entry.id if entry.alive else None
        else:
            self.ids[kind.name, name] = entry.id
        if entry.renamed is not None:
            self.ids.setdefault((kind.name, entry.renamed[0]), None)

    def exists(self, kind: str, name: str) -> bool:
        """Whether something has, or gets, this name."""
        self._look_up([(kind, name)])
        return (kind, name) not in self.deleted and self.ids[kind, name] is not None

    def id(self, kind: str, name: str) -> str:
        """The id behind a name that is known to exist."""
        found = self.ids[kind, name]
        assert found is not None, "what is unresolved is not written"
        return found

    def _look_up(self, wanted: Sequence[tuple[str, str]]) -> None:
        by_kind: dict[str, list[str]] = defaultdict(list)
        for kind, name in wanted:
            if (kind, name) not in self.ids:
                by_kind[kind].append(name)
        for kind, names in by_kind.items():
            found = store.ids_of(self.work, self.work.registry[kind], names)
            self.ids.update({(kind, name): found.get(name) for name in names})

    def resolve(self, entries: Sequence[Entry], troubles: Troubles, *, allow_unresolved: bool) -> None:
        """Finds what every object refers to; notes what there is not, and what of a state can be written without it."""
        named = [
            (entry, references(entry.kind, entry.outcome.after)) for entry in entries if entry.outcome.after is not None
        ]
        self._look_up([(target, name) for _entry, found in named for target, name, _path in found])
        for entry, found in named:
            missing = [
                (target, name, path)
                for target, name, path in found
                if self.ids[target, name] is None or self._goes(entry, target, name, path)
            ]
            assert entry.outcome.after is not None
            entry.writable = _without(entry.kind, entry.outcome.after, missing)
            entry.nameless = any(path[0] in entry.kind.key for _target, _name, path in missing)
            for target, name, path in missing:
                if allow_unresolved:
                    entry.outcome.unresolved.append({"field": ".".join(map(str, path)), "kind": target, "name": name})
                else:
                    where = _as_sent(entry.document, name, path)
                    troubles.bad(entry.document.place, where, "unknown_reference", self._no_such(target, name))

    def _goes(self, entry: Entry, target: str, name: str, path: Sequence[str | int]) -> bool:
        """Whether a document names what it deletes. What merely still stands there is the deletion's business."""
        return (target, name) in self.deleted and str(path[0]) in entry.document.given

    def _no_such(self, target: str, name: str) -> str:
        kind = self.work.registry[target]
        if (target, name) in self.deleted:
            return f"the {kind.title} {name!r} is deleted by the same document"
        if (target, name) in self.renamed:
            return f"the {kind.title} {name!r} is renamed to {self.renamed[target, name]!r} by the same document"
        self._hints += 1
        hint = did_you_mean(name, self._known(kind)) if self._hints <= MOST_HINTS else ""
        return f"there is no {kind.title} named {name!r}{hint}"

    def _known(self, kind: Kind) -> list[str]:
        statement = select(kind.key_column).where(*kind.alive()).limit(1000)
        condition = kind.visible(self.work.actor) if kind.visible else None
        if condition is not None:
            statement = statement.where(condition)
        declared = [name for (target, name), found in self.ids.items() if target == kind.name and found is not None]
        return [*declared[:1000], *self.work.session.execute(statement).scalars()]


def _replaced(items: list[Any], path: Sequence[str | int], new: str) -> list[Any]:
    index, *below = path
    assert isinstance(index, int)
    found = list(items)
    found[index] = {**found[index], below[0]: new} if below else new
    return found


def _without(kind: Kind, state: State, missing: Sequence[tuple[str, str, tuple[str | int, ...]]]) -> State:
    """A state without what is not there: only in a dry run, whose rows do not stay."""
    if not missing:
        return state
    found = dict(state)
    gone: dict[str, set[str | int]] = defaultdict(set)
    for _target, _name, path in missing:
        if str(path[0]) in kind.parts:
            gone[str(path[0])].add(path[1])
        else:
            found[str(path[0])] = None
    for name, indexes in gone.items():
        found[name] = [item for index, item in enumerate(state[name]) if index not in indexes]
    return found


def _as_sent(document: Document, name: str, path: Sequence[str | int]) -> Sequence[str | int]:
    """The path in what was sent, whose lists are in their own order."""
    if document.raw is None or len(path) < 2:
        return path
    items = document.raw.get(str(path[0]))
    if not isinstance(items, list):
        return path
    for index, item in enumerate(items):
        if item == name or (isinstance(item, dict) and len(path) > 2 and item.get(str(path[2])) == name):
            return (path[0], index, *path[2:])
    return path
