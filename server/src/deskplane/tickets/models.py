"""Tables of the room."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import TSVECTOR
from sqlalchemy.orm import Mapped, mapped_column

from deskplane.kernel.columns import Base, Instant, Json, Serial, Span

DUE_AT = (
    "coalesce(CASE WHEN resolution_phase = 'running' THEN resolution_due_at END, '9999-12-31T00:00:00.000000+00:00')"
)
"""What lists are sorted by: a text that both databases read, since an index on it serves only who says the same."""


class Ticket(Base):
    """A ticket. Prefix and sequence are its number; the clocks of its service level are stored beside it."""

    __tablename__ = "tickets"

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    version: Mapped[int] = mapped_column(Integer)
    prefix: Mapped[str] = mapped_column(String(10))
    sequence: Mapped[int] = mapped_column(Integer)
    title: Mapped[str] = mapped_column(String(300))
    description: Mapped[str] = mapped_column(Text)
    status: Mapped[str] = mapped_column(String(20))
    priority: Mapped[int] = mapped_column(SmallInteger)
    effective_priority: Mapped[int] = mapped_column(SmallInteger)
    remind_at: Mapped[datetime | None] = mapped_column(Instant)
    type_id: Mapped[str | None] = mapped_column(ForeignKey("ticket_types.id"))
    customer_id: Mapped[str | None] = mapped_column(ForeignKey("customers.id"))
    department_id: Mapped[str | None] = mapped_column(ForeignKey("departments.id"))
    assignee_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    owner_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    group_id: Mapped[str | None] = mapped_column(ForeignKey("groups.id"))
    contact_id: Mapped[str | None] = mapped_column(ForeignKey("contacts.id"))
    reporter_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    source: Mapped[str] = mapped_column(String(20))
    correlation_key: Mapped[str | None] = mapped_column(String(200))
    occurrences: Mapped[int] = mapped_column(Integer)
    last_occurred_at: Mapped[datetime | None] = mapped_column(Instant)
    reopened_count: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(Instant)
    created_by_id: Mapped[str | None] = mapped_column(ForeignKey("users.id"))
    updated_at: Mapped[datetime] = mapped_column(Instant)
    resolved_at: Mapped[datetime | None] = mapped_column(Instant)
    closed_at: Mapped[datetime | None] = mapped_column(Instant)
    last_contact_at: Mapped[datetime | None] = mapped_column(Instant)
    last_contact_direction: Mapped[str | None] = mapped_column(String(10))

    sla_policy_id: Mapped[str | None] = mapped_column(ForeignKey("sla_policies.id"))
    sla_revision: Mapped[int] = mapped_column(Integer, server_default="1")
    sla_tell_at: Mapped[datetime | None] = mapped_column(Instant)
    response_phase: Mapped[str | None] = mapped_column(String(10))
    response_warn_at: Mapped[datetime | None] = mapped_column(Instant)
    response_critical_at: Mapped[datetime | None] = mapped_column(Instant)
    response_due_at: Mapped[datetime | None] = mapped_column(Instant)
    response_met_at: Mapped[datetime | None] = mapped_column(Instant)
    response_left: Mapped[timedelta | None] = mapped_column(Span)
    resolution_phase: Mapped[str | None] = mapped_column(String(10))
    resolution_warn_at: Mapped[datetime | None] = mapped_column(Instant)
    resolution_critical_at: Mapped[datetime | None] = mapped_column(Instant)
    resolution_due_at: Mapped[datetime | None] = mapped_column(Instant)
    resolution_met_at: Mapped[datetime | None] = mapped_column(Instant)
    resolution_left: Mapped[timedelta | None] = mapped_column(Span)
    resolution_started_at: Mapped[datetime | None] = mapped_column(Instant)

    __table_args__ = (
        UniqueConstraint("prefix", "sequence"),
        Index("ix_tickets_updated_at", "updated_at", "id"),
        Index("ix_tickets_created_at", "created_at", "id"),
        Index("ix_tickets_status", "status", "updated_at", "id"),
        Index("ix_tickets_customer", "customer_id", "updated_at", "id"),
        Index("ix_tickets_department", "department_id", "updated_at", "id"),
        Index("ix_tickets_assignee", "assignee_id", "updated_at", "id"),
        Index("ix_tickets_reporter", "reporter_id", "updated_at", "id"),
        Index("ix_tickets_group", "group_id", "updated_at", "id"),
        Index("ix_tickets_contact", "contact_id", "updated_at", "id"),
        Index("ix_tickets_assignee_status", "assignee_id", "status"),
        Index("ix_tickets_reporter_status", "reporter_id", "status"),
        Index("ix_tickets_priority", "priority", "id"),
        Index("ix_tickets_status_priority", "status", "priority", "id"),
        Index("ix_tickets_title", "title"),
        Index("ix_tickets_due_at", text(f"({DUE_AT})"), "id"),
        Index(
            "ix_tickets_sla_tell_at",
            "sla_tell_at",
            "id",
            sqlite_where=text("sla_tell_at IS NOT NULL"),
            postgresql_where=text("sla_tell_at IS NOT NULL"),
        ),
        Index(
            "ix_tickets_remind_at",
            "remind_at",
            "id",
            sqlite_where=text("remind_at IS NOT NULL"),
            postgresql_where=text("remind_at IS NOT NULL"),
        ),
        Index(
            "ix_tickets_correlation_key",
            "correlation_key",
            "id",
            sqlite_where=text("correlation_key IS NOT NULL"),
            postgresql_where=text("correlation_key IS NOT NULL"),
        ),
        Index(
            "ix_tickets_resolution_due_at",
            "resolution_due_at",
            "id",
            sqlite_where=text("resolution_phase = 'running'"),
            postgresql_where=text("resolution_phase = 'running'"),
        ),
    )


_OPEN_WITH_KEY = text("correlation_key IS NOT NULL AND status NOT IN ('resolved', 'closed', 'cancelled')")

Index(
    "uq_tickets_open_correlation_key",
    func.coalesce(Ticket.customer_id, ""),
    Ticket.correlation_key,
    unique=True,
    sqlite_where=_OPEN_WITH_KEY,
    postgresql_where=_OPEN_WITH_KEY,
)


SILENT = text("last_contact_direction = 'outbound' AND status NOT IN ('resolved', 'closed', 'cancelled')")
"""An open ticket on which the desk wrote last. Said as text, so that SQLite knows the index for it."""

Index(
    "ix_tickets_silent",
    Ticket.department_id,
    Ticket.last_contact_at,
    Ticket.id,
    sqlite_where=SILENT,
    postgresql_where=SILENT,
)


class Counter(Base):
    """The last number given of one prefix. Counted in the inserting transaction, so that there is no gap."""

    __tablename__ = "ticket_counters"

    prefix: Mapped[str] = mapped_column(String(10), primary_key=True)
    last: Mapped[int] = mapped_column(Integer)


ticket_labels = Table(
    "ticket_labels",
    Base.metadata,
    Column("ticket_id", ForeignKey("tickets.id", ondelete="CASCADE"), primary_key=True),
    Column("label_id", ForeignKey("labels.id"), primary_key=True),
    Index("ix_ticket_labels_label", "label_id", "ticket_id"),
)

ticket_tags = Table(
    "ticket_tags",
    Base.metadata,
    Column("ticket_id", ForeignKey("tickets.id", ondelete="CASCADE"), primary_key=True),
    Column("tag", String(60), primary_key=True),
    Index("ix_ticket_tags_tag", "tag", "ticket_id"),
)


ticket_assets = Table(
    "ticket_assets",
    Base.metadata,
    Column("ticket_id", ForeignKey("tickets.id", ondelete="CASCADE"), primary_key=True),
    Column("asset_id", ForeignKey("assets.id"), primary_key=True),
    Column("moved_at", Instant),  # the movement of this asset that the ticket points at
    Index("ix_ticket_assets_asset", "asset_id", "ticket_id"),
)


class TicketLink(Base):
    """A link between two tickets, said once: the source blocks, causes, duplicates … the target. One that relates both
    to each other begins at the older one."""

    __tablename__ = "ticket_links"
    __table_args__ = (
        UniqueConstraint("source_id", "target_id", "type"),
        Index("ix_ticket_links_target", "target_id", "id"),
        Index(
            "uq_ticket_links_parent",
            "target_id",
            unique=True,
            sqlite_where=text("type = 'parent_of'"),
            postgresql_where=text("type = 'parent_of'"),
        ),
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    source_id: Mapped[int] = mapped_column(ForeignKey("tickets.id", ondelete="CASCADE"))
    target_id: Mapped[int] = mapped_column(ForeignKey("tickets.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(20))


class TicketReference(Base):
    """A link from a ticket to something outside of the desk."""

    __tablename__ = "ticket_references"
    __table_args__ = (Index("ix_ticket_references_ticket", "ticket_id", "id"),)

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id", ondelete="CASCADE"))
    type: Mapped[str] = mapped_column(String(20))
    title: Mapped[str] = mapped_column(String(300))
    url: Mapped[str] = mapped_column(String(2000))
    author: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime] = mapped_column(Instant)


class TicketPause(Base):
    """Time that counts for none of a ticket's clocks: it stood in a status in which they pause."""

    __tablename__ = "ticket_pauses"

    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id", ondelete="CASCADE"), primary_key=True)
    since: Mapped[datetime] = mapped_column(Instant, primary_key=True)
    until: Mapped[datetime | None] = mapped_column(Instant)
    status: Mapped[str] = mapped_column(String(20))


class TicketTold(Base):
    """What was told of a deadline: that it comes near (`sla_warning`), or that it passed (`sla_breached`)."""

    __tablename__ = "ticket_told"

    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id", ondelete="CASCADE"), primary_key=True)
    clock: Mapped[str] = mapped_column(String(10), primary_key=True)
    event: Mapped[str] = mapped_column(String(20), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(Instant, primary_key=True)


class History(Base):
    """One change of one field; the creation is one row with a snapshot. Replayed, it gives the present state.

    `internal` says that it tells of something internal: a message, an attachment.
    """

    __tablename__ = "ticket_history"
    __table_args__ = (Index("ix_ticket_history_ticket", "ticket_id", "id"),)

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id", ondelete="CASCADE"))
    at: Mapped[datetime] = mapped_column(Instant)
    author: Mapped[str] = mapped_column(String(120))
    cause: Mapped[str] = mapped_column(String(120))
    field: Mapped[str] = mapped_column(String(40))
    old: Mapped[Any] = mapped_column(Json, nullable=True)
    new: Mapped[Any] = mapped_column(Json, nullable=True)
    internal: Mapped[bool] = mapped_column(Boolean, server_default=false())


class TicketEvent(Base):
    """One event of the feed. Ids are in the order in which the events became visible.

    The ticket is named by its number: its row may be gone, and its id may then be another ticket's. `mark` tells an
    event from that of the same id in a database that was restored.
    """

    __tablename__ = "ticket_events"
    __table_args__ = (Index("ix_ticket_events_at", "at"),)

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    mark: Mapped[str] = mapped_column(String(12))
    at: Mapped[datetime] = mapped_column(Instant)
    event: Mapped[str] = mapped_column(String(20))
    prefix: Mapped[str] = mapped_column(String(10))
    sequence: Mapped[int] = mapped_column(Integer)
    payload: Mapped[dict[str, Any]] = mapped_column(Json)


class TicketMessage(Base):
    """A message on a ticket. `internal` ones never leave the house.

    Where it was written as HTML, `body_html` has that, sanitised, and `body` its plain text; else `body` is Markdown.
    """

    __tablename__ = "ticket_messages"
    __table_args__ = (
        Index("ix_ticket_messages_ticket", "ticket_id", "id"),
        Index(
            "ix_ticket_messages_in_reply_to",
            "in_reply_to",
            sqlite_where=text("in_reply_to IS NOT NULL"),
            postgresql_where=text("in_reply_to IS NOT NULL"),
        ),
    )

    id: Mapped[int] = mapped_column(Serial, primary_key=True, autoincrement=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id", ondelete="CASCADE"))
    direction: Mapped[str] = mapped_column(String(10))
    body: Mapped[str] = mapped_column(Text)
    body_html: Mapped[str | None] = mapped_column(Text)
    in_reply_to: Mapped[int | None] = mapped_column(ForeignKey("ticket_messages.id", ondelete="SET NULL"))
    origin_ticket: Mapped[str | None] = mapped_column(String(30))
    author: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime] = mapped_column(Instant)


class Attachment(Base):
    """A file on a ticket, and perhaps of one of its messages; then as internal as that one. Its bytes are chunks."""

    __tablename__ = "attachments"
    __table_args__ = (
        Index("ix_attachments_ticket", "ticket_id", "id"),
        Index("ix_attachments_message_id", "message_id"),
    )

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id", ondelete="CASCADE"))
    message_id: Mapped[int | None] = mapped_column(ForeignKey("ticket_messages.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(255))
    content_type: Mapped[str] = mapped_column(String(120))
    size: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64))
    internal: Mapped[bool] = mapped_column(Boolean)
    author: Mapped[str] = mapped_column(String(120))
    created_at: Mapped[datetime] = mapped_column(Instant)


class AttachmentChunk(Base):
    """A piece of a file. All but the last have the same size, so that none of them is ever large."""

    __tablename__ = "attachment_chunks"

    attachment_id: Mapped[str] = mapped_column(ForeignKey("attachments.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    data: Mapped[bytes] = mapped_column(LargeBinary)


_Tokens = Text().with_variant(TSVECTOR(), "postgresql")


class TicketWords(Base):
    """What a ticket is found by (`tokens.py`): `head` of the ticket itself, `talk` of its messages, of so many bytes.

    SQLite looks it up in the FTS5 table `ticket_search`, which triggers keep beside it.
    """

    __tablename__ = "ticket_words"

    ticket_id: Mapped[int] = mapped_column(ForeignKey("tickets.id", ondelete="CASCADE"), primary_key=True)
    head: Mapped[str] = mapped_column(_Tokens)
    talk: Mapped[str] = mapped_column(_Tokens)
    talk_bytes: Mapped[int] = mapped_column(Integer)


Index(
    "ix_ticket_words_tokens", text("(head || talk)"), postgresql_using="gin", _table=cast(Table, TicketWords.__table__)
).ddl_if(dialect="postgresql")


class TicketCount(Base):
    """How many tickets of a customer and a department (an empty text: of none) are in a status: the sum of its rows.

    Triggers count in the transaction of the change. On PostgreSQL each connection counts in one of some slots, so that
    changes at the same time seldom wait for each other; a slot alone may be below zero.
    """

    __tablename__ = "ticket_counts"
    __table_args__ = (Index("ix_ticket_counts_department", "department", "status"),)

    customer: Mapped[str] = mapped_column(String(36), primary_key=True)
    department: Mapped[str] = mapped_column(String(36), primary_key=True)
    status: Mapped[str] = mapped_column(String(20), primary_key=True)
    slot: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    number: Mapped[int] = mapped_column(Integer)


class TicketSlaCount(Base):
    """In how many open tickets a clock was in a state when that was last counted (`sla_counts.py`)."""

    __tablename__ = "ticket_sla_counts"

    clock: Mapped[str] = mapped_column(String(10), primary_key=True)
    state: Mapped[str] = mapped_column(String(10), primary_key=True)
    number: Mapped[int] = mapped_column(Integer)
    at: Mapped[datetime] = mapped_column(Instant)


class TicketView(Base):
    """Filters and an order that somebody saved. Shared with a department that is gone, it is its owner's alone."""

    __tablename__ = "ticket_views"
    __table_args__ = (UniqueConstraint("owner_id", "name"),)

    id: Mapped[str] = mapped_column(String(36), primary_key=True)
    version: Mapped[int] = mapped_column(Integer)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    name: Mapped[str] = mapped_column(String(120))
    filters: Mapped[dict[str, Any]] = mapped_column(Json)
    sort: Mapped[str | None] = mapped_column(String(20))
    shared: Mapped[str] = mapped_column(String(20))
    department_id: Mapped[str | None] = mapped_column(ForeignKey("departments.id", ondelete="SET NULL"), index=True)
    created_at: Mapped[datetime] = mapped_column(Instant)
    updated_at: Mapped[datetime] = mapped_column(Instant)
