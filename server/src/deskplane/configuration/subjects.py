"""Which object each document speaks of: by its name, or, where it renames one, by the name before."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

from sqlalchemy import select

from deskplane.configuration import store
from deskplane.configuration.entries import Document, Entry
from deskplane.configuration.models import Rename
from deskplane.configuration.names import Names
from deskplane.configuration.store import Key, Stored, key_of
from deskplane.configuration.troubles import Troubles
from deskplane.kernel.ids import new_id
from deskplane.kernel.kind import Kind
from deskplane.kernel.problem import Problem, conflict
from deskplane.kernel.work import Work


def find_subjects(work: Work, documents: Sequence[Document], names: Names, troubles: Troubles) -> list[Entry]:
    """An entry for each document, in their order; and `names` learns who is called what when all is done."""
    by_kind: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        by_kind[document.kind.name].append(document)
    found: dict[int, Entry] = {}
    for kind in work.registry.writing_order:
        if kind.name in by_kind:
            for entry in _of_kind(work, kind, by_kind[kind.name], names, troubles):
                found[id(entry.document)] = entry
    entries = [found[id(document)] for document in documents if id(document) in found]
    for entry in entries:
        if entry.stored is not None:
            entry.stored.state = names.in_new_names(entry.kind, entry.stored.state)
        names.learn(entry)
    return entries


def _of_kind(work: Work, kind: Kind, documents: list[Document], names: Names, troubles: Troubles) -> list[Entry]:
    documents = _each_once(kind, documents, troubles)
    keys = [document.key for document in documents if document.subject is None or document.key != _stored_key(document)]
    keys += [document.earlier_key for document in documents if document.earlier_key is not None]
    there = store.load_by_keys(work, kind, keys, names.rename if names.renamed else None) if keys else {}
    moving = _renames(work, kind, documents, there, troubles)
    moved = {stored.id for stored in moving.values()}
    entries = []
    for document in documents:
        stored = document.subject or moving.get(document.key) or there.get(document.key)
        if stored is not None and stored.id in moved and document.key not in moving and document.subject is None:
            stored = None  # its name goes to another object; this document makes a new one
        entry = Entry(document, stored, stored.id if stored is not None else new_id())
        if stored is not None and not stored.deleted and document.key in moving:
            entry.renamed = key_of(kind, stored.state)
        if document.subject is not None and not kind.fixed and document.key != _stored_key(document):
            entry.renamed = _free_name(kind, document, there)
        if entry.renamed is not None:
            names.renames(kind, entry.renamed, document.key)
        entries.append(entry)
    return entries


def _stored_key(document: Document) -> Key | None:
    return key_of(document.kind, document.subject.state) if document.subject is not None else None


def _each_once(kind: Kind, documents: list[Document], troubles: Troubles) -> list[Document]:
    """Documents whose name can be read, each name once."""
    readable = [document for document in documents if not set(kind.key) & document.bad]
    first: dict[Key, Document] = {}
    for document in readable:
        if document.key in first:
            label = kind.label(document.given)
            at = "/".join(map(str, first[document.key].place))
            troubles.bad(document.place, (kind.key[-1],), "repeated", f"{label} stands there twice, first at {at}")
        else:
            first[document.key] = document
    return list(first.values())


def _free_name(kind: Kind, document: Document, there: Mapping[Key, Stored]) -> Key:
    """The name before, where a change of one object gives it a name that nothing has. Raises 409."""
    assert document.subject is not None
    other = there.get(document.key)
    if other is not None and other.id != document.subject.id:
        raise taken(kind, other)
    return key_of(kind, document.subject.state)


def taken(kind: Kind, other: Stored) -> Problem:
    """409: an object has that name already."""
    label = kind.label(other.state)
    if other.deleted:
        return conflict("name_taken", f"{label} was deleted and keeps its name; bring it back, or take another name")
    return conflict("name_taken", f"{label} exists already")


def _renames(
    work: Work, kind: Kind, documents: Sequence[Document], there: Mapping[Key, Stored], troubles: Troubles
) -> dict[Key, Stored]:
    """New key → object, for every rename that is to be done.

    None is where the new name exists and the old one does not. Where both do, it is a conflict, unless the object that
    has the new name gives it away in the same document (a swap, a chain).
    """
    declared = {document.key for document in documents}
    wanted: dict[Key, tuple[Document, Stored]] = {}
    done: dict[str, Key] | None = None
    for document in documents:
        old_key = document.earlier_key
        if old_key is None or old_key == document.key or document.absent:
            continue
        old, new = there.get(old_key), there.get(document.key)
        if old is None or old.deleted:
            continue
        if new is not None and not new.deleted and old_key in declared:
            done = _done(work, kind) if done is None else done
            if done.get(new.id) == old_key:
                continue  # this document swapped or reused names before; the one of the old name is another object
        wanted[document.key] = (document, old)
    _refuse_two_heirs(kind, wanted, troubles)
    refused = True
    while refused:
        refused = False
        moved = {stored.id for _document, stored in wanted.values()}
        for key, (document, old) in list(wanted.items()):
            new = there.get(key)
            if new is None or new.id in moved:
                continue
            del wanted[key]
            refused = True
            if new.deleted:
                troubles.clash(document.place, taken(kind, new))
            else:
                troubles.clash(document.place, _both_exist(kind, new, old))
    return {key: stored for key, (_document, stored) in wanted.items()}


def _both_exist(kind: Kind, new: Stored, old: Stored) -> Problem:
    name = key_of(kind, old.state)[-1]
    return conflict(
        "rename_conflict",
        f"{kind.label(new.state)} exists already, and so does {name}; delete one of them first",
    )


def _refuse_two_heirs(kind: Kind, wanted: Mapping[Key, tuple[Document, Stored]], troubles: Troubles) -> None:
    heirs = Counter(stored.id for _document, stored in wanted.values())
    for document, stored in wanted.values():
        if heirs[stored.id] > 1:
            label = kind.label(stored.state)
            troubles.bad(document.place, ("renamed_from",), "repeated", f"{label} can be renamed to one name only")


def _done(work: Work, kind: Kind) -> dict[str, Key]:
    rows = work.session.execute(select(Rename.object_id, Rename.old_key).where(Rename.kind == kind.name))
    return {object_id: tuple(key) for object_id, key in rows}
