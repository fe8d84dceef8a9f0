"""Matching open tickets anew after policies, calendars or customers changed, a chunk at a time.

What becomes of some chunks is worked out in a transaction that only reads. The ones that write them look whether the
tickets are still what they were, and so wait for nothing: others wait for a few short statements of them, on SQLite,
where there is one writer at a time, all of them; and between two chunks everybody has his turn.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, cast

from sqlalchemy import Table, bindparam, delete, insert, select, text, update
from sqlalchemy.orm import Session

from deskplane.kernel.db import Database, execute
from deskplane.kernel.logging import logger
from deskplane.kernel.problem import busy
from deskplane.kernel.words import ENDED
from deskplane.kernel.work import Work
from deskplane.service_levels.service import current_revision
from deskplane.tickets import service
from deskplane.tickets.chronicle import AUTOMATION, entered, entries
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import TicketPause
from deskplane.tickets.queries import TICKETS, T

RECALCULATE = "tickets.recalculate"
CHUNK = 25
"""Tickets that are written in one transaction."""
AHEAD = 10
"""Chunks that are worked out at once: policies and calendars are read once for all of them."""

_IS_OPEN = T.status.not_in(ENDED)
_OF_PROMISES = ("response_", "resolution_", "sla_", "effective_")
_MOVED = [column.name for column in TICKETS.columns if column.name.startswith(_OF_PROMISES)]
_MOVE = (
    update(TICKETS)
    .where(T.id == bindparam("of_id"))
    .values(version=T.version + 1, **{name: bindparam(f"new_{name}", type_=T[name].type) for name in _MOVED})
)
_KEEP = update(TICKETS).where(T.id == bindparam("of_id")).values(sla_revision=bindparam("new_sla_revision"))
_PAUSES = cast(Table, TicketPause.__table__)
_FORGET_PAUSES = delete(_PAUSES).where(_PAUSES.c.ticket_id == bindparam("of_id"))
_PAUSE = insert(_PAUSES)


@dataclass
class Anew:
    """What becomes of one ticket that was of this version: values of its columns, where they move; else only the
    revision that it was matched under. Pauses where they change, and rows of history."""

    version: int
    revision: int
    columns: dict[str, Any] | None = None
    pauses: list[dict[str, Any]] | None = None
    history: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Chunk:
    """Tickets, by their ids, and the revision of service levels that they were matched under."""

    revision: int
    tickets: dict[int, Anew]

    def pieces(self) -> Iterator[Chunk]:
        """What is written in one transaction each."""
        pairs = iter(self.tickets.items())
        while piece := dict(islice(pairs, CHUNK)):
            yield Chunk(self.revision, piece)


def run(database: Database, automation: Callable[[Session], Work], payload: Mapping[str, Any]) -> None:
    """Deals with one message: every open ticket that was matched under an earlier revision. May be done again."""
    begun, count, held = time.monotonic(), 0, [0.0]
    database.run(let_earlier_ones_end, write=False)
    after: int | None = payload["after"]
    while after is not None:

        def read(session: Session, start: int = after) -> Chunk:
            return worked_out(automation(session), start)

        found = database.run(read, write=False)
        for chunk in found.pieces():
            since: list[float] = []

            def stored(session: Session, chunk: Chunk = chunk, since: list[float] = since) -> None:
                since.append(time.monotonic())
                let_the_disk_follow(session)
                write(automation(session), chunk)

            database.run(stored, write=True)
            held.append(time.monotonic() - since[-1])
            count += len(chunk.tickets)
        after = max(found.tickets, default=None)
    longest, all_seconds = round(max(held) * 1000, 1), round(time.monotonic() - begun, 1)
    logger.info("service levels matched anew", tickets=count, seconds=all_seconds, longest_write_milliseconds=longest)


def worked_out(work: Work, after: int) -> Chunk:
    """What becomes of the next tickets behind this id."""
    revision = current_revision(work)
    behind = select(T.id).where(T.id > after, _IS_OPEN, T.sla_revision < revision).order_by(T.id).limit(AHEAD * CHUNK)
    ids = execute(work.session, behind, {}).scalars().all()
    return Chunk(revision, _matched(work, service.loaded(work, T.id.in_(ids))) if ids else {})


def write(work: Work, chunk: Chunk) -> None:
    """Stores it. A ticket that was changed or ended meanwhile is matched as it is now, as are all of them where
    policies changed again."""
    versions = select(T.id, T.version).where(T.id.in_(list(chunk.tickets))).order_by(T.id)
    there = {row.id: row.version for row in execute(work.session, versions.with_for_update(), {})}
    same_policies = current_revision(work) == chunk.revision
    tickets = {
        ticket_id: anew
        for ticket_id, anew in chunk.tickets.items()
        if same_policies and there.get(ticket_id) == anew.version
    }
    changed = [ticket_id for ticket_id in there if ticket_id not in tickets]
    if changed:
        tickets |= _matched(work, service.load(work, T.id.in_(changed), _IS_OPEN))
    _store(work, tickets)


def _matched(work: Work, drafts: Iterable[Draft]) -> dict[int, Anew]:
    return {draft.columns["id"]: _anew(work, draft) for draft in drafts}


def _anew(work: Work, draft: Draft) -> Anew:
    ticket_id, policy = draft.columns["id"], draft.names["policy"]
    before = dict(draft.columns)
    service.put_under_promise(work, draft)
    revision = draft.columns["sla_revision"]
    found = Anew(before["version"], revision)
    if tuple(draft.pauses) != draft.stored_pauses:
        found.pauses = [
            {"ticket_id": ticket_id, "since": pause.since, "until": pause.until, "status": pause.status}
            for pause in draft.pauses
        ]
    if found.pauses is not None or draft.columns != {**before, "sla_revision": revision}:
        found.columns = {f"new_{name}": draft.columns[name] for name in _MOVED}
    if policy != draft.names["policy"]:
        found.history = entries(work, draft, [("sla_policy", policy, draft.names["policy"])], AUTOMATION)
    return found


def _store(work: Work, tickets: Mapping[int, Anew]) -> None:
    """As many statements for many tickets as for one."""

    def send(statement: Any, rows: Sequence[dict[str, Any]]) -> None:
        if rows:
            execute(work.session, statement, rows)

    moved = [{"of_id": key, **anew.columns} for key, anew in tickets.items() if anew.columns is not None]
    kept = [{"of_id": key, "new_sla_revision": anew.revision} for key, anew in tickets.items() if anew.columns is None]
    send(_MOVE, moved)
    send(_KEEP, kept)
    send(_FORGET_PAUSES, [{"of_id": key} for key, anew in tickets.items() if anew.pauses is not None])
    send(_PAUSE, [row for anew in tickets.values() for row in anew.pauses or ()])
    entered(work, [row for anew in tickets.values() for row in anew.history])


_NO_WAIT = text("SET LOCAL synchronous_commit TO off")


def let_the_disk_follow(session: Session) -> None:
    """On PostgreSQL the tickets' locks are held until the disk has a commit; here they need not be. What a failure of
    the machine loses is done again: the message is done with by a commit that waits for the disk, for those before it
    too, as does whatever builds on them."""
    if session.get_bind().dialect.name != "sqlite":
        session.execute(_NO_WAIT)


_EARLIER = text(
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
    "AND application_name = 'deskplane' AND xact_start < now()"
)
_A_MOMENT = text("SELECT pg_stat_clear_snapshot(), pg_sleep(0.01)")


def let_earlier_ones_end(session: Session) -> None:
    """On PostgreSQL a ticket may be matched before a change and stored after it, where nobody would come to it: so it
    begins when every transaction that began before it has ended. Raises 503 where one does not end."""
    if session.get_bind().dialect.name == "sqlite":
        return
    for _ in range(500):
        if not session.execute(_EARLIER).scalar_one():
            return
        session.execute(_A_MOMENT)
    raise busy("a transaction that began before the policies changed does not end")
