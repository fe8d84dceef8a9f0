"""The endpoints of passwords and mail addresses: one's own, forgotten ones, and those of who is invited."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deskplane.kernel.operation import Between, Call, Operation, Reply
from deskplane.kernel.problem import conflict, invalid_field
from deskplane.login import accounts, api, asking, attempts, hashing, letters, tokens
from deskplane.login.accounts import Accounts, Hashed
from deskplane.login.api import MANAGING, REFUSALS, TAG, Verified, known
from deskplane.login.schemas import EmailChange, Forgotten, NewPassword, PasswordChange, TokenOnly
from deskplane.login.tokens import EMAIL, INVITATION, RESET
from deskplane.people import login_events, rules

ACCOUNT = "/api/v1/account"
PASSWORDS = (RESET, INVITATION)
"""Purposes of links behind which a password is chosen."""
TOO_OFTEN = {429: REFUSALS[429]}


def _reauthenticate(call: Call) -> Between:
    """Whether it is really the one who is logged in. Guesses are counted for his account alone: nobody else can make
    any here."""
    assert call.actor.user_id is not None
    user = accounts.by_id(call, call.actor.user_id)
    tries = attempts.of_account("password of", call.actor.user_id)
    return api.verify(call, user, call.actor.username, tries, known_device=True)


def prepare_password(call: Call) -> Between:
    """Looks at both passwords, and hashes the new one."""
    password = call.body["password"]
    accounts.require_good(call, password)
    if password == call.body["current_password"]:
        raise invalid_field("password", "same_password", "is the one that you have; choose another")
    first = _reauthenticate(call)
    return Between(lambda database: (first.run(database), Hashed(password, hashing.hashed(password))))


def prepare_new(call: Call) -> Between:
    """Looks whether the link works and the password is good, and hashes it."""
    tokens.find(call, PASSWORDS, call.body["token"])
    password = call.body["password"]
    accounts.require_good(known(call), password)
    return Between(lambda _database: Hashed(password, hashing.hashed(password)))


class AccountOperations:
    """The views that change accounts."""

    def __init__(self, change: Accounts) -> None:
        self.accounts = change

    def change_password(self, call: Call) -> Reply:
        """PUT /account/password"""
        verified: Verified
        new: Hashed
        verified, new = call.prepared
        user = api.still(call, verified)
        method = api.method_of(call)
        accounts.set_password(call, self.accounts, user, new)
        letters.password_changed(call, user)
        # every session has ended by that, this one too
        return api.open_session(call, user, method)

    def reset(self, call: Call) -> Reply:
        """POST /password/reset"""
        found = tokens.use(known(call), PASSWORDS, call.body["token"])
        user = accounts.by_id(call, found.user_id)
        if user is None:
            raise tokens.bad_token()
        accounts.set_password(call, self.accounts, user, call.prepared)
        attempts.clear(call, user.username)
        letters.password_changed(call, user)
        return Reply(None, 204)

    def change_email(self, call: Call) -> Reply:
        """POST /account/email"""
        user, address = api.still(call, call.prepared), call.body["email"]
        letters.require_sending(call)
        token = tokens.issue(call, EMAIL, user.id, {"email": address})
        letters.confirm_address(call, user, address, token)
        return Reply(None, 204)

    def confirm_email(self, call: Call) -> Reply:
        """POST /account/email/confirm"""
        found = tokens.use(known(call), (EMAIL,), call.body["token"])
        user = accounts.by_id(call, found.user_id)
        if user is None:
            raise tokens.bad_token()
        address = found.data["email"]
        letters.address_changed(call, user, address)
        self.accounts.change(accounts.as_himself(call, user), user.id, {"email": address}, {})
        return Reply(None, 204)


def forgotten(call: Call) -> Reply:
    """POST /password/forgotten"""
    asking.put(call, asking.RESET, {"email": call.body["email"]})
    return Reply(None, 204)


def prepare_forgotten(call: Call) -> Between:
    """Counts whom is written to, and who asks for it."""
    return attempts.counting(call, attempts.mails(call, call.body["email"]))


def invite(call: Call) -> Reply:
    """POST /users/{id}/invitation"""
    user = accounts.require(call, call.path["id"])
    rules.keep_those_beyond(call, [user.id])
    if not user.enabled:
        raise conflict("disabled", "this account is disabled; enable it first")
    if not user.email:
        raise conflict("no_address", "this account has no mail address; give it one first")
    letters.require_sending(call)
    letters.invitation(call, user, tokens.issue(call, INVITATION, user.id))
    login_events.note(call, "invited", user.id, user.username)
    return Reply(None, 204)


def prepare_reauthentication(call: Call) -> Between:
    """For what only the password shows."""
    return _reauthenticate(call)


def operations(change: Accounts) -> Iterable[Operation]:
    """The operations on passwords and addresses."""
    views = AccountOperations(change)
    wrong: dict[int, str] = {401: REFUSALS[401], **TOO_OFTEN}
    public: dict[str, Any] = {"public": True, "write": True}
    link = "The link works once, for an hour; one that does not work is 422 bad_token. Its page is the console's."
    yield Operation(
        "change_password",
        "PUT",
        f"{ACCOUNT}/password",
        views.change_password,
        "Choose another password",
        TAG,
        session=True,
        despite_expiry=True,
        write=True,
        body=PasswordChange,
        prepare=prepare_password,
        answers={201: ("A new session; all that there were are over.", api.session_schema())},
        refusals=wrong,
    )
    yield Operation(
        "request_password_reset",
        "POST",
        "/api/v1/password/forgotten",
        forgotten,
        "Ask for a link to a new password",
        TAG,
        body=Forgotten,
        prepare=prepare_forgotten,
        answers={204: ("Accounts with this address get a mail. Whether there are any is not said.", None)},
        refusals={403: REFUSALS[403], **TOO_OFTEN},
        description="The link begins with the setting C(public_url); without it, or without a mail server, none goes "
        "out.",
        **public,
    )
    yield Operation(
        "reset_password",
        "POST",
        "/api/v1/password/reset",
        views.reset,
        "Choose a password behind a link",
        TAG,
        body=NewPassword,
        prepare=prepare_new,
        answers={204: ("It is set. All sessions of the account are over.", None)},
        refusals={403: REFUSALS[403]},
        description=f"{link} Nobody is logged in by that.",
        **public,
    )
    yield Operation(
        "change_email",
        "POST",
        f"{ACCOUNT}/email",
        views.change_email,
        "Ask for another mail address",
        TAG,
        session=True,
        write=True,
        body=EmailChange,
        prepare=prepare_reauthentication,
        answers={204: ("A link went to the new address, a notice to the old one.", None)},
        refusals=wrong,
    )
    yield Operation(
        "confirm_email",
        "POST",
        f"{ACCOUNT}/email/confirm",
        views.confirm_email,
        "Confirm a new mail address behind a link",
        TAG,
        body=TokenOnly,
        answers={204: ("It is the account's address now; the old one gets a notice.", None)},
        refusals={403: REFUSALS[403]},
        description=link,
        **public,
    )
    yield Operation(
        "invite_user",
        "POST",
        "/api/v1/users/{id}/invitation",
        invite,
        "Send a user a link to a password",
        TAG,
        permission=MANAGING,
        write=True,
        answers={204: ("It is on its way.", None)},
        description="The link works once, for an hour. One that was sent before works no more.",
    )
