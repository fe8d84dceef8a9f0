"""Raising and clearing alerts, in the transaction of whoever found the trouble or its end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import cast

from sqlalchemy import Table, delete, func, select, text, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from deskplane.alerts.models import Alert
from deskplane.kernel.clock import rfc3339
from deskplane.kernel.db import execute
from deskplane.kernel.ids import new_id
from deskplane.kernel.work import Work
from deskplane.outbox import service as outbox

TOPIC = "alert.raised"
"""Of the message that is put once for each alert that opens; its payload has `id`, `kind`, `key`, `text` and `at`."""

KINDS = {
    "mail_failed": "Mails were refused for good; the key is the department's id, or desk.",
    "mail_quota": "A customer has had its mails of the month; the key is the customer's id.",
    "mail_server": "An SMTP server cannot be used; the key is the department's id, or desk.",
    "backup_failing": "No backup could be made by schedule; the key is C(backup).",
    "backup_copy_failing": "A backup could not be copied elsewhere; the key is C(backup copy).",
    "agent_quota": "A customer has more agents than its quota allows; the key is the customer's id.",
    "mailbox": "A department's mailbox cannot be read; the key is the department's id.",
    "job_failing": "A periodic job failed and is tried again; the key is the job's name.",
    "webhook_disabled": "A webhook was disabled because its receiver is gone or fails; the key is the webhook's id.",
}
"""The kinds that there are, and what their keys are. One line for each is all that a new one needs."""

LONGEST = 2000
"""Characters of an alert's text; what is longer is cut."""
KEPT = timedelta(days=365)
"""How long a cleared alert is remembered."""

ALERTS = cast(Table, Alert.__table__)
A = ALERTS.c
_IS_OPEN = text("cleared_at IS NULL")


def raise_alert(work: Work, kind: str, key: str, detail: str) -> bool:
    """Says that there is a trouble, and answers whether it is a new one. One that is open is seen once more.

    `kind` is one of `KINDS`, `key` tells the troubles of a kind apart (at most 200 characters), `detail` is a sentence
    for people: what is wrong where, and what to do. No secret belongs there.
    """
    if kind not in KINDS:
        raise KeyError(f"no kind of alert: {kind}; add it to alerts.service.KINDS")
    # what a mail server answered may be part of it, and no database takes everything
    detail = detail.encode(errors="replace").decode().replace("\0", "?")[:LONGEST]
    now = work.clock.now()
    insert = sqlite.insert if work.is_sqlite else postgresql.insert
    row = {"id": new_id(), "kind": kind, "key": key, "text": detail, "first_seen_at": now, "last_seen_at": now}
    statement = (
        insert(ALERTS)
        .values(count=1, **row)
        .on_conflict_do_update(
            index_elements=["kind", "key"],
            index_where=_IS_OPEN,
            set_={"text": detail, "last_seen_at": now, "count": A.count + 1},
        )
        .returning(A.id)
    )
    stored = execute(work.session, statement, {}).scalar_one()
    if stored != row["id"]:
        return False
    outbox.put(work, TOPIC, {"id": stored, "kind": kind, "key": key, "text": detail, "at": rfc3339(now)})
    return True


def clear_alert(work: Work, kind: str, *keys: str) -> bool:
    """Says that troubles are over, and answers whether there was one."""
    statement = update(ALERTS).where(A.kind == kind, A.key.in_(keys), A.cleared_at.is_(None))
    return bool(execute(work.session, statement.values(cleared_at=work.clock.now()), {}).rowcount)


def open_keys(session: Session, kind: str) -> set[str]:
    """The keys of the open alerts of a kind, for who looks which of them are over."""
    return set(session.execute(select(A.key).where(A.kind == kind, A.cleared_at.is_(None))).scalars())


def open_counts(session: Session) -> dict[str, int]:
    """How many alerts of each kind are open."""
    statement = select(A.kind, func.count()).where(A.cleared_at.is_(None)).group_by(A.kind)
    return dict.fromkeys(KINDS, 0) | {kind: int(count) for kind, count in session.execute(statement)}


def forget_old(session: Session, now: datetime) -> None:
    """Removes the alerts that were cleared long ago."""
    session.execute(delete(ALERTS).where(A.cleared_at < now - KEPT))
