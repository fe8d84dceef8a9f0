"""The outbox's topic `mail.send`: handing mails over, outside any transaction, and what becomes of them.

A mail that was taken is noted in the transaction that completes its message. A worker that is killed in between leaves
the message to the next one, and the mail goes out a second time, with the same Message-ID.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from deskplane.alerts import service as alerts
from deskplane.desks.settings import setting
from deskplane.kernel.clock import rfc3339
from deskplane.kernel.db import Database
from deskplane.kernel.work import Work
from deskplane.mail import composing, smtp
from deskplane.mail.mime import MOST_ATTACHED, File, Letter
from deskplane.mail.models import Mail
from deskplane.mail.servers import SmtpServer, may_be_unprotected, server_of
from deskplane.mail.smtp import Failure, Login
from deskplane.outbox.service import Claimed
from deskplane.outbox.worker import Finish
from deskplane.tickets import attachments
from deskplane.tickets.models import Attachment

AFTER = tuple(timedelta(minutes=minutes) for minutes in (1, 5, 15, 30, 60, 120, 240))
"""When a mail is tried again, the last one again and again."""
LONGEST = timedelta(days=5)
"""How long a mail is tried (RFC 5321, 4.5.4.1)."""
AT_ONCE = 500
"""Mails that are forgotten in one transaction, so that it is short."""
PATIENCE = 3
"""Times that a server may be out of reach until there is an alert; a login that fails is one at once."""
SERVER, REFUSED = "mail_server", "mail_failed"
"""Kinds of alerts: a server that cannot be used, and mails that failed for good; of a department, or of the desk."""


@dataclass(frozen=True)
class Ready:
    """A mail with everything that handing it over takes."""

    server: SmtpServer
    login: Login
    letter: Letter


def handler(database: Database, work_in: Callable[[Session], Work]) -> Callable[[Claimed], Finish | None]:
    """The handler of the topic."""

    def send(message: Claimed) -> Finish | None:
        mail_id = message.payload["mail"]
        try:
            ready = database.run(lambda session: _ready(work_in(session), mail_id), write=False)
            if ready is None:
                return None
            smtp.hand_over(ready.login, ready.letter.from_address, ready.letter.to_address, ready.letter.to_bytes)
        except Failure as failure:
            problem = failure
            return lambda session: _failed(work_in(session), message.payload, problem)
        return lambda session: _sent(work_in(session), mail_id)

    return send


def _ready(work: Work, mail_id: str) -> Ready | None:
    """Reads what there is to send; None where it is gone, or was dealt with. Raises Failure for a setup with which
    nothing can be sent."""
    mail = work.session.execute(select(Mail).where(Mail.id == mail_id)).scalar_one_or_none()
    if mail is None or mail.state != "queued":
        return None
    server = server_of(work, mail.department_id)
    login = login_of(work, server)
    files, left_out = _files(work, mail.ticket_message_id)
    hidden = _opened(work, mail.hidden)
    letter = Letter(
        message_id=mail.message_id,
        purpose=mail.purpose,
        automatic=mail.automatic,
        from_address=server.from_address or "",
        from_name=server.from_name,
        to_address=mail.recipient,
        to_name=mail.recipient_name,
        reply_to=server.reply_to,
        subject=mail.subject,
        text=mail.body_text.replace(composing.HIDDEN, hidden),
        html=mail.body_html.replace(composing.HIDDEN, escape(hidden)),
        in_reply_to=mail.in_reply_to,
        thread=mail.thread,
        date=mail.created_at,
        files=files,
        left_out=left_out,
    )
    return Ready(server, login, letter)


def _opened(work: Work, hidden: str | None) -> str:
    if hidden is None:
        return composing.HIDDEN
    try:
        return work.vault.open(hidden)
    except ValueError as error:
        raise Failure("setup", f"what is hidden in this mail cannot be read: {error}", final=True) from error


def login_of(work: Work, server: SmtpServer) -> Login:
    """A server as it is spoken to. Raises Failure where something is missing."""
    if server.host is None:
        raise Failure("setup", "neither the department nor the settings (smtp.host) name an SMTP server", final=True)
    if server.from_address is None:
        raise Failure("setup", f"{server.title}: there is no address that mail comes from (smtp.from, from_address)")
    try:
        password = work.vault.open(server.password) if server.password else None
    except ValueError as error:
        raise Failure("setup", f"{server.title}: {error}; give the password again") from error
    if server.username is not None and password is None:
        raise Failure("setup", f"{server.title}: the password of {server.username} is not known; give it")
    return Login(
        host=server.host,
        port=server.port,
        tls=server.tls,
        username=server.username,
        password=password,
        hello=server.domain,
        unprotected=may_be_unprotected(work, server.host),
    )


def _files(work: Work, message_id: int | None) -> tuple[list[File], list[str]]:
    """The files of a message, and the names of those that are too large; never one of something internal."""
    if message_id is None:
        return [], []
    statement = select(Attachment).where(Attachment.message_id == message_id, Attachment.internal.is_(False))
    files: list[File] = []
    left_out: list[str] = []
    room = MOST_ATTACHED
    for found in work.session.execute(statement.order_by(Attachment.id)).scalars():
        if found.size > room:
            left_out.append(found.name)
            continue
        room -= found.size
        read = attachments.reader(found)
        chunks: list[bytes] = []
        while (chunk := read(work.session, len(chunks))) is not None:
            chunks.append(chunk)
        files.append(File(found.name, found.content_type, b"".join(chunks)))
    return files, left_out


def _of(work: Work, mail_id: str) -> Any:
    columns = (Mail.state, Mail.attempts, Mail.department_id, Mail.recipient, Mail.purpose)
    return work.session.execute(select(*columns).where(Mail.id == mail_id)).first()


def _sent(work: Work, mail_id: str) -> None:
    row = _of(work, mail_id)
    if row is None:  # the ticket was deleted meanwhile
        return
    work.session.execute(
        update(Mail)
        .where(Mail.id == mail_id)
        .values(state="sent", attempts=row.attempts + 1, last_error=None, sent_at=work.clock.now(), hidden=None)
    )
    alerts.clear_alert(work, SERVER, server_of(work, row.department_id).key)
    if row.attempts:
        end_alerts(work)


def _failed(work: Work, payload: Mapping[str, Any], failure: Failure) -> None:
    mail_id, now = payload["mail"], work.clock.now()
    row = _of(work, mail_id)
    if row is None or row.state != "queued":
        return
    attempts = row.attempts + 1
    since = datetime.fromisoformat(payload["since"])
    over = failure.final or now - since >= LONGEST
    values = {"state": "failed" if over else "queued", "attempts": attempts, "last_error": str(failure)[:2000]}
    work.session.execute(update(Mail).where(Mail.id == mail_id).values(**values))
    server = server_of(work, row.department_id)
    if not over:
        pause = AFTER[min(attempts, len(AFTER)) - 1]
        composing.put(work, mail_id, row.department_id, since=payload["since"], available_at=now + pause)
        if failure.step not in ("dns", "connection", "sender", "recipient", "content") or attempts >= PATIENCE:
            detail = f"{server.title}: no mail goes out through {server.host}:{server.port}: {failure}"
            alerts.raise_alert(work, SERVER, server.key, detail)
    elif failure.step != "setup" and row.purpose != "alert":  # an alert about an alert would be one without end
        detail = f"{server.title}: the mail {mail_id} to {row.recipient} failed for good: {failure}"
        alerts.raise_alert(work, REFUSED, server.key, detail)


def end_alerts(work: Work) -> None:
    """Clears the alerts of mails that failed, where none is left that did."""
    failed = select(Mail.department_id).where(Mail.state == "failed").distinct()
    still = {department_id or "desk" for department_id in work.session.execute(failed).scalars()}
    for key in alerts.open_keys(work.session, REFUSED) - still:
        alerts.clear_alert(work, REFUSED, key)


def forget_old(work: Work) -> bool:
    """Removes some mails that were dealt with long ago (`retention.deliveries_days`), and answers whether there may be
    more. The automatic answers stay as long as their tickets: each is sent once."""
    before = work.clock.now() - timedelta(days=setting(work, "retention.deliveries_days"))
    done = Mail.state.in_(("sent", "failed"))
    keeping = Mail.ticket_id.is_not(None) & Mail.purpose.in_(("auto-reply", "follow-up"))
    old = select(Mail.id).where(done, Mail.created_at < before, ~keeping).order_by(Mail.created_at).limit(AT_ONCE)
    ids = work.session.execute(old).scalars().all()
    if ids:
        work.session.execute(delete(Mail).where(Mail.id.in_(ids)))
        end_alerts(work)
    return len(ids) == AT_ONCE


def counts(session: Session) -> dict[str, int]:
    """How many mails there are in each state but `sent`."""
    statement = select(Mail.state, func.count()).where(Mail.state != "sent").group_by(Mail.state)
    found = {state: int(number) for state, number in session.execute(statement)}
    return {state: found.get(state, 0) for state in ("queued", "held", "failed")}


def retry(work: Work, mail_id: str, department_id: str | None) -> None:
    """Puts a mail that failed back, with all its time before it."""
    work.session.execute(
        update(Mail).where(Mail.id == mail_id, Mail.state == "failed").values(state="queued", last_error=None)
    )
    composing.put(work, mail_id, department_id, since=rfc3339(work.clock.now()))
