"""What is never answered by itself (RFC 3834), and how often anything is."""

from __future__ import annotations

from datetime import timedelta
from email.message import Message

from sqlalchemy import func, select

from deskplane.kernel.work import Work
from deskplane.mail import headers
from deskplane.mail.message_ids import OWN_HEADER
from deskplane.mail.models import Mail

CAPS = ((timedelta(hours=1), 5), (timedelta(days=1), 20))
"""How many automatic answers one address gets within a time, whatever the headers of its mails say."""
PER_TICKET = (timedelta(hours=1), 3)
"""How many automatic answers go out about one ticket within a time, to whomever."""
ANSWERS = ("auto-reply", "follow-up")
"""Purposes of mails that are automatic answers."""
_SYSTEMS = {"mailer-daemon", "postmaster"}
_NOBODY = {"noreply", "no-reply", "donotreply", "do-not-reply", "bounce", "bounces"}
_BULK = {"bulk", "junk", "list", "auto_reply"}


def is_automatic(header: Message, return_path: str | None, sender: str | None) -> str | None:
    """Why a mail is one that no person wrote; None where nothing says so. `return_path` is empty where the envelope had
    none (a bounce), null where that is not known."""
    if return_path == "":
        return "its Return-Path is empty"
    for address in (sender, return_path):
        if _local(address) in _SYSTEMS:
            return f"it comes from {_local(address)}"
    submitted = headers.value_of(header, "auto-submitted")
    return f"its Auto-Submitted is {submitted[:60]}" if submitted not in ("", "no") else None


def _local(address: str | None) -> str:
    return (address or "").partition("@")[0].lower()


def is_bounce(return_path: str | None, sender: str | None) -> bool:
    """Whether a mail comes from a mail system, and not from somebody who answers by himself."""
    return _local(sender) == "mailer-daemon" or (return_path == "" and _local(sender) in _SYSTEMS)


def is_own(header: Message) -> bool:
    """Whether a desk sent the mail."""
    return header.get(OWN_HEADER) is not None


def wants_no_answer(header: Message, return_path: str | None, sender: str | None) -> str | None:
    """Why a mail gets no automatic answer; None where nothing is against it."""
    automatic = is_automatic(header, return_path, sender)
    if is_own(header) or automatic:
        return automatic or "a desk sent it"
    for address in (sender, return_path):
        if _local(address) in _NOBODY:
            return f"it comes from {_local(address)}"
    precedence = headers.value_of(header, "precedence")
    if precedence in _BULK:
        return f"its Precedence is {precedence}"
    for name in ("list-id", "x-autoreply", "x-autorespond"):
        if header.get(name) is not None:
            return f"it has the header {name}"
    suppressed = headers.text_of(header, "x-auto-response-suppress").lower()
    wanted = {word.strip() for word in suppressed.split(",")}
    return "its X-Auto-Response-Suppress says so" if wanted & {"all", "autoreply"} else None


def is_capped(work: Work, address: str, ticket_id: int) -> str | None:
    """Why an address gets no further automatic answer now, or a ticket causes none; None where it may."""
    now = work.clock.now()
    answers = select(func.count()).select_from(Mail).where(Mail.purpose.in_(ANSWERS))
    for window, most in CAPS:
        to_address = answers.where(func.lower(Mail.recipient) == address.lower(), Mail.created_at > now - window)
        if work.session.execute(to_address).scalar_one() >= most:
            return f"{address} had {most} of them within {_words(window)}"
    window, most = PER_TICKET
    about = answers.where(Mail.ticket_id == ticket_id, Mail.created_at > now - window)
    if work.session.execute(about).scalar_one() >= most:
        return f"there were {most} of them about the ticket within {_words(window)}"
    return None


def _words(window: timedelta) -> str:
    return "a day" if window >= timedelta(days=1) else "an hour"
