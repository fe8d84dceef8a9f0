"""The reconciler: one request says what should be; the server compares, and writes what differs, or nothing.

It works on many documents of many kinds at once, so that statements grow with kinds and not with objects: find the
objects, work out what should be, look at all of it for what is wrong, and only then write. A dry run is the real run,
rolled back by its caller: it cannot answer anything else.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from sqlalchemy import select

from deskplane.configuration import differences, history, store
from deskplane.configuration.consequences import cleared, gone_along
from deskplane.configuration.deletion import Gone, blocking, refusal, remove
from deskplane.configuration.entries import Document, Entry, Outcome
from deskplane.configuration.names import Names
from deskplane.configuration.ownership import DISABLE, Claims, Declaration, Key
from deskplane.configuration.renames import remember_renames
from deskplane.configuration.store import Stored
from deskplane.configuration.subjects import find_subjects
from deskplane.configuration.troubles import Troubles
from deskplane.kernel.etag import require_match
from deskplane.kernel.kind import Check, Kind, State, Unsettled, Written
from deskplane.kernel.problem import FieldError, Problem, conflict, forbidden, pointer
from deskplane.kernel.revision import CONFIGURATION, Revision
from deskplane.kernel.words import did_you_mean
from deskplane.kernel.work import Work


def lock_configuration(work: Work) -> None:
    """Lets one change of configuration go after the other. SQLite's writers already do."""
    if not work.is_sqlite:
        statement = select(Revision.number).where(Revision.name == CONFIGURATION).with_for_update()
        number = work.session.execute(statement).scalar_one()
        if work.revision is not None:
            work.revision = number  # what was kept of the one before the lock may be out of date


class Reconciliation:
    """What should be, brought about in one transaction, or refused as a whole."""

    def __init__(
        self,
        work: Work,
        declaration: Declaration | None = None,
        *,
        allow_unresolved: bool = False,
        troubles: Troubles | None = None,
    ) -> None:
        self.work = work
        self.declaration = declaration or Declaration()
        work.manager, work.manager_revision = self.declaration.manager, self.declaration.revision
        self.allow_unresolved = allow_unresolved and work.dry_run
        self.troubles = troubles or Troubles()
        self.names = Names(work)
        self.claims = Claims(work, self.declaration)
        self.not_declared: list[tuple[Kind, Stored]] = []
        self.released: list[Entry] = []

    def apply(self, documents: Sequence[Document]) -> list[Entry]:
        """Applies the documents. Raises Problem with everything that is wrong; then nothing is written.

        Answers an entry for each document, in their order, then one for each object that was pruned, and one for each
        that a deletion took along or out of whose field it took a name. Afterwards `released` has the objects whose
        fields were let go, and `not_declared` what could be pruned.
        """
        lock_configuration(self.work)
        entries = find_subjects(self.work, documents, self.names, self.troubles)
        self._work_out(entries)
        if self.declaration.manager is not None:
            self.claims.load((entry.kind.name, entry.id) for entry in entries if entry.stored is not None)
            pruned = self._undeclared(entries)
            self._work_out(pruned)
            entries += pruned
            self.claims.weigh(entries, self.troubles)
        self.troubles.raise_any()
        return [*entries, *self._write(entries)]

    # what should be

    def _work_out(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._intend(entry)
        self.names.resolve(entries, self.troubles, allow_unresolved=self.allow_unresolved)
        for entry in entries:
            self._compare(entry)

    def _intend(self, entry: Entry) -> None:
        """What should be of one object, and what is wrong with it."""
        document, kind, alive = entry.document, entry.kind, entry.alive
        if document.if_match is not None:
            if alive is None:
                raise Problem(412, "stale", "it does not exist any more")
            require_match(document.if_match, alive.version)
        entry.outcome.before = alive.state if alive else None
        given = dict(document.given)
        if kind.fixed:
            if alive is None or document.key != store.key_of(kind, alive.state):
                self._unknown(document)
                return
            if document.absent:
                given = {name: given[name] if name in kind.key else None for name in kind.written}
        elif document.absent:
            return
        errors: list[FieldError] = []
        # what was deleted softly comes back with what was known
        base = entry.stored.state if entry.stored else None
        after = differences.merged(kind, base, given, document.prepared, self.work.vault, errors, made=alive is None)
        if alive is None:
            absent = differences.missing(kind, after)
            errors += [error for error in absent if error.pointer not in map(pointer, document.bad)]
        unresolved = entry.outcome.unresolved if self.allow_unresolved else None
        check = Check(
            self.work, kind, entry.outcome.before, after, given, self.names.exists, errors, unresolved=unresolved
        )
        if not errors and not document.bad:
            for rule in [kind.check, *self.work.registry.checks[kind.name]]:
                if rule is not None:
                    rule(check)
        self.troubles.bad_fields(document.place, errors)
        entry.outcome.after = after
        entry.outcome.warnings += check.warnings

    def _unknown(self, document: Document) -> None:
        kind = document.kind
        known = sorted(self.work.session.execute(select(kind.key_column)).scalars())
        name = document.given.get(kind.key[0])
        hint = did_you_mean(str(name), known)
        self.troubles.bad(document.place, kind.key, "unknown", f"there is no {kind.title} {name!r}{hint}", known)

    def _compare(self, entry: Entry) -> None:
        """What of it is new."""
        outcome, kind = entry.outcome, entry.kind
        if outcome.after is None:
            if entry.document.absent and entry.alive is not None:
                outcome.action, outcome.id = "delete", entry.id
            return
        outcome.id, stored = entry.id, entry.stored
        if stored is None:
            outcome.action, outcome.version = "create", 1
        else:
            outcome.version = stored.version
            # what is not resolved yet cannot be written, even in a dry run, and is a change all the same
            if entry.renamed or stored.deleted or differences.fields_changed(stored.state, outcome.after):
                outcome.action = "create" if stored.deleted else "update"
                outcome.version += 1
        if outcome.action != "none":
            outcome.changes = differences.changes(kind, outcome.before, outcome.after)
            self._entitled(kind, outcome)

    def _entitled(self, kind: Kind, outcome: Outcome) -> None:
        """Some fields need a permission of their own."""
        for change in outcome.changes:
            needed = kind.field_permissions.get(change["field"].split(".")[0])
            if needed is not None and not self.work.actor.may(needed):
                raise forbidden(needed)

    # what is not declared any more

    def _undeclared(self, entries: Sequence[Entry]) -> list[Entry]:
        """Entries for what the manager owns and does not declare any more, where it is to be pruned."""
        by_kind: dict[str, list[str]] = defaultdict(list)
        for name, object_id in self.claims.not_declared(entries):
            by_kind[name].append(object_id)
        found: list[Entry] = []
        for name, ids in by_kind.items():
            kind = self.work.registry[name]
            there = {stored.id: stored for stored in store.load_by_ids(self.work, kind, ids)}
            for object_id in ids:
                key = (name, object_id)
                if object_id not in there or not self.claims.owned(key):
                    self._let_go(kind, there.get(object_id), key)
                elif self.declaration.prune:
                    found.append(_pruned(kind, there[object_id]))
                else:
                    self.not_declared.append((kind, there[object_id]))
        if len(found) > self.declaration.max_deletions:
            self.troubles.clash((), _too_many(found, self.declaration.max_deletions))
        return found

    def _let_go(self, kind: Kind, stored: Stored | None, key: Key) -> None:
        """Of someone else's object the fields are released; of one that is gone nothing is left to say."""
        assert self.declaration.manager is not None
        declared = self.claims.held[key][self.declaration.manager].declared
        self.claims.leave([key])
        if stored is not None and declared:
            entry = Entry(Document(kind, {}, subject=stored), stored, stored.id)
            entry.outcome = Outcome(id=stored.id, before=stored.state, released=sorted(declared))
            self.released.append(entry)

    # writing

    def _write(self, entries: Sequence[Entry]) -> list[Entry]:
        """Writes, and answers what followed from it."""
        changed = [entry for entry in entries if entry.outcome.action != "none"]
        if self.declaration.manager is None and changed:
            self.claims.load((entry.kind.name, entry.id) for entry in changed if entry.stored is not None)
            self.claims.weigh(changed, self.troubles)
        if changed:
            self.work.change_configuration()
        gone = self._write_rows(changed)
        along = gone_along(entries, gone, self.troubles)
        self._weigh_along(along)
        self._tell(entries, changed, gone)
        self.claims.write()
        remember_renames(self.work, entries, whole=bool(self.declaration.kinds))
        history.record(self.work, changed, gone)
        for entry in entries:
            self._beside(entry)
        self._settle(changed, gone)
        return along + cleared([*entries, *along], gone)

    def _weigh_along(self, along: Sequence[Entry]) -> None:
        """What goes along may be another manager's."""
        if not along:
            return
        ids = {entry.id for entry in along}
        self.not_declared = [(kind, stored) for kind, stored in self.not_declared if stored.id not in ids]
        self.claims.load([(entry.kind.name, entry.id) for entry in along], own=False)
        self.claims.weigh(along, self.troubles)
        self.troubles.raise_any()

    def _write_rows(self, changed: Sequence[Entry]) -> Gone:
        by_kind: dict[str, list[Entry]] = defaultdict(list)
        for entry in changed:
            by_kind[entry.kind.name].append(entry)
        order = [kind for kind in self.work.registry.writing_order if kind.name in by_kind]
        there = {
            name: [entry for entry in found if entry.outcome.after is not None and not entry.nameless]
            for name, found in by_kind.items()
        }
        for kind in order:
            renamed = [entry.id for entry in by_kind[kind.name] if entry.renamed is not None]
            if len(renamed) > 1:
                store.set_names_aside(self.work, kind, renamed)
            self._write_kind(kind, there[kind.name])
        for kind in order:
            self._write_parts(kind, there[kind.name])
        gone = Gone()
        for kind in self.work.registry.deleting_order:
            going = [entry for entry in by_kind.get(kind.name, ()) if entry.outcome.action == "delete"]
            for cascade in (False, True):
                self._delete(kind, [entry for entry in going if _cascades(entry) is cascade], cascade, gone)
        self.troubles.raise_any()
        return gone

    def _write_kind(self, kind: Kind, entries: Sequence[Entry]) -> None:
        there = {entry.id: entry for entry in entries if entry.stored is not None}
        if there:
            versions = {entry.id: entry.stored.version for entry in there.values() if entry.stored is not None}
            states = {object_id: entry.writable for object_id, entry in there.items()}
            store.update_objects(self.work, kind, versions, states, self.names.id)
        new = {entry.id: entry.writable for entry in entries if entry.stored is None}
        if new:
            store.insert_objects(self.work, kind, new, self.names.id)

    def _write_parts(self, kind: Kind, entries: Sequence[Entry]) -> None:
        values: dict[str, dict[str, object]] = defaultdict(dict)
        for entry in entries:
            for name in kind.parts:
                value = entry.writable.get(name)
                before = entry.stored.state.get(name) if entry.stored is not None else kind.fields[name].initial()
                if differences.differs(before, value):
                    values[name][entry.id] = value
        store.save_parts(self.work, kind, values, self.names.id)

    def _delete(self, kind: Kind, entries: Sequence[Entry], cascade: bool, gone: Gone) -> None:
        objects = [entry.alive for entry in entries if entry.alive is not None]
        if not objects:
            return
        in_the_way = blocking(self.work, kind, objects, cascade=cascade)
        free: list[Stored] = []
        for entry, stored in zip(entries, objects, strict=True):
            words = in_the_way.get(stored.id)
            if not words:
                free.append(stored)
            elif entry.document.pruned and self.declaration.on_blocked == DISABLE and "enabled" in kind.fields:
                self._disable(entry, stored)
            else:
                self.troubles.clash(entry.document.place, refusal(kind, stored, words, cascade=cascade))
        if free:
            remove(self.work, kind, free, cascade=cascade, gone=gone)

    def _disable(self, entry: Entry, stored: Stored) -> None:
        """What was to be pruned, and something depends on, stays, out of use; its manager keeps it."""
        kind, outcome = entry.kind, entry.outcome
        after: State = {**stored.state, "enabled": False}
        outcome.after, outcome.disabled, outcome.version = after, True, stored.version
        outcome.changes = differences.changes(kind, stored.state, after)
        outcome.action = "update" if outcome.changes else "none"
        self.claims.keep((kind.name, stored.id))
        if outcome.changes:
            self.names.resolve([entry], self.troubles, allow_unresolved=False)
            outcome.version += 1
            store.update_objects(
                self.work, kind, {stored.id: stored.version}, {stored.id: entry.writable}, self.names.id
            )

    def _tell(self, entries: Sequence[Entry], changed: Sequence[Entry], gone: Gone) -> None:
        declared = frozenset((entry.kind.name, entry.document.key) for entry in entries)
        by_kind: dict[Kind, list[Written]] = defaultdict(list)
        for entry in changed:
            outcome = entry.outcome
            if outcome.action != "none":
                by_kind[entry.kind].append(
                    Written(
                        self.work,
                        entry.kind,
                        entry.id,
                        outcome.action,
                        outcome.before,
                        outcome.after,
                        outcome.warnings,
                        declared,
                    )
                )
        for kind, stored in gone.along:
            by_kind[kind].append(Written(self.work, kind, stored.id, "delete", stored.state, None, []))
        for kind, objects in by_kind.items():
            for listener in self.work.registry.on_written[kind.name]:
                listener(objects)

    def _beside(self, entry: Entry) -> None:
        """What the kind manages besides the object's own fields."""
        outcome = entry.outcome
        if entry.kind.beside is None or outcome.after is None or entry.document.place:
            return
        found = entry.kind.beside(self.work, entry.id, entry.document.options)
        outcome.changes += found.changes
        outcome.extra |= found.answer
        if found.changes and outcome.action == "none":
            outcome.action = "update"

    def _settle(self, changed: Sequence[Entry], gone: Gone) -> None:
        """The last word of those who look at the whole."""
        touched = {entry.kind.name for entry in changed} | {kind.name for kind, _stored in gone.along}
        asked = [
            ask for kind in self.work.registry if kind.name in touched for ask in self.work.registry.settled[kind.name]
        ]
        for ask in dict.fromkeys(asked):
            try:
                ask(self.work)
            except Unsettled as error:
                self._refuse_together(changed, error)
        self.troubles.raise_any()

    def _refuse_together(self, changed: Sequence[Entry], error: Unsettled) -> None:
        """Names each misfit where its first field that is declared here stands."""
        places = {(entry.kind.name, entry.id): entry.document.place for entry in changed}
        for misfit in error.misfits:
            kind, object_id, field = next((at for at in misfit.fields if at[:2] in places), misfit.fields[0])
            self.troubles.bad(places.get((kind, object_id), ()), (field,), misfit.code, misfit.detail)


def _cascades(entry: Entry) -> bool:
    return bool(entry.document.options.get("cascade"))


def _pruned(kind: Kind, stored: Stored) -> Entry:
    keys = {name: stored.state[name] for name in kind.key}
    return Entry(Document(kind, keys, absent=True, subject=stored, pruned=True), stored, stored.id)


def _too_many(pruned: Iterable[Entry], most: int) -> Problem:
    labels = sorted(entry.label for entry in pruned)
    shown = ", ".join(labels[:20]) + (" …" if len(labels) > 20 else "")
    return conflict(
        "too_many_deletions",
        f"pruning would delete {len(labels)} objects, and max_deletions is {most}: {shown}",
        deletions=labels,
    )
