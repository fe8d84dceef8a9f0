"""The reconciler: one request says what should be; the server compares, and writes what differs, or nothing.

It works on many documents of a kind at once, so that statements grow with kinds and not with objects. A dry run is
the real run, rolled back by its caller: it cannot answer anything else.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from deskplane.configuration import differences, store
from deskplane.configuration.deletion import remove
from deskplane.configuration.differences import Change
from deskplane.configuration.store import Key, Stored, key_of
from deskplane.kernel.etag import require_match
from deskplane.kernel.kind import Check, Kind, State, Written, references
from deskplane.kernel.problem import FieldError, Problem, conflict, forbidden, invalid, invalid_field, pointer
from deskplane.kernel.revision import CONFIGURATION, Revision
from deskplane.kernel.work import Work


@dataclass
class Document:
    """What is declared of one object. `given` holds only the fields that were sent, in canonical form."""

    given: State
    absent: bool = False
    renamed_from: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    prepared: Mapping[str, Any] = field(default_factory=dict)
    if_match: str | None = None


@dataclass
class Outcome:
    """What became of one document."""

    action: str
    id: str | None = None
    version: int | None = None
    changes: list[Change] = field(default_factory=list)
    before: State | None = None
    after: State | None = None
    unresolved: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)


def lock_configuration(work: Work) -> None:
    """Lets one change of configuration go after the other. SQLite's writers already do."""
    if not work.is_sqlite:
        work.session.execute(select(Revision.number).where(Revision.name == CONFIGURATION).with_for_update())


class Reconciliation:
    """One kind's documents, applied in one transaction."""

    def __init__(self, work: Work, kind: Kind, *, allow_unresolved: bool = False) -> None:
        self.work = work
        self.kind = kind
        self.allow_unresolved = allow_unresolved and work.dry_run
        self.ids: dict[tuple[str, str], str | None] = {}

    def apply(self, documents: Sequence[Document]) -> list[Outcome]:
        """Applies the documents in their order. Raises Problem; then nothing is written."""
        lock_configuration(self.work)
        wanted = [key_of(self.kind, document.given) for document in documents]
        earlier = [self._earlier_key(document) for document in documents]
        there = store.load_by_keys(self.work, self.kind, [*wanted, *(key for key in earlier if key is not None)])
        outcomes = []
        for document, key, old_key in zip(documents, wanted, earlier, strict=True):
            stored = self._subject(there, key, old_key)
            outcomes.append(self.apply_to(stored, document))
        return outcomes

    def _earlier_key(self, document: Document) -> Key | None:
        if document.renamed_from is None:
            return None
        return key_of(self.kind, {**document.given, self.kind.key[-1]: document.renamed_from})

    def _subject(self, there: Mapping[Key, Stored], key: Key, old_key: Key | None) -> Stored | None:
        """The object that a document speaks of: the one of its name, else the one that it renames."""
        stored = there.get(key)
        if old_key is None or old_key == key or self.kind.fixed:
            return stored
        old = there.get(old_key)
        if old is None or old.deleted:
            return stored
        if stored is not None and not stored.deleted:
            raise conflict(
                "rename_conflict",
                f"{self.kind.label(stored.state)} exists already, and so does {old_key[-1]}; delete one of them first",
            )
        if stored is not None:
            raise self._taken(stored)
        return old

    def rename(self, stored: Stored, given: State) -> None:
        """Makes sure that the name which a change of one object gives is free. Raises 409."""
        key = key_of(self.kind, given)
        if self.kind.fixed and key != key_of(self.kind, stored.state):
            raise self._unknown(given)
        lock_configuration(self.work)
        other = store.load_by_keys(self.work, self.kind, [key]).get(key)
        if other is not None and other.id != stored.id:
            raise self._taken(other)

    def _taken(self, other: Stored) -> Problem:
        label = self.kind.label(other.state)
        if other.deleted:
            return conflict(
                "name_taken", f"{label} was deleted and keeps its name; bring it back, or take another name"
            )
        return conflict("name_taken", f"{label} exists already")

    def apply_to(self, stored: Stored | None, document: Document) -> Outcome:
        """One document against the object that it speaks of."""
        alive = stored if stored is not None and not stored.deleted else None
        if document.if_match is not None:
            if alive is None:
                raise Problem(412, "stale", "it does not exist any more")
            require_match(document.if_match, alive.version)
        if document.absent and not self.kind.fixed:
            return self._remove(alive, document)
        errors: list[FieldError] = []
        given = dict(document.given)
        if self.kind.fixed:
            if alive is None:
                raise self._unknown(document.given)
            if document.absent:
                given = {name: given[name] if name in self.kind.key else None for name in self.kind.written}
        before = alive.state if alive else None
        base = stored.state if stored else None  # what was deleted softly comes back with what was known
        after = differences.merged(self.kind, base, given, document.prepared, self.work.vault, errors)
        if before is None:
            errors += differences.missing(self.kind, after)
        check = Check(self.work, self.kind, before, after, given, errors)
        if not errors:
            for rule in [self.kind.check, *self.work.registry.checks[self.kind.name]]:
                if rule is not None:
                    rule(check)
        unresolved = self._resolve(after, errors)
        if errors:
            raise invalid(errors)
        outcome = Outcome("none", warnings=check.warnings, unresolved=unresolved, before=before, after=after)
        outcome.changes = differences.changes(self.kind, before, after)
        self._entitled(outcome.changes)
        self._write(stored, before, after, outcome)
        self._beside(document, outcome)
        return outcome

    def _write(self, stored: Stored | None, before: State | None, after: State, outcome: Outcome) -> None:
        if stored is None:
            self.work.change_configuration()
            outcome.action = "create"
            outcome.id = store.insert_objects(self.work, self.kind, [self._writable(after)], self._id)[0]
            outcome.version = 1
        else:
            outcome.id, outcome.version = stored.id, stored.version
            changed = differences.fields_changed(stored.state, self._writable(after))
            # what is not resolved yet cannot be written, even in a dry run, and is a change all the same
            if changed or stored.deleted or (outcome.unresolved and outcome.changes):
                self.work.change_configuration()
                outcome.action = "create" if stored.deleted else "update"
                store.update_object(self.work, self.kind, stored, changed, self._id)
                outcome.version += 1
        if outcome.action != "none":
            self._tell(outcome, before, after)

    def _remove(self, alive: Stored | None, document: Document) -> Outcome:
        if alive is None:
            return Outcome("none")
        self.work.change_configuration()
        outcome = Outcome("delete", id=alive.id, before=alive.state)
        remove(self.work, self.kind, alive, cascade=bool(document.options.get("cascade")))
        self._tell(outcome, alive.state, None)
        return outcome

    def _tell(self, outcome: Outcome, before: State | None, after: State | None) -> None:
        written = Written(self.work, self.kind, outcome.id or "", outcome.action, before, after, outcome.warnings)
        for listener in self.work.registry.on_written[self.kind.name]:
            listener(written)

    def _entitled(self, found: Sequence[Change]) -> None:
        """Some fields need a permission of their own."""
        for change in found:
            needed = self.kind.field_permissions.get(change["field"].split(".")[0])
            if needed is not None and not self.work.actor.may(needed):
                raise forbidden(needed)

    def _unknown(self, given: Mapping[str, Any]) -> Problem:
        known = sorted(self.work.session.execute(select(self.kind.key_column)).scalars())
        name = given.get(self.kind.key[0])
        near = difflib.get_close_matches(str(name), known, 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return invalid_field(self.kind.key[0], "unknown", f"there is no {self.kind.title} {name!r}{hint}", known)

    def _resolve(self, after: State, errors: list[FieldError]) -> list[dict[str, str]]:
        """Finds the ids of everything that the object refers to; notes what there is not."""
        named = references(self.kind, after)
        by_kind: dict[str, list[str]] = {}
        for target, name, _path in named:
            if (target, name) not in self.ids:
                by_kind.setdefault(target, []).append(name)
        for target, names in by_kind.items():
            found = store.ids_of(self.work, self.work.registry[target], names)
            self.ids.update({(target, name): found.get(name) for name in names})
        unresolved = []
        for target, name, path in named:
            if self.ids[target, name] is None:
                if self.allow_unresolved:
                    unresolved.append({"field": ".".join(map(str, path)), "kind": target, "name": name})
                else:
                    errors.append(self._no_such(target, name, path))
        return unresolved

    def _no_such(self, target: str, name: str, path: Sequence[str | int]) -> FieldError:
        kind = self.work.registry[target]
        statement = select(kind.key_column).where(*kind.alive()).limit(1000)
        condition = kind.visible(self.work.actor) if kind.visible else None
        if condition is not None:
            statement = statement.where(condition)
        near = difflib.get_close_matches(name, list(self.work.session.execute(statement).scalars()), 1)
        hint = f"; did you mean {near[0]}?" if near else ""
        return FieldError(pointer(*path), "unknown_reference", f"there is no {kind.title} named {name!r}{hint}")

    def _id(self, target: str, name: str) -> str:
        found = self.ids[target, name]
        assert found is not None, "what is unresolved is not written"
        return found

    def _writable(self, state: State) -> State:
        """Without what is not there yet: only in a dry run, whose rows do not stay."""
        found = dict(state)
        for target, name, path in references(self.kind, state):
            if self.ids.get((target, name), "") is not None:
                continue
            field_name = str(path[0])
            if field_name in self.kind.parts:
                gone = {
                    at[1]
                    for to, key, at in references(self.kind, state)
                    if at[0] == field_name and self.ids.get((to, key), "") is None
                }
                found[field_name] = [item for index, item in enumerate(state[field_name]) if index not in gone]
            else:
                found[field_name] = None
        return found

    def _beside(self, document: Document, outcome: Outcome) -> None:
        """What the kind manages besides the object's own fields."""
        if self.kind.beside is None or outcome.id is None:
            return
        found = self.kind.beside(self.work, outcome.id, document.options)
        outcome.changes += found.changes
        outcome.extra |= found.answer
        if found.changes and outcome.action == "none":
            outcome.action = "update"
