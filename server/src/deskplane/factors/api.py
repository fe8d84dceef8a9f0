"""The endpoints of codes: those of an app, and recovery codes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from deskplane.factors import changing, recovery, showing, totp
from deskplane.factors.changing import ADDED, NOT_YOU, REMOVED, REPLACED, Change
from deskplane.factors.passkeys import Passkeys
from deskplane.factors.recovery import Recovery
from deskplane.factors.schemas import (
    FactorChanged,
    FactorsAnswer,
    OwnPassword,
    RecoveryLogin,
    TotpCode,
    TotpLogin,
    TotpOffered,
)
from deskplane.factors.showing import ByCode
from deskplane.factors.totp import OFFER_LASTS, Totp
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.problem import Problem, conflict, invalid_field
from deskplane.login import account_api, accounts, api, sessions
from deskplane.login.account_api import ACCOUNT
from deskplane.login.accounts import Accounts
from deskplane.login.api import REFUSALS, TAG
from deskplane.login.pending import Factor
from deskplane.people.models import User

BY_CODE: tuple[ByCode, ...] = (Totp(), Recovery())
FACTORS: tuple[Factor, ...] = (*BY_CODE, Passkeys())
"""What logging in asks for, one of them, where a user has set it up."""
NO_USER = {404: "There is no such user."}
NEW_SESSION = "All other sessions are over by that; the answer begins a new one."
ENABLED = Change(
    (totp.NAME,),
    ADDED,
    "totp_enabled",
    "Codes are asked for",
    f"when you log in to your account, a code of your app is asked for from now on. {NOT_YOU}",
)
DISABLED = Change(
    (totp.NAME,),
    REMOVED,
    "totp_disabled",
    "Codes are not asked for any more",
    f"when you log in to your account, no code of an app is asked for any more. {NOT_YOU}",
)
RENEWED = Change(
    (recovery.NAME,),
    REPLACED,
    "recovery_codes_made",
    "New recovery codes",
    f"your account has new recovery codes; those of before work no more. {NOT_YOU}",
)


def no_factor() -> Problem:
    """409"""
    return conflict("no_factor", "there is no such factor; set one up first: POST /api/v1/account/totp")


class ShowingCodes:
    """Logging in with a factor that is typed."""

    def __init__(self, factor: ByCode) -> None:
        self.factor = factor
        self.prepare = showing.preparing(factor.name, self._look)

    def _look(self, call: Call, user_id: str) -> Any:
        return self.factor.look(call, user_id, call.body["code"])

    def log_in(self, call: Call) -> Reply:
        """POST /session/totp and /session/recovery-code"""

        def use(user: User, shown: Any) -> bool:
            used = self.factor.use(call, user.id, shown)
            if used and self.factor.name == recovery.NAME:
                changing.tell_used(call, user)
            return used

        return showing.begin_session(call, self.factor.name, use)


def own_factors(call: Call) -> Reply:
    """GET /account/factors"""
    assert call.actor.user_id is not None
    return Reply(changing.shown(call, call.actor.user_id))


def factors_of(call: Call) -> Reply:
    """GET /users/{id}/factors"""
    return Reply(changing.shown(call, accounts.require(call, call.path["id"]).id))


class FactorOperations:
    """The views that change factors."""

    def __init__(self, change: Accounts) -> None:
        self.accounts = change

    def _verified(self, call: Call) -> User:
        """The caller, who has shown his password."""
        self.accounts.lock(call)
        return api.still(call, call.prepared)

    def begin_totp(self, call: Call) -> Reply:
        """POST /account/totp"""
        user = self._verified(call)
        secret = totp.offer(call, user.id)
        expires_at = call.clock.now() + OFFER_LASTS
        return Reply({"secret": secret, "uri": totp.uri(call, user.username, secret), "expires_at": expires_at}, 201)

    def confirm_totp(self, call: Call) -> Reply:
        """POST /account/totp/confirm"""
        self.accounts.lock(call)
        user = api.caller(call)
        secret = totp.offered(call, user.id)
        if secret is None:
            raise conflict("not_begun", "no set-up is begun, or it took too long; begin: POST /api/v1/account/totp")
        step = totp.step_of(secret, call.body["code"], call.clock.now())
        if step is None:
            raise invalid_field("code", "bad_code", "is no code of now; is the clock of the app's device right?")
        totp.enable(call, user.id, secret, step)
        method = sessions.with_factor(api.method_of(call), totp.NAME)
        return changing.settle(call, user, ENABLED, method, changing.codes_for(call, user))

    def disable_totp(self, call: Call) -> Reply:
        """POST /account/totp/disable"""
        user = self._verified(call)
        if not totp.disable(call, user.id):
            raise no_factor()
        return changing.settle_less(call, user, DISABLED)

    def renew_codes(self, call: Call) -> Reply:
        """POST /account/recovery-codes"""
        user = self._verified(call)
        if not changing.having(call, user.id):
            raise no_factor()
        return changing.settle(call, user, RENEWED, api.method_of(call), recovery.make(call, user.id))

    def reset(self, call: Call) -> Reply:
        """DELETE /users/{id}/factors"""
        self.accounts.lock(call)
        changing.reset(call, api.managed(call, call.path["id"]))
        return Reply(None, 204)


def operations(change: Accounts) -> Iterable[Operation]:
    """The operations on codes."""
    views = FactorOperations(change)
    session, changed = api.session_schema(), object_schema(described(FactorChanged()), answer=True)
    showing_one: dict[str, Any] = {
        "public": True,
        "write": True,
        "answers": {201: ("A session. The session itself is the cookie C(__Host-deskplane).", session)},
        "refusals": {
            401: "It is wrong, or was used before; or the login was not finished in time, or tried too often.",
            403: REFUSALS[403],
            429: REFUSALS[429],
        },
    }
    by_password: dict[str, Any] = {
        "session": True,
        "write": True,
        "body": OwnPassword,
        "prepare": account_api.prepare_reauthentication,
        "refusals": {401: REFUSALS[401], 429: REFUSALS[429]},
    }
    listed: dict[int, tuple[str, dict[str, Any] | None]] = {
        200: ("The factors.", object_schema(described(FactorsAnswer()), answer=True))
    }
    with_totp, with_code = (ShowingCodes(factor) for factor in BY_CODE)
    yield Operation(
        "log_in_with_totp",
        "POST",
        "/api/v1/session/totp",
        with_totp.log_in,
        "Finish a login with a code of an app",
        TAG,
        body=TotpLogin,
        prepare=with_totp.prepare,
        description="A code works once. After five wrong ones the password is asked for anew.",
        **showing_one,
    )
    yield Operation(
        "log_in_with_recovery_code",
        "POST",
        "/api/v1/session/recovery-code",
        with_code.log_in,
        "Finish a login with a recovery code",
        TAG,
        body=RecoveryLogin,
        prepare=with_code.prepare,
        description="A code works once; its owner gets a mail.",
        **showing_one,
    )
    yield Operation(
        "get_own_factors",
        "GET",
        f"{ACCOUNT}/factors",
        own_factors,
        "Which second factors one has set up",
        TAG,
        session=True,
        despite_factor=True,
        answers=listed,
    )
    yield Operation(
        "begin_totp",
        "POST",
        f"{ACCOUNT}/totp",
        views.begin_totp,
        "Begin to set up codes of an app",
        TAG,
        despite_factor=True,
        answers={201: ("A secret for the app.", object_schema(described(TotpOffered()), answer=True))},
        description="It changes nothing until a code of the app is sent. Who has an app gets another one that way.",
        **by_password,
    )
    yield Operation(
        "confirm_totp",
        "POST",
        f"{ACCOUNT}/totp/confirm",
        views.confirm_totp,
        "Show that the app has the secret",
        TAG,
        session=True,
        despite_factor=True,
        write=True,
        body=TotpCode,
        answers={201: ("Codes are asked for from now on.", changed)},
        description=f"{NEW_SESSION} With a first factor there are recovery codes, too.",
    )
    yield Operation(
        "disable_totp",
        "POST",
        f"{ACCOUNT}/totp/disable",
        views.disable_totp,
        "Ask for codes of an app no more",
        TAG,
        answers={201: ("None are asked for.", changed)},
        description=f"{NEW_SESSION} Recovery codes go with the last factor.",
        **by_password,
    )
    yield Operation(
        "renew_recovery_codes",
        "POST",
        f"{ACCOUNT}/recovery-codes",
        views.renew_codes,
        "Get new recovery codes",
        TAG,
        answers={201: ("New codes; those of before work no more.", changed)},
        description=NEW_SESSION,
        **by_password,
    )
    yield Operation(
        "get_user_factors",
        "GET",
        "/api/v1/users/{id}/factors",
        factors_of,
        "Which second factors a user has set up",
        TAG,
        permission=api.MANAGING,
        answers=listed,
        refusals=NO_USER,
    )
    yield Operation(
        "reset_user_factors",
        "DELETE",
        "/api/v1/users/{id}/factors",
        views.reset,
        "Take all second factors of a user away, who has lost them",
        TAG,
        permission=api.MANAGING,
        write=True,
        answers={204: ("He has none. If he had any, he gets a mail, and his sessions are over.", None)},
        refusals=NO_USER,
    )
