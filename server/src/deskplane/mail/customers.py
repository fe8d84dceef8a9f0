"""For which customer somebody writes whose contact says nothing of it."""

from __future__ import annotations

from sqlalchemy import select

from deskplane.customers.models import Contact, Customer
from deskplane.kernel.work import Work

PUBLIC = {
    "126.com", "163.com", "aol.com", "fastmail.com", "free.fr", "gmail.com", "gmx.at", "gmx.ch", "gmx.de",
    "gmx.net", "googlemail.com", "hotmail.com", "icloud.com", "laposte.net", "libero.it", "live.com", "mac.com",
    "mail.com", "mail.ru", "mailbox.org", "me.com", "msn.com", "naver.com", "orange.fr", "outlook.com",
    "posteo.de", "proton.me", "protonmail.com", "qq.com", "rocketmail.com", "seznam.cz", "t-online.de",
    "tutanota.com", "web.de", "wp.pl", "yahoo.com", "yandex.com", "yandex.ru", "ymail.com", "zoho.com",
}  # fmt: skip
"""Where anybody has an address: they tell nothing of whom one works for."""


def customer_of(work: Work, department_customer: str | None, address: str) -> str | None:
    """The name of the customer: the one that the department works for; else the one for which every contact with an
    address of the same domain writes. None where neither is known."""
    if department_customer is None:
        domain = address.rpartition("@")[2]
        if domain in PUBLIC:
            return None
        mask = "%@" + domain.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
        same = select(Contact.customer_id).where(
            Contact.email.like(mask, escape="\\"), Contact.customer_id.is_not(None)
        )
        found = work.session.execute(same.distinct().limit(2)).scalars().all()
        department_customer = found[0] if len(found) == 1 else None
    if department_customer is None:
        return None
    return work.session.execute(select(Customer.name).where(Customer.id == department_customer)).scalar_one_or_none()
