"""The endpoints by which people make accounts by themselves: the first administrator, and anybody where that is on."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from deskplane.desks.settings import setting
from deskplane.kernel.actor import Actor
from deskplane.kernel.operation import Between, Call, Operation, Reply
from deskplane.kernel.permissions import PERMISSIONS
from deskplane.kernel.problem import FieldError, Problem, conflict, invalid, invalid_field, pointer
from deskplane.kernel.work import Work
from deskplane.login import accounts, asking, attempts, hashing, tokens
from deskplane.login.accounts import Accounts, Hashed
from deskplane.login.api import REFUSALS, TAG, known
from deskplane.login.schemas import NewPassword, Registration
from deskplane.login.tokens import REGISTRATION, SETUP
from deskplane.people import rules

BASE = "/api/v1/registration"
ROLE = "requester"
"""What who registers is: he opens tickets and follows his own."""
NAMED = ("username", "email", "first_name", "last_name")
CLOSED = Problem(403, "registration_closed", "nobody makes an account by himself here; ask whoever runs this desk")


def has_administrator(work: Work) -> bool:
    """Whether there is somebody who can let others in."""
    return bool(rules.administrators(work))


def make_setup_token(work: Work) -> str:
    """A token with which somebody makes the first administrator. Raises 409 where there is one."""
    if has_administrator(work):
        raise conflict("has_administrator", "there is an administrator already; use: deskplane user promote NAME")
    return tokens.issue(work, SETUP, lasts=tokens.SETUP_LASTS)


def _as_registration(work: Work) -> Work:
    return replace(work, actor=Actor(None, "registration", frozenset(PERMISSIONS)))


def _named(given: Mapping[str, Any]) -> dict[str, Any]:
    return {name: given[name] for name in NAMED if given.get(name) is not None}


def prepare(call: Call) -> Between:
    """Looks whether the token of the set-up works, and hashes the password; else counts who asks."""
    body, token = known(call).body, call.body.get("setup_token")
    needed = "password" if token is not None else "email"
    if not body.get(needed):
        raise invalid([FieldError(pointer(needed), "required", "is required")])
    if token is None:
        if not setting(call, "registration.enabled"):
            raise CLOSED
        if body.get("password") is not None:
            raise invalid_field("password", "not_allowed", "is chosen behind the link that is sent")
        return attempts.counting(call, attempts.mails(call, body["email"]))
    tokens.find(call, (SETUP,), token)
    return _hashing(call)


def _hashing(call: Call) -> Between:
    password = call.body["password"]
    accounts.require_good(call, password)
    return Between(lambda _database: Hashed(password, hashing.hashed(password)))


def prepare_confirming(call: Call) -> Between:
    """Looks whether the link works and the password is good, and hashes it."""
    tokens.find(known(call), (REGISTRATION,), call.body["token"])
    return _hashing(call)


class RegistrationOperations:
    """The views that make accounts."""

    def __init__(self, change: Accounts) -> None:
        self.accounts = change

    def register(self, call: Call) -> Reply:
        """POST /registration"""
        known(call)
        if call.body.get("setup_token") is None:
            about = {name: call.body.get(name) or "" for name in NAMED}
            asking.put(call, asking.REGISTRATION, about)
            return Reply(None, 204)
        # one after the other: of many at once the first makes the administrator, and the others find one
        self.accounts.lock(call)
        if has_administrator(call):
            raise conflict("has_administrator", "there is an administrator already")
        tokens.use(call, (SETUP,), call.body["setup_token"])
        return self._made(call, _named(call.body), rules.ADMIN)

    def confirm(self, call: Call) -> Reply:
        """POST /registration/confirm"""
        found = tokens.use(known(call), (REGISTRATION,), call.body["token"])
        if not setting(call, "registration.enabled"):
            raise CLOSED
        return self._made(call, _named(found.data), ROLE)

    def _made(self, call: Call, fields: Mapping[str, Any], role: str) -> Reply:
        new: Hashed = call.prepared
        self.accounts.create(_as_registration(call), {**fields, **new.fields, "roles": [role]}, new.prepared)
        return Reply({"username": fields["username"]}, 201)


def operations(change: Accounts) -> Iterable[Operation]:
    """The operations of registration."""
    views = RegistrationOperations(change)
    made = {"type": "object", "required": ["username"], "properties": {"username": {"type": "string"}}}
    common: dict[str, Any] = {
        "public": True,
        "write": True,
        "refusals": {403: "Registration is off, or a page of another site sent it.", 429: REFUSALS[429]},
    }
    yield Operation(
        "register",
        "POST",
        BASE,
        views.register,
        "Ask for an account, or make the first administrator",
        TAG,
        body=Registration,
        prepare=prepare,
        answers={
            201: ("The administrator is made, and can log in.", made),
            204: ("The address gets a mail; whether it has an account already is told there.", None),
        },
        description="Without a token only where the setting C(registration.enabled) is on; accounts then have the role "
        "C(requester). With the token of the set-up only while there is no administrator.",
        **common,
    )
    yield Operation(
        "confirm_registration",
        "POST",
        f"{BASE}/confirm",
        views.confirm,
        "Make the account behind a link, with its password",
        TAG,
        body=NewPassword,
        prepare=prepare_confirming,
        answers={201: ("The account is made, and can log in.", made)},
        **common,
    )
