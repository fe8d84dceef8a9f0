"""What somebody asks for of whom nobody knows who he is: it is put into the outbox as it came, and only the worker
looks what there is. So asking takes as long, and is answered alike, whether there is an account or not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from deskplane.desks.settings import setting
from deskplane.kernel.actor import Actor
from deskplane.kernel.logging import logger
from deskplane.kernel.work import Work
from deskplane.login import accounts, letters, tokens
from deskplane.mail.addresses import Person, one_line
from deskplane.outbox import service as outbox
from deskplane.outbox.service import Claimed
from deskplane.outbox.worker import Finish
from deskplane.people import login_events
from deskplane.people.models import User

TOPIC = "login.asked"
"""Of the message; its payload has `what`, `about`, and the caller's `address` and `client`."""
RESET, REGISTRATION = "reset", "registration"


def put(work: Work, what: str, about: Mapping[str, Any]) -> None:
    """Stores what is asked for."""
    payload = {"what": what, "about": dict(about), "address": work.address, "client": work.client}
    outbox.put(work, TOPIC, payload)


def handler(work_in: Callable[[Session], Work]) -> Callable[[Claimed], Finish]:
    """The handler of the topic."""

    def answer(message: Claimed) -> Finish:
        def finish(session: Session) -> None:
            work, asked = work_in(session), message.payload
            work.address, work.client = asked["address"], asked["client"]
            work.actor = Actor(None, "", work.actor.permissions)
            if not letters.can_send(work):
                logger.warning("a link was asked for, and no mail can go out; set public_url, smtp.host and smtp.from")
            elif asked["what"] == RESET:
                _reset(work, asked["about"]["email"])
            else:
                _register(work, asked["about"])

        return finish

    return answer


def _reset(work: Work, address: str) -> None:
    for user in accounts.by_address(work, address):
        letters.reset(work, user, tokens.issue(work, tokens.RESET, user.id), work.address)
        login_events.note(work, "password_reset_requested", user.id, user.username)


def _register(work: Work, about: Mapping[str, Any]) -> None:
    if not setting(work, "registration.enabled"):
        return
    to = Person(about["email"], one_line(f"{about['first_name']} {about['last_name']}"), about["username"])
    there = accounts.by_address(work, to.address)
    if there:
        letters.not_registered(work, to, f"You have one already: {there[0].username}.")
    elif work.session.execute(select(User.id).where(User.username == to.login)).first() is not None:
        letters.not_registered(work, to, "This name is taken; choose another.")
    else:
        letters.registration(work, to, tokens.issue(work, tokens.REGISTRATION, data=about))
