"""Mails that come in, and how far each department's mailbox was read.

Revision: 0020, after: 0019
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from deskplane.kernel.columns import Instant, Serial

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "mailboxes",
        sa.Column("department_id", sa.String(length=36), nullable=False),
        sa.Column("address", sa.String(length=800), nullable=False),
        sa.Column("uid_validity", sa.BigInteger(), nullable=True),
        sa.Column("next_uid", sa.BigInteger(), nullable=True),
        sa.Column("due_at", Instant(), nullable=True),
        sa.Column("lease_owner", sa.String(length=80), nullable=True),
        sa.Column("leased_until", Instant(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.Column("last_success_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["department_id"], ["departments.id"], name=op.f("fk_mailboxes_department_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("department_id", name=op.f("pk_mailboxes")),
    )
    op.create_table(
        "received_mails",
        sa.Column("id", Serial, autoincrement=True, nullable=False),
        sa.Column("department_id", sa.String(length=36), nullable=True),
        sa.Column("mailbox", sa.String(length=800), nullable=False),
        sa.Column("uid_validity", sa.BigInteger(), nullable=False),
        sa.Column("uid", sa.BigInteger(), nullable=False),
        sa.Column("identity", sa.String(length=64), nullable=False),
        sa.Column("body_hash", sa.String(length=64), nullable=False),
        sa.Column("message_id", sa.String(length=1000), nullable=False),
        sa.Column("return_path", sa.String(length=254), nullable=True),
        sa.Column("sender", sa.String(length=254), nullable=True),
        sa.Column("subject", sa.String(length=300), nullable=False),
        sa.Column("size", sa.BigInteger(), nullable=False),
        sa.Column("whole", sa.Boolean(), nullable=False),
        sa.Column("deliveries", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("ticket_id", Serial, nullable=True),
        sa.Column("ticket_message_id", Serial, nullable=True),
        sa.Column("received_at", Instant(), nullable=False),
        sa.Column("handled_at", Instant(), nullable=True),
        sa.ForeignKeyConstraint(
            ["department_id"], ["departments.id"], name=op.f("fk_received_mails_department_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["ticket_id"], ["tickets.id"], name=op.f("fk_received_mails_ticket_id"), ondelete="SET NULL"
        ),
        sa.ForeignKeyConstraint(
            ["ticket_message_id"],
            ["ticket_messages.id"],
            name=op.f("fk_received_mails_ticket_message_id"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_received_mails")),
        sa.UniqueConstraint(
            "department_id", "identity", "body_hash", name=op.f("uq_received_mails_department_id_identity_body_hash")
        ),
    )
    op.create_index("ix_received_mails_identity", "received_mails", ["identity", "body_hash"])
    op.create_index("ix_received_mails_uid", "received_mails", ["department_id", "uid_validity", "uid"])
    op.create_index("ix_received_mails_state", "received_mails", ["state", "id"])
    op.create_index("ix_received_mails_ticket", "received_mails", ["ticket_id", "id"])
    op.create_index("ix_received_mails_ticket_message_id", "received_mails", ["ticket_message_id"])
    op.create_table(
        "received_mail_chunks",
        sa.Column("mail_id", Serial, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["mail_id"], ["received_mails.id"], name=op.f("fk_received_mail_chunks_mail_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("mail_id", "position", name=op.f("pk_received_mail_chunks")),
    )
