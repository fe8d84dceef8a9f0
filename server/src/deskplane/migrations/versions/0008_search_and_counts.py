"""Full text of tickets, and counters of tickets by customer, department and status.

Revision: 0008, after: 0007

The triggers that keep them are installed after the migrations (`tickets/triggers.py`).
"""

from __future__ import annotations

from itertools import groupby

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import TSVECTOR

from deskplane.tickets import tokens

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_AT_ONCE = 1000
_REFERENCES = [f"{field}_id" for field in tokens.SCOPES]


def upgrade() -> None:
    kind = sa.Text().with_variant(TSVECTOR(), "postgresql")
    words = op.create_table(
        "ticket_words",
        sa.Column("ticket_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("head", kind, nullable=False),
        sa.Column("talk", kind, nullable=False),
        sa.Column("talk_bytes", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.id"], name=op.f("fk_ticket_words_ticket_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("ticket_id", name=op.f("pk_ticket_words")),
    )
    op.create_table(
        "ticket_counts",
        sa.Column("customer", sa.String(length=36), nullable=False),
        sa.Column("department", sa.String(length=36), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("slot", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("customer", "department", "status", "slot", name=op.f("pk_ticket_counts")),
    )
    op.create_index("ix_ticket_counts_department", "ticket_counts", ["department", "status"])
    op.execute(
        "INSERT INTO ticket_counts (customer, department, status, slot, number) "
        "SELECT coalesce(customer_id, ''), coalesce(department_id, ''), status, 0, count(*) FROM tickets "
        "GROUP BY 1, 2, 3"
    )
    _fill(words)
    if op.get_bind().dialect.name == "sqlite":
        # tokens are words already: only spaces part them, since every letter beyond ASCII is one of a word
        op.execute(
            "CREATE VIRTUAL TABLE ticket_search USING fts5 (head, talk, content='ticket_words', "
            "content_rowid='ticket_id', tokenize='ascii', detail='none')"
        )
        op.execute("INSERT INTO ticket_search (ticket_search) VALUES ('rebuild')")
    else:
        op.create_index("ix_ticket_words_tokens", "ticket_words", [sa.text("(head || talk)")], postgresql_using="gin")


def _fill(words: sa.Table) -> None:
    """Makes the tickets that are there ones that are found."""
    names = ("id", "prefix", "sequence", "title", "description", *_REFERENCES)
    tickets = sa.table("tickets", *[sa.column(name) for name in names])
    messages = sa.table("ticket_messages", *[sa.column(name) for name in ("id", "ticket_id", "direction", "body")])
    connection = op.get_bind()
    last = 0
    while True:
        some = sa.select(tickets).where(tickets.c.id > last).order_by(tickets.c.id).limit(_AT_ONCE)
        rows = connection.execute(some).all()
        if not rows:
            break
        first, last = last, rows[-1].id
        said = connection.execute(
            sa.select(messages)
            .where(messages.c.ticket_id > first, messages.c.ticket_id <= last)
            .order_by(messages.c.ticket_id, messages.c.id)
        ).all()
        talk = {
            ticket: tokens.conversation((message.body, message.direction == "internal") for message in group)
            for ticket, group in groupby(said, key=lambda message: message.ticket_id)
        }
        made = []
        for row in rows:
            references = {field: getattr(row, f"{field}_id") for field in tokens.SCOPES}
            head = tokens.head(row.prefix, row.sequence, (row.title, row.description), references)
            heard = talk.get(row.id, "")
            made.append({"ticket_id": row.id, "head": head, "talk": heard, "talk_bytes": len(heard.encode())})
        connection.execute(sa.insert(words), made)
