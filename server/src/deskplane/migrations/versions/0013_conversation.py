"""Messages answer others and may be HTML, files are attached, and history knows what is internal.

Revision: 0013, after: 0012

Until now every message was internal, so all history of messages is.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from deskplane.kernel.columns import Instant, Serial

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def _messages() -> sa.Table:
    """The table as it was. Said here, since looking would look at the tickets too, whose indexes it does not know."""
    return sa.Table(
        "ticket_messages",
        sa.MetaData(),
        sa.Column("id", Serial, autoincrement=True, nullable=False),
        sa.Column("ticket_id", Serial, nullable=False),
        sa.Column("direction", sa.String(length=10), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("author", sa.String(length=120), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.id"], name=op.f("fk_ticket_messages_ticket_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_ticket_messages")),
        sa.Index("ix_ticket_messages_ticket", "ticket_id", "id"),
    )


def upgrade() -> None:
    op.add_column("tickets", sa.Column("last_contact_at", Instant(), nullable=True))
    op.add_column("tickets", sa.Column("last_contact_direction", sa.String(length=10), nullable=True))
    op.add_column("ticket_history", sa.Column("internal", sa.Boolean(), nullable=False, server_default=sa.false()))
    history = sa.table("ticket_history", sa.column("field"), sa.column("internal", sa.Boolean()))
    op.execute(sa.update(history).where(history.c.field == "message").values(internal=True))
    # SQLite makes the table anew, which nothing points at yet: it adds no constraint to one that is there
    with op.batch_alter_table("ticket_messages", copy_from=_messages()) as messages:
        messages.add_column(sa.Column("body_html", sa.Text(), nullable=True))
        messages.add_column(sa.Column("in_reply_to", Serial, nullable=True))
        messages.create_foreign_key(
            op.f("fk_ticket_messages_in_reply_to"), "ticket_messages", ["in_reply_to"], ["id"], ondelete="SET NULL"
        )
    op.create_index(
        "ix_ticket_messages_in_reply_to",
        "ticket_messages",
        ["in_reply_to"],
        sqlite_where=sa.text("in_reply_to IS NOT NULL"),
        postgresql_where=sa.text("in_reply_to IS NOT NULL"),
    )
    op.create_table(
        "attachments",
        sa.Column("id", sa.String(length=36), nullable=False),
        sa.Column("ticket_id", Serial, nullable=False),
        sa.Column("message_id", Serial, nullable=True),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("content_type", sa.String(length=120), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("internal", sa.Boolean(), nullable=False),
        sa.Column("author", sa.String(length=120), nullable=False),
        sa.Column("created_at", Instant(), nullable=False),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.id"], name=op.f("fk_attachments_ticket_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["message_id"], ["ticket_messages.id"], name=op.f("fk_attachments_message_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attachments")),
    )
    op.create_index("ix_attachments_ticket", "attachments", ["ticket_id", "id"])
    op.create_index("ix_attachments_message_id", "attachments", ["message_id"])
    op.create_table(
        "attachment_chunks",
        sa.Column("attachment_id", sa.String(length=36), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["attachment_id"], ["attachments.id"], name=op.f("fk_attachment_chunks_attachment_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("attachment_id", "position", name=op.f("pk_attachment_chunks")),
    )
