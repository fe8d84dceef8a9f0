"""Through which SMTP server a mail goes, and from whom: a department's own, else the one of the settings `smtp.*`."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select

from deskplane.desks.models import Department, Setting
from deskplane.desks.settings import setting
from deskplane.kernel.work import Work

DESK = "desk"
"""In the place of a department's id: the desk's own server."""
NOWHERE = "deskplane.invalid"
"""Domain of a sender that has none yet, or one that no Message-ID has room for."""
LONGEST_DOMAIN = 200
UNPROTECTED = "mail.unprotected_servers"
"""Setting: the servers, besides this machine, that may be spoken to without TLS."""


@dataclass(frozen=True)
class SmtpServer:
    """A server, and who sends through it. `password` is sealed; `key` is the department's id or `DESK`, `title` what
    people call it. `host` is null where there is none."""

    key: str
    title: str
    host: str | None
    port: int
    tls: str
    username: str | None
    password: str | None
    from_address: str | None
    from_name: str
    reply_to: str | None = None

    @property
    def lane(self) -> str:
        """What keeps a slow server from delaying the mail that goes through others."""
        return f"mail:{self.key}"

    @property
    def domain(self) -> str:
        """What the sender's address ends with."""
        found = (self.from_address or "").rpartition("@")[2]
        return found if 0 < len(found) <= LONGEST_DOMAIN else NOWHERE


def _address(text: str | None) -> str | None:
    return text if text and "@" in text else None


def server_of(work: Work, department_id: str | None) -> SmtpServer:
    """The server of a department, of the desk where it has none, or where there is no department."""
    return work.keep(("smtp server", department_id), lambda: _load(work, department_id))


def _load(work: Work, department_id: str | None) -> SmtpServer:
    desk = _of_the_desk(work)
    columns = (Department.name, Department.smtp, Department.imap)
    row = work.session.execute(select(*columns).where(Department.id == department_id)).first()
    if row is None or department_id is None:
        return desk
    smtp: dict[str, Any] = row.smtp
    name = smtp.get("from_name") or row.name
    if smtp.get("server"):
        return SmtpServer(
            key=department_id,
            title=f"the department {row.name}",
            host=smtp["server"],
            port=smtp["port"],
            tls=smtp["tls"],
            username=smtp.get("username"),
            password=smtp.get("password"),
            from_address=smtp.get("from_address") or _address(smtp.get("username")),
            from_name=name,
        )
    # through the desk's server, but answers should come to the department's mailbox
    own, mailbox = smtp.get("from_address"), _address((row.imap or {}).get("username"))
    sender = own or desk.from_address
    return replace(desk, from_address=sender, from_name=name, reply_to=None if own else mailbox)


def _of_the_desk(work: Work) -> SmtpServer:
    secret = select(Setting.secret).where(Setting.key == "smtp.password")
    return SmtpServer(
        key=DESK,
        title="the settings",
        host=setting(work, "smtp.host"),
        port=setting(work, "smtp.port"),
        tls=setting(work, "smtp.tls"),
        username=setting(work, "smtp.username"),
        password=work.session.execute(secret).scalar_one_or_none(),
        from_address=setting(work, "smtp.from") or _address(setting(work, "smtp.username")),
        from_name=setting(work, "branding.company_name") or "",
    )


def may_be_unprotected(work: Work, host: str) -> bool:
    """Whether a mail server may be spoken to without TLS: one on this machine, or one that the settings name."""
    return is_this_machine(host) or host.casefold() in {name.casefold() for name in setting(work, UNPROTECTED) or ()}


def is_this_machine(host: str) -> bool:
    """Whether a host is a loopback address, or `localhost`."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.casefold().rstrip(".") == "localhost"
