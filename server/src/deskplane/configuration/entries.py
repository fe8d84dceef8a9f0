"""What one run of the reconciler works on: documents, the objects that they speak of, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deskplane.configuration.differences import Change
from deskplane.configuration.store import Key, Stored, key_of
from deskplane.configuration.troubles import Place
from deskplane.kernel.kind import Kind, State


@dataclass
class Document:
    """What is declared of one object.

    Args:
        given: only the fields that were sent, in canonical form.
        place: where in a whole desk's document it stands; empty for a request about one object.
        prepared: what becomes of hashed fields (`Kind.prepare`).
        subject: the object, where the request names it by its id.
        bad: fields that were refused already; the rest is looked at all the same, so that one answer names everything.
        raw: the object as it was sent, to find the place of a name in a list.
        pruned: nobody declared it; that is why it goes.
    """

    kind: Kind
    given: State
    place: Place = ()
    absent: bool = False
    renamed_from: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    prepared: Mapping[str, Any] = field(default_factory=dict)
    if_match: str | None = None
    subject: Stored | None = None
    bad: frozenset[str] = frozenset()
    raw: Mapping[str, Any] | None = None
    pruned: bool = False

    def __post_init__(self) -> None:
        self.key: Key = key_of(self.kind, self.given)
        """The natural key that it declares."""
        self.earlier_key: Key | None = None
        """The key that `renamed_from` speaks of."""
        if self.renamed_from is not None and not self.kind.fixed:
            self.earlier_key = (*self.key[:-1], self.kind.spelled(self.kind.key[-1], self.renamed_from))


@dataclass
class Outcome:
    """What became of one document. `before` and `after` are canonical states, with secrets sealed."""

    action: str = "none"
    id: str | None = None
    version: int | None = None
    changes: list[Change] = field(default_factory=list)
    before: State | None = None
    after: State | None = None
    unresolved: list[dict[str, str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)
    adopted: bool = False
    released: list[str] = field(default_factory=list)
    disabled: bool = False


@dataclass
class Entry:
    """One document with the object that it speaks of.

    `stored` may be deleted softly; `alive` is not. A new object has its id already, so that others can refer to it.
    `nameless` says that part of its key is not there yet, so that it cannot be written even in a dry run.
    """

    document: Document
    stored: Stored | None
    id: str
    renamed: Key | None = None
    writable: State = field(default_factory=dict)
    nameless: bool = False
    outcome: Outcome = field(default_factory=Outcome)

    def __post_init__(self) -> None:
        self.kind = self.document.kind

    @property
    def alive(self) -> Stored | None:
        return self.stored if self.stored is not None and not self.stored.deleted else None

    @property
    def key(self) -> Key:
        """The object's key when all is done, or before it goes."""
        return key_of(self.kind, self.state)

    @property
    def state(self) -> State:
        """The object when all is done, or as it was before it went."""
        return self.outcome.after or self.outcome.before or self.document.given

    @property
    def label(self) -> str:
        """The object in words."""
        return self.kind.label(dict(zip(self.kind.key, self.key, strict=True)))
