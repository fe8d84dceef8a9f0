"""Operations: every HTTP endpoint, declared once.

An operation says its method, path, rights, what it takes and what it answers. The routes, the OpenAPI document and
the table of rights are made from the same list, so that there is no route outside the document.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import IO, Any

from marshmallow import Schema
from sqlalchemy.orm import Session

from deskplane.kernel.db import Database
from deskplane.kernel.work import Work


@dataclass
class Upload:
    """A file that is the body of a request. `content_type` and `name` are what the sender says of it; the rest is known
    once it is read."""

    content_type: str
    name: str | None
    size: int = 0
    sha256: str = ""
    file: IO[bytes] | None = None


@dataclass(frozen=True)
class Stream:
    """An answer that goes out piece by piece. `piece` answers the one at a position, asked for from 0 on, and null
    behind the last; each is read in a short transaction of its own, so that who reads slowly holds none. Where
    something turns out to be missing it raises, and the connection breaks. `size` is that of all, in bytes, where it
    is known."""

    piece: Callable[[Session, int], bytes | None]
    size: int | None = None


@dataclass(frozen=True)
class Afterwards:
    """What is still to be done for an answer once the transaction is over, and gives its body: what calls the network,
    which nobody who waits for the database should have to wait for."""

    run: Callable[[], Any]


@dataclass(frozen=True)
class Between:
    """What `prepare` answers where something must be done before the view, but in no transaction: what takes long, as
    the hash of a password does. It may open short ones, which stay whatever becomes of the request; what it answers is
    what the view is given as prepared."""

    run: Callable[[Database], Any]


@dataclass
class Call(Work):
    """One HTTP request, as its view sees it: the work, and what was sent. All of it is validated but the cookies, by
    the names of `kernel.cookies`, which anybody can make up."""

    path: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, Any] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    if_match: str | None = None
    if_none_match: str | None = None
    prepared: Any = None
    upload: Upload | None = None
    cookies: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cookie:
    """One to be set, by its name in `kernel.cookies`; a null value removes it. `max_age` is in seconds, null: until the
    browser is closed."""

    name: str
    value: str | None
    max_age: int | None = None


@dataclass(frozen=True)
class Reply:
    """What a view answers. `body` is turned into JSON inside the transaction; bytes go out as they are, a `Stream` and
    what comes of `Afterwards` after the transaction."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json"
    cookies: tuple[Cookie, ...] = ()


View = Callable[[Call], Reply]


@dataclass(frozen=True)
class Operation:
    """One endpoint.

    Args:
        permission: one of these is needed; empty: any known caller. `public`: no key at all.
        session: only who logged in is let through, no key; `despite_expiry`: also who must choose a new password or
            set up a second factor; `despite_factor`: who must do the latter.
        dry_permission: further permissions that suffice where `dry_run` is asked for.
        owners: whoever owns a customer is let through as well; the view looks whether it is about one that he owns.
        dry: it is always a dry run.
        large: its body may be as large as a whole desk's document.
        without_database: it answers also while the database is out of reach.
        apart: it looks after the server itself; what addresses may ask of such is counted on its own.
        other_query: whether it takes query parameters that it does not know, and does not look at them: where others
            say which there are.
        answers: status → (description, JSON Schema of the answer or None).
        refusals: status → description of problems that other operations do not have.
        idempotency: whether an Idempotency-Key is honoured.
        beforehand: runs with the body, before any transaction; for work that can be done ahead of the lock.
        upload: its body is a file. Runs before that is read, in a transaction of its own that only reads; raises what
            can be said against it already, and answers how many bytes it may have at most.
        answered: is told how each request ended, and when.
        prepare: runs before, in a transaction of its own that only reads, for what must not be done under a lock; with
            `prepare_writes` one that stays whatever becomes of the request. May answer `Between`.
    """

    name: str
    method: str
    path: str
    view: View
    summary: str
    tag: str
    permission: tuple[str, ...] = ()
    dry_permission: tuple[str, ...] = ()
    owners: bool = False
    public: bool = False
    session: bool = False
    despite_expiry: bool = False
    despite_factor: bool = False
    dry: bool = False
    large: bool = False
    without_database: bool = False
    apart: bool = False
    query: type[Schema] | None = None
    other_query: bool = False
    body: type[Schema] | None = None
    partial: bool = False
    answers: Mapping[int, tuple[str, dict[str, Any] | None]] = field(default_factory=dict)
    refusals: Mapping[int, str] = field(default_factory=dict)
    write: bool = False
    idempotency: bool = False
    etag: bool = False
    upload: Callable[[Call], int] | None = None
    prepare: Callable[[Call], Any] | None = None
    prepare_writes: bool = False
    beforehand: Callable[[dict[str, Any]], object] | None = None
    answered: Callable[[int, datetime], object] | None = None
    description: str = ""
