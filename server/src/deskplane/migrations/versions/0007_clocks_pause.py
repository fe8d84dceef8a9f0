"""The clocks of service levels know working time and pauses.

Revision: 0007, after: 0006

What the resolution clock stood still so far becomes a pause of that length: without calendars, which tickets did not
know until now, it moves the deadline by the same time wherever it lies.
"""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from alembic import op

from deskplane.kernel.columns import Instant, Span

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_AT_ONCE = 1000


def upgrade() -> None:
    for clock in ("response", "resolution"):
        op.add_column("tickets", sa.Column(f"{clock}_left", Span(), nullable=True))
    op.add_column("tickets", sa.Column("resolution_started_at", Instant(), nullable=True))
    op.add_column("tickets", sa.Column("sla_revision", sa.Integer(), nullable=False, server_default="1"))
    op.execute("INSERT INTO revisions (name, number) VALUES ('service_levels', 1)")
    pauses = op.create_table(
        "ticket_pauses",
        sa.Column("ticket_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("since", Instant(), nullable=False),
        sa.Column("until", Instant(), nullable=True),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.id"], name=op.f("fk_ticket_pauses_ticket_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("ticket_id", "since", name=op.f("pk_ticket_pauses")),
    )
    tickets = sa.table(
        "tickets", sa.column("id"), sa.column("created_at", Instant()), sa.column("resolution_stood_still", Span())
    )
    connection = op.get_bind()
    last = 0
    while True:
        rows = connection.execute(
            sa.select(tickets)
            .where(tickets.c.id > last, tickets.c.resolution_stood_still > timedelta(0))
            .order_by(tickets.c.id)
            .limit(_AT_ONCE)
        ).all()
        if not rows:
            break
        last = rows[-1].id
        connection.execute(
            sa.insert(pauses),
            [
                {
                    "ticket_id": row.id,
                    "since": row.created_at,
                    "until": row.created_at + row.resolution_stood_still,
                    "status": "resolved",
                }
                for row in rows
            ],
        )
    for clock in ("response", "resolution"):
        op.drop_column("tickets", f"{clock}_stood_still")
