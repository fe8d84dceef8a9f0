"""What was told of which deadline, and when there is something to be told next.

Revision: 0021, after: 0020

Deadlines that came near or passed before are taken as told: nobody wants to hear of all of them at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

from deskplane.kernel.columns import Instant

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

_CLOCKS = ("response", "resolution")
_TOLD = ["ticket_id", "clock", "event", "due_at"]


def _columns() -> Iterator[sa.ColumnClause[Any]]:
    for clock in _CLOCKS:
        yield sa.column(f"{clock}_phase")
        yield sa.column(f"{clock}_warn_at", Instant())
        yield sa.column(f"{clock}_due_at", Instant())
    yield sa.column("sla_tell_at", Instant())


def upgrade() -> None:
    op.add_column("tickets", sa.Column("sla_tell_at", Instant(), nullable=True))
    op.create_table(
        "ticket_told",
        sa.Column("ticket_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("clock", sa.String(length=10), nullable=False),
        sa.Column("event", sa.String(length=20), nullable=False),
        sa.Column("due_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.id"], name=op.f("fk_ticket_told_ticket_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("ticket_id", "clock", "event", "due_at", name=op.f("pk_ticket_told")),
    )
    now = datetime.now(UTC)
    tickets, told = sa.table("tickets", sa.column("id"), *_columns()), sa.table("ticket_told", *map(sa.column, _TOLD))
    for clock in _CLOCKS:
        due_at = tickets.c[f"{clock}_due_at"]
        is_running = sa.and_(tickets.c[f"{clock}_phase"] == "running", due_at.is_not(None))
        for event, edge in (("sla_warning", "warn_at"), ("sla_breached", "due_at")):
            at = tickets.c[f"{clock}_{edge}"]
            past = sa.select(tickets.c.id, sa.literal(clock), sa.literal(event), due_at).where(is_running, at <= now)
            op.execute(sa.insert(told).from_select(_TOLD, past))
            is_first = sa.or_(tickets.c.sla_tell_at.is_(None), tickets.c.sla_tell_at > at)
            op.execute(sa.update(tickets).where(is_running, at > now, is_first).values(sla_tell_at=at))
    is_told = sa.text("sla_tell_at IS NOT NULL")
    op.create_index(
        "ix_tickets_sla_tell_at", "tickets", ["sla_tell_at", "id"], sqlite_where=is_told, postgresql_where=is_told
    )
