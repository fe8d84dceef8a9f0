"""How many mails a month a customer has (`quotas.max_emails_month`; a calendar month in UTC).

What agents write counts and goes out in any case. What the desk sends by itself is held once the month's number is
reached, and goes out when there is room: in the next month, or after the limit was raised.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import Table, select, update
from sqlalchemy.dialects import postgresql, sqlite

from deskplane.alerts import service as alerts
from deskplane.customers.models import Customer
from deskplane.kernel.db import execute
from deskplane.kernel.work import Work
from deskplane.mail.models import Mail, MailCount

ALERT = "mail_quota"
AT_ONCE = 50
"""Held mails of a customer that are released in one transaction, so that it is short."""
_COUNTS = cast(Table, MailCount.__table__)
C = _COUNTS.c


def month_of(instant: datetime) -> str:
    """The month that an instant is in: `2026-03`."""
    return f"{instant:%Y-%m}"


def _limit(work: Work, customer_id: str) -> tuple[str, int | None]:
    def load() -> tuple[str, int | None]:
        statement = select(Customer.name, Customer.quotas).where(Customer.id == customer_id)
        row = work.session.execute(statement).first()
        return (row.name, row.quotas.get("max_emails_month")) if row else ("", None)

    return work.keep(("mail quota", customer_id), load)


def count(work: Work, customer_id: str | None, *, regardless: bool) -> bool:
    """Counts a mail about a customer's ticket, and answers whether it may go out. One that goes out `regardless` is
    counted beyond the limit, too. Two at once meet at the row of the month."""
    if customer_id is None:
        return True
    limit = None if regardless else _limit(work, customer_id)[1]
    if limit is not None and limit <= 0:
        return False
    insert: Any = (sqlite.insert if work.is_sqlite else postgresql.insert)(_COUNTS)
    row = {"customer_id": customer_id, "month": month_of(work.clock.now()), "number": 1}
    statement = insert.values(**row).on_conflict_do_update(
        index_elements=["customer_id", "month"],
        set_={"number": C.number + 1},
        where=None if limit is None else C.number < limit,
    )
    return execute(work.session, statement.returning(C.number), {}).first() is not None


def note_held(work: Work, customer_id: str) -> None:
    """Raises the alert that mail of a customer is held."""
    name, limit = _limit(work, customer_id)
    alerts.raise_alert(
        work,
        ALERT,
        customer_id,
        f"{name} has had its {limit} mails of {month_of(work.clock.now())} (quotas.max_emails_month); further "
        "notifications are held until the next month, or until the limit is raised",
    )


def release(work: Work) -> list[str]:
    """Lets held mails go for which there is room, oldest first, and answers their ids; the alert ends with the last."""
    released: list[str] = []
    held = Mail.state == "held"
    customers = work.session.execute(select(Mail.customer_id).where(held).distinct()).scalars().all()
    for customer_id in customers:
        of_customer = Mail.customer_id.is_(None) if customer_id is None else Mail.customer_id == customer_id
        ids = work.session.execute(select(Mail.id).where(held, of_customer).order_by(Mail.id).limit(AT_ONCE)).scalars()
        for mail_id in ids.all():
            if not count(work, customer_id, regardless=False):
                break
            released.append(mail_id)
    if released:
        work.session.execute(update(Mail).where(Mail.id.in_(released)).values(state="queued"))
    still = set(work.session.execute(select(Mail.customer_id).where(held).distinct()).scalars())
    for customer_id in alerts.open_keys(work.session, ALERT) - {key for key in still if key is not None}:
        alerts.clear_alert(work, ALERT, customer_id)
    return released
