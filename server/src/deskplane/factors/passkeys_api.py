"""The endpoints of passkeys: one's own, and logging in with one, after a password or without any."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from deskplane.factors import ceremonies, changing, passkeys, showing
from deskplane.factors.changing import ADDED, NOT_YOU, REMOVED, Change
from deskplane.factors.parties import party
from deskplane.factors.passkeys import Made, Signed
from deskplane.factors.schemas import (
    FactorChanged,
    OwnPassword,
    PasskeyEntry,
    PasskeyLogin,
    PasskeyName,
    PasskeyOptions,
    PasskeyOptionsWanted,
    PasskeyToAdd,
)
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.db import Database
from deskplane.kernel.limits import Rate
from deskplane.kernel.operation import Between, Call, Operation, Reply
from deskplane.kernel.problem import invalid_field
from deskplane.login import account_api, accounts, api, attempts, pending, sessions
from deskplane.login.account_api import ACCOUNT
from deskplane.login.accounts import Accounts
from deskplane.login.api import REFUSALS, TAG
from deskplane.login.pending import Pending
from deskplane.people.models import User

PER_CALLER = (Rate(200, attempts.QUARTER),)
"""Challenges that one address is given: each is a row until it is answered or too old."""
ADDED_ONE = Change((), ADDED, "passkey_added", "A passkey was added", "")
REMOVED_ONE = Change((), REMOVED, "passkey_removed", "A passkey was removed", "")


@dataclass(frozen=True)
class ShownKey:
    """A passkey that was shown: of which half-done login, null for none, and what was signed with it, if anything."""

    pending: Pending | None
    by: Signed | None


def wanted(call: Call) -> Reply:
    """POST /session/passkey/options"""
    desk, token = party(api.known(call)), call.body["token"]
    ceremony = ceremonies.begin(call, pending.find(call, token).user_id if token is not None else None)
    return Reply({"ceremony": ceremony.id, "options": passkeys.request_options(call, desk, ceremony)})


def prepare_wanted(call: Call) -> Between:
    """Counts who asks."""
    return attempts.counting(api.known(call), attempts.of_caller(call, "passkey", PER_CALLER))


def prepare_login(call: Call) -> Between:
    """Uses the challenge up, and looks who signed it. Raises 401 for whatever is wrong."""
    desk, body = party(api.known(call)), call.body
    if body["token"] is not None:
        pending.find(call, body["token"])
    if not ceremonies.is_open(call, body["ceremony"]):
        raise showing.wrong()

    def tried(here: Call) -> ShownKey:
        login = pending.require(here, body["token"]) if body["token"] is not None else None
        ceremony = ceremonies.take(here, body["ceremony"])
        asked = login.user_id if login is not None else None
        by = None
        if ceremony is not None and (ceremony.user_id, ceremony.session_id) == (asked, None):
            by = passkeys.signed(here, body["credential"], desk, ceremony)
        if by is None and ceremony is not None:
            user = accounts.by_id(here, asked or passkeys.owner_of(here, body["credential"]))
            changing.note_wrong(here, login, user, passkeys.NAME)
        return ShownKey(login, by)

    return showing.judging(call, tried)


def log_in(call: Call) -> Reply:
    """POST /session/passkey"""
    shown: ShownKey = call.prepared
    user = accounts.by_id(api.known(call), shown.by.user_id if shown.by is not None else None)
    if user is None or shown.by is None or not passkeys.use(call, shown.by):
        raise showing.wrong()
    if shown.pending is None:
        return api.begin_session(call, user, sessions.PASSKEY)
    pending.finish(call, shown.pending)
    return api.begin_session(call, user, sessions.with_factor(shown.pending.method, passkeys.NAME))


def prepare_add(call: Call) -> Between:
    """Uses the challenge up, and looks whether the new passkey signed it. Raises 422 where it did not."""
    desk, actor = party(call), call.actor

    def run(database: Database) -> Made:
        ceremony = database.run(
            lambda session: ceremonies.take(replace(call, session=session), call.body["ceremony"]), write=True
        )
        new = None
        if ceremony is not None and (ceremony.user_id, ceremony.session_id) == (actor.user_id, actor.session_id):
            new = passkeys.made(call.body["credential"], desk, ceremony)
        if new is None:
            raise invalid_field("credential", "bad_credential", "was not made for this challenge and desk; begin anew")
        return new

    return Between(run)


def own_passkeys(call: Call) -> Reply:
    """GET /account/passkeys"""
    assert call.actor.user_id is not None
    return Reply({"items": passkeys.listed(call, call.actor.user_id)})


def rename(call: Call) -> Reply:
    """PATCH /account/passkeys/{id}"""
    assert call.actor.user_id is not None
    return Reply(passkeys.rename(call, call.actor.user_id, call.path["id"], call.body["name"]))


def _change(change: Change, user: User, name: str, what: str) -> Change:
    text = f"the passkey {name} of your account {user.username} {what}. {NOT_YOU}"
    return replace(change, factors=(name,), detail=name, text=text)


class PasskeyOperations:
    """The views that change one's own passkeys."""

    def __init__(self, change: Accounts) -> None:
        self.accounts = change

    def _verified(self, call: Call) -> User:
        self.accounts.lock(call)
        return api.still(call, call.prepared)

    def begin(self, call: Call) -> Reply:
        """POST /account/passkeys/options"""
        user, desk = self._verified(call), party(call)
        passkeys.require_room(call, user.id)
        ceremony = ceremonies.begin(call, user.id, call.actor.session_id)
        options = passkeys.creation_options(call, desk, ceremony, user)
        return Reply({"ceremony": ceremony.id, "options": options}, 201)

    def add(self, call: Call) -> Reply:
        """POST /account/passkeys"""
        self.accounts.lock(call)
        user, name = api.caller(call), call.body["name"]
        passkeys.add(call, user.id, name, call.prepared)
        method = sessions.with_factor(api.method_of(call), passkeys.NAME)
        change = _change(ADDED_ONE, user, name, "was added; with it one logs in without the password, too")
        return changing.settle(call, user, change, method, changing.codes_for(call, user))

    def remove(self, call: Call) -> Reply:
        """POST /account/passkeys/{id}/remove"""
        user = self._verified(call)
        name = passkeys.remove(call, user.id, call.path["id"])
        return changing.settle_less(call, user, _change(REMOVED_ONE, user, name, "was removed"))


def operations(change: Accounts) -> Iterable[Operation]:
    """The operations on passkeys."""
    views = PasskeyOperations(change)
    options = object_schema(described(PasskeyOptions()), answer=True)
    changed = object_schema(described(FactorChanged()), answer=True)
    entry = object_schema(described(PasskeyEntry()), answer=True)
    listed = {
        "type": "object",
        "required": ["items"],
        "properties": {"items": {"type": "array", "items": entry}},
    }
    address = "Passkeys belong to the host name in the setting C(public_url); without it this is 409 no_public_url."
    public: dict[str, Any] = {"public": True, "write": True}
    own: dict[str, Any] = {"session": True, "write": True}
    by_password: dict[str, Any] = {
        **own,
        "body": OwnPassword,
        "prepare": account_api.prepare_reauthentication,
        "refusals": {401: REFUSALS[401], 429: REFUSALS[429]},
    }
    missing = {404: "There is no such passkey, or it is not yours."}
    yield Operation(
        "request_passkey_login",
        "POST",
        "/api/v1/session/passkey/options",
        wanted,
        "Ask for a challenge to log in with a passkey",
        TAG,
        body=PasskeyOptionsWanted,
        prepare=prepare_wanted,
        answers={200: ("What the browser is to be given: navigator.credentials.get.", options)},
        refusals={401: "The login was not finished in time.", 403: REFUSALS[403], 429: REFUSALS[429]},
        description=f"It is good for one answer, within five minutes. {address}",
        **public,
    )
    yield Operation(
        "log_in_with_passkey",
        "POST",
        "/api/v1/session/passkey",
        log_in,
        "Log in with a passkey, or finish a login with one",
        TAG,
        body=PasskeyLogin,
        prepare=prepare_login,
        answers={201: ("A session. The session itself is the cookie C(__Host-deskplane).", api.session_schema())},
        refusals={401: "It is wrong, or somebody else's; or it took too long.", 403: REFUSALS[403]},
        **public,
    )
    yield Operation(
        "list_passkeys",
        "GET",
        f"{ACCOUNT}/passkeys",
        own_passkeys,
        "List one's own passkeys, the newest first",
        TAG,
        session=True,
        despite_factor=True,
        answers={200: ("The passkeys.", listed)},
    )
    yield Operation(
        "begin_passkey",
        "POST",
        f"{ACCOUNT}/passkeys/options",
        views.begin,
        "Begin to add a passkey",
        TAG,
        despite_factor=True,
        answers={201: ("What the browser is to be given: navigator.credentials.create.", options)},
        description=address,
        **by_password,
    )
    yield Operation(
        "add_passkey",
        "POST",
        f"{ACCOUNT}/passkeys",
        views.add,
        "Add a passkey",
        TAG,
        despite_factor=True,
        body=PasskeyToAdd,
        prepare=prepare_add,
        answers={201: ("It is there, and asked for from now on.", changed)},
        description="All other sessions are over by that; the answer begins a new one. With a first factor there are "
        "recovery codes, too.",
        **own,
    )
    yield Operation(
        "rename_passkey",
        "PATCH",
        f"{ACCOUNT}/passkeys/{{id}}",
        rename,
        "Give a passkey another name",
        TAG,
        body=PasskeyName,
        answers={200: ("The passkey.", entry)},
        refusals=missing,
        **own,
    )
    yield Operation(
        "remove_passkey",
        "POST",
        f"{ACCOUNT}/passkeys/{{id}}/remove",
        views.remove,
        "Remove a passkey",
        TAG,
        answers={201: ("It is gone, and all other sessions are over; a new one begins.", changed)},
        **{**by_password, "refusals": {**by_password["refusals"], **missing}},
    )
