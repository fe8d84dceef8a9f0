"""The mails of the room. A link begins with the setting `public_url`, never with what a request says of the host, and
its token stands behind the #, which no server's log and no Referer has."""

from __future__ import annotations

from dataclasses import dataclass

from deskplane.desks.settings import setting
from deskplane.kernel.markup import html_of
from deskplane.kernel.problem import conflict
from deskplane.kernel.work import Work
from deskplane.mail import composing
from deskplane.mail.addresses import Person, one_line
from deskplane.mail.composing import HIDDEN, About
from deskplane.mail.texts import Content
from deskplane.people.models import User

PURPOSE = "account"
PAGES = {
    "reset": "reset-password",
    "invitation": "welcome",
    "email": "confirm-address",
    "registration": "register",
}
"""By the purpose of a link, the page that it leads to."""


@dataclass(frozen=True)
class Words:
    """What a mail says: its subject, and its paragraphs between the greeting and the end."""

    subject: str
    text: str


def can_send(work: Work) -> bool:
    """Whether there is a server to send through, and an address for links to begin with."""
    return composing.can_send(work, About()) and bool(setting(work, "public_url"))


def require_sending(work: Work) -> None:
    """Raises 409 where no link can be sent."""
    if not can_send(work):
        raise conflict("no_mail", "no mail can be sent; set public_url, smtp.host and smtp.from")


def link(work: Work, purpose: str, token: str) -> str:
    """The address that somebody opens in his browser."""
    return f"{str(setting(work, 'public_url')).rstrip('/')}/{PAGES[purpose]}#token={token}"


def person(user: User, address: str | None = None) -> Person:
    """A user as somebody to write to, at his address or another one."""
    return Person(address or user.email or "", one_line(f"{user.first_name} {user.last_name}"), user.username)


def send(work: Work, to: Person, words: Words, hidden: str | None = None) -> None:
    """Puts a mail into the outbox, in the caller's transaction. `hidden` is the link that stands in it in the place of
    `HIDDEN`: it is kept sealed, and not at all once the mail is sent."""
    company = one_line(setting(work, "branding.company_name") or "the desk")
    text = f"Hello {to.name or to.login},\n\n{words.text}\n\n{company}"
    content = Content(one_line(words.subject), text, html_of(text))
    composing.compose(work, About(), PURPOSE, to, content, hidden=hidden)


def _from(work: Work, address: str | None) -> str:
    return f" It came from the address {address}." if address else ""


def reset(work: Work, user: User, token: str, address: str | None) -> None:
    """A link to a new password."""
    text = (
        f"somebody, probably you, asked for a new password for your account {user.username}. Choose one within an "
        f"hour, here:\n\n{HIDDEN}\n\nIf it was not you, there is nothing to do: your password stays as it is."
    )
    send(work, person(user), Words("A new password", text + _from(work, address)), link(work, "reset", token))


def invitation(work: Work, user: User, token: str) -> None:
    """A link to a first password, or to another one."""
    text = (
        f"you have an account: {user.username}. Choose its password within an hour, here:\n\n{HIDDEN}\n\n"
        "If that is too late, ask for a new password with your mail address."
    )
    send(work, person(user), Words("Your account", text), link(work, "invitation", token))


def tell(work: Work, user: User, words: Words) -> None:
    """A notice of what happened to an account, and from where it came; to its owner, if he can be written to."""
    if user.email and composing.can_send(work, About()):
        send(work, person(user), Words(words.subject, words.text + _from(work, work.address)))


def password_changed(work: Work, user: User) -> None:
    """Tells somebody that his password is another one now."""
    text = (
        f"the password of your account {user.username} was changed. If it was not you, ask for a new one at once, and "
        "tell whoever runs this desk."
    )
    tell(work, user, Words("Your password was changed", text))


def confirm_address(work: Work, user: User, address: str, token: str) -> None:
    """To the new address: a link that shows that its owner wants it; to the old one, that it is to be changed."""
    text = f"confirm within an hour that this is to be the mail address of the account {user.username}:\n\n{HIDDEN}"
    send(work, person(user, address), Words("Confirm your mail address", text), link(work, "email", token))
    if user.email:
        text = (
            f"the mail address of your account {user.username} is to become {address}, once that is confirmed there. "
            "If it was not you, change your password at once, and tell whoever runs this desk."
        )
        send(work, person(user), Words("Your mail address is to be changed", text + _from(work, work.address)))


def address_changed(work: Work, user: User, address: str) -> None:
    """To the old address, that it is one no more."""
    if user.email and composing.can_send(work, About()):
        text = (
            f"the mail address of your account {user.username} is now {address}. If it was not you, tell whoever runs "
            "this desk at once."
        )
        send(work, person(user), Words("Your mail address was changed", text))


def registration(work: Work, to: Person, token: str) -> None:
    """A link by which somebody makes the account that he asked for."""
    text = (
        f"make your account {to.login} within an hour, here:\n\n{HIDDEN}\n\nIf it was not you, nothing is to be done."
    )
    send(work, to, Words("Your account", text), link(work, "registration", token))


def not_registered(work: Work, to: Person, why: str) -> None:
    """Why there is none: told to the owner of the address only."""
    send(work, to, Words("Your account", f"somebody, probably you, asked for an account named {to.login}. {why}"))
