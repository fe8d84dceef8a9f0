"""Alerts by mail: to the setting `alerts.recipients`, through the desk's own server."""

from __future__ import annotations

from deskplane.desks.settings import setting
from deskplane.kernel.markup import html_of
from deskplane.kernel.work import Work
from deskplane.mail import composing
from deskplane.mail.addresses import Person, one_line
from deskplane.mail.composing import About
from deskplane.mail.texts import Content
from deskplane.outbox.service import Claimed
from deskplane.tickets import queries


def tell(work: Work, message: Claimed) -> None:
    """Composes the mails of an alert that opened, in the transaction that is done with its message. Where the desk has
    no server there are none; the list and the metric tell of it all the same."""
    if not composing.can_send(work, About()):
        return
    said, address = message.payload["text"], queries.address(work)
    text = f"{said}\n\nSince {message.payload['at']}" + (f", at {address}" if address else "")
    content = Content(f"Alert: {one_line(said)[:200]}", text, html_of(text))
    for recipient in setting(work, "alerts.recipients") or ():
        composing.compose(work, About(), "alert", Person(recipient, "", ""), content, event=message.payload["kind"])
