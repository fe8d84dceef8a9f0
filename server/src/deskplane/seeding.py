"""`deskplane seed`: a desk with many tickets that were made up."""

from __future__ import annotations

import time
from collections.abc import Callable

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from deskplane.app import Desk
from deskplane.configuration.documents import DeskDocuments
from deskplane.configuration.service import Reconciliation
from deskplane.configuration.troubles import Troubles
from deskplane.customers.models import Customer
from deskplane.people.rules import administrators
from deskplane.tickets import generator

BATCH = 2000
_EVERY = 5.0


def seed(desk: Desk, tickets: int, messages: int, tell: Callable[[str], None]) -> int:
    """Makes tickets until there are so many that were made up; answers how many this call made.

    Each batch is a transaction, so that a run that was stopped goes on where it was. Raises ValueError where somebody
    else's tickets have the prefix.
    """
    there = desk.database.run(lambda session: _prepare(desk, session), write=True)
    first, begun, told = there, time.monotonic(), time.monotonic()
    while there < tickets:
        count = min(BATCH, tickets - there)

        def work(session: Session, count: int = count) -> None:
            if desk.database.is_sqlite:
                session.execute(text("PRAGMA cache_size=-262144"))
            generator.Generator(desk.command_line(session)).make(count, messages)

        desk.database.run(work, write=True)
        there += count
        if time.monotonic() - told > _EVERY or there == tickets:
            told = time.monotonic()
            rate = (there - first) / max(told - begun, 0.001)
            tell(f"{there:,} of {tickets:,} tickets, {rate:,.0f}/s")
    if not desk.database.is_sqlite:
        with desk.database.writing.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM (ANALYZE)"))
    return there - first


def _prepare(desk: Desk, session: Session) -> int:
    work = desk.command_line(session)
    there = generator.made(work)
    if there and session.execute(select(Customer.id).where(Customer.name == "seed-few")).first() is None:
        raise ValueError(f"the prefix {generator.PREFIX} is in use for tickets that were not made by this command")
    if not administrators(work):
        raise ValueError("the desk has no administrator yet; run: deskplane user create-admin NAME")
    troubles = Troubles()
    documents, _ = DeskDocuments(desk.registry).read(generator.configuration(), troubles)
    troubles.raise_any()
    Reconciliation(work).apply(documents)
    return there
