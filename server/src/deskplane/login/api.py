"""The endpoints of logging in and out, and of sessions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import select

from deskplane.desks.queries import rights_of
from deskplane.kernel import cookies
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.db import Database
from deskplane.kernel.http import unauthenticated
from deskplane.kernel.operation import Between, Call, Cookie, Operation, Reply
from deskplane.kernel.problem import Problem, not_found
from deskplane.kernel.revision import current
from deskplane.kernel.work import Work
from deskplane.login import accounts, attempts, devices, hashing, pending, sessions
from deskplane.login.attempts import Try
from deskplane.login.pending import Factor
from deskplane.login.schemas import Credentials, SecondFactor, SessionAnswer, SessionEntry
from deskplane.login.sessions import PASSWORD, Started
from deskplane.people import login_events, rules
from deskplane.people.models import User

BASE = "/api/v1/session"
TAG = "login"
MANAGING = ("users:manage",)
WRONG = "user name or password is wrong, or this account cannot log in"
REFUSALS = {
    401: "It is wrong, or of an account that cannot log in: which of them is not said.",
    403: "A page of another site sent it.",
    429: "It was tried too often; Retry-After says when it may be tried again.",
}
NO_SESSION = {404: "There is no such user or session, or it is not yours to see."}


@dataclass(frozen=True)
class Verified:
    """A password that was right: whose, the tries that it was counted for and when, and its hash of now and by the
    parameters of today, where they are two."""

    user_id: str
    username: str
    stored: str
    tries: Sequence[Try]
    at: datetime
    rehash: tuple[str, str] | None


def known(call: Call) -> Call:
    """The call of who need not be known, at the revision of the configuration as others have it."""
    call.revision = current(call.session)
    return call


def bad_login() -> Problem:
    """401, whatever it was."""
    return Problem(401, "bad_login", WRONG, headers={"WWW-Authenticate": 'Session realm="deskplane"'})


def verify(call: Call, user: User | None, username: str, tries: Sequence[Try], *, known_device: bool) -> Between:
    """Looks, outside of any transaction, whether the password of a call is the user's, and counts it as a try. Raises
    429 where there is none left, 401 where it is wrong."""
    attempts.look(call, tries)
    password, now = call.body.get("current_password") or call.body["password"], call.clock.now()
    stored = user.password if user is not None and user.enabled and user.deleted_at is None else None
    user_id, name = (user.id, user.username) if user is not None else (None, None)

    def run(database: Database) -> Verified:
        attempts.count_apart(call, database, tries)
        if not hashing.matches(password, stored, known=known_device):
            database.run(
                lambda session: login_events.note(replace(call, session=session), "login_failed", user_id, name),
                write=True,
            )
            raise bad_login()
        assert user_id is not None
        assert name is not None
        assert stored is not None
        better = hashing.rehashed(password, stored)
        return Verified(user_id, name, stored, tries, now, (stored, better) if better else None)

    return Between(run)


def still(call: Call, verified: Verified) -> User:
    """The user, as of this transaction. Raises 401 where he got another password meanwhile, or may not log in now."""
    attempts.take_back(call, verified.tries, verified.at)
    user = accounts.by_id(call, verified.user_id)
    if user is None or user.password != verified.stored:
        raise bad_login()
    return user


def prepare_login(call: Call) -> Between:
    """Who it may be, and how often that was tried."""
    username = call.body["username"]
    user = call.session.execute(select(User).where(User.username == username)).scalar_one_or_none()
    device = devices.known(call, user.id if user is not None else None)
    tries = attempts.guesses(call, username, user.id if user is not None else None, device)
    return verify(known(call), user, username, tries, known_device=device is not None)


def begin_session(call: Call, user: User, method: str) -> Reply:
    """What every way of logging in ends with: a session, in the place of the one that this browser had, and what is
    noted of it. `method` says how he logged in."""
    earlier = call.cookies.get(cookies.SESSION)
    if earlier is not None:
        sessions.end_by_token(call, earlier)
    accounts.note_login(call, user.id)
    login_events.note(call, "login", user.id, user.username, method)
    return open_session(call, user, method)


def open_session(call: Call, user: User, method: str) -> Reply:
    """A session, and the cookies by which the browser has it, and is known from now on."""
    started = sessions.start(call, user.id, method)
    answer = shown(call, user, started, method)
    return Reply(answer, 201, cookies=(_cookie(started), devices.remember(call, user.id)))


def method_of(call: Call) -> str:
    """How the caller logged in. Raises 401 where his session was ended since this request began."""
    return str(_own(call)["method"])


def caller(call: Call) -> User:
    """Who is logged in. Raises 401 where he may not be any more."""
    user = accounts.by_id(call, call.actor.user_id)
    if user is None:
        raise unauthenticated(sessions.BAD_SESSION)
    return user


def session_schema() -> dict[str, Any]:
    """JSON Schema of a session, as its owner sees it."""
    return object_schema(described(SessionAnswer()), answer=True)


def shown(call: Call, user: User, started: Started, method: str) -> dict[str, Any]:
    """A session that has just begun, or got a new token."""
    actor = rights_of(call, user.id)
    return {
        "id": started.id,
        "user_id": user.id,
        "username": user.username,
        "permissions": sorted(actor.permissions) if actor is not None else [],
        "password_expired": sessions.has_expired(call, user.password_changed_at, method),
        "second_factor_needed": actor is not None and sessions.lacks_factor(call, actor, method),
        "expires_at": started.expires_at,
        "csrf_token": started.csrf(call),
    }


def _cookie(started: Started) -> Cookie:
    return Cookie(cookies.SESSION, started.token)


def login(factors: Sequence[Factor]) -> Callable[[Call], Reply]:
    """POST /session"""

    def view(call: Call) -> Reply:
        verified: Verified = call.prepared
        user = still(known(call), verified)
        accounts.rehash(call, user.id, verified.rehash)
        methods = pending.asked(call, factors, user.id)
        if methods:
            return Reply({"token": pending.begin(call, user.id, PASSWORD), "methods": methods}, 202)
        return begin_session(call, user, PASSWORD)

    return view


def get_session(call: Call) -> Reply:
    """GET /session"""
    row = _own(call)
    actor = call.actor
    return Reply(
        {
            "id": row["id"],
            "user_id": actor.user_id,
            "username": actor.username,
            "permissions": sorted(actor.permissions),
            "password_expired": actor.password_expired,
            "second_factor_needed": actor.factor_missing,
            "expires_at": row["expires_at"],
            "csrf_token": cookies.csrf_token(call.vault, call.cookies[cookies.SESSION]),
        }
    )


def _own(call: Call) -> Any:
    statement = select(sessions.S.id, sessions.S.method, sessions.S.expires_at)
    row = call.session.execute(statement.where(sessions.S.id == call.actor.session_id)).mappings().first()
    if row is None:
        raise unauthenticated(sessions.BAD_SESSION)
    return row


def renew(call: Call) -> Reply:
    """POST /session/renew"""
    actor, method = call.actor, method_of(call)
    user = accounts.by_id(call, actor.user_id)
    assert actor.session_id is not None
    assert user is not None
    started = sessions.renew(call, actor.session_id)
    login_events.note(call, "session_renewed", user.id, user.username)
    return Reply(shown(call, user, started, method), cookies=(_cookie(started),))


def logout(call: Call) -> Reply:
    """DELETE /session"""
    assert call.actor.user_id is not None
    assert call.actor.session_id is not None
    sessions.end(call, call.actor.user_id, call.actor.session_id)
    login_events.note(call, "logout", call.actor.user_id, call.actor.username)
    return Reply(None, 204, cookies=(Cookie(cookies.SESSION, None),))


def own_sessions(call: Call) -> Reply:
    """GET /sessions"""
    assert call.actor.user_id is not None
    return Reply({"items": sessions.of_user(call, call.actor.user_id)})


def end_own(call: Call) -> Reply:
    """DELETE /sessions/{id}"""
    assert call.actor.user_id is not None
    return _end(call, call.actor.user_id, call.actor.username, call.path["id"])


def _end(call: Call, user_id: str, username: str, session_id: str) -> Reply:
    if not sessions.end(call, user_id, session_id):
        raise not_found()
    login_events.note(call, "session_ended", user_id, username)
    return Reply(None, 204)


def managed(call: Work, user_id: str) -> User:
    """A user whom the caller manages. Raises 404; 403 for one who may do what the caller may not."""
    user = accounts.require(call, user_id)
    rules.keep_those_beyond(call, [user.id])
    return user


def sessions_of(call: Call) -> Reply:
    """GET /users/{id}/sessions"""
    return Reply({"items": sessions.of_user(call, accounts.require(call, call.path["id"]).id)})


def end_of(call: Call) -> Reply:
    """DELETE /users/{id}/sessions/{session}"""
    user = managed(call, call.path["id"])
    return _end(call, user.id, user.username, call.path["session"])


def end_all_of(call: Call) -> Reply:
    """DELETE /users/{id}/sessions"""
    user = managed(call, call.path["id"])
    if sessions.end_all(call, [user.id]):
        login_events.note(call, "session_ended", user.id, user.username, "all of them")
    return Reply(None, 204)


def operations(factors: Sequence[Factor] = ()) -> Iterable[Operation]:
    """The operations of sessions. `factors` are the second factors that a login may ask for."""
    session = session_schema()
    half = object_schema(described(SecondFactor()), answer=True)
    listed = {
        "type": "object",
        "required": ["items"],
        "properties": {"items": {"type": "array", "items": object_schema(described(SessionEntry()), answer=True)}},
    }
    cookie = "The session itself is the cookie C(__Host-deskplane)."
    yield Operation(
        "log_in",
        "POST",
        BASE,
        login(factors),
        "Log in with a password",
        TAG,
        public=True,
        write=True,
        body=Credentials,
        prepare=prepare_login,
        answers={
            201: (f"A session. {cookie}", session),
            202: ("The password is right, and a second factor is asked for.", half),
        },
        refusals=REFUSALS,
        description="A session that this browser had before ends. Wrong passwords are counted by account, by address, "
        "and by browser for one from which the user logged in before.",
    )
    yield Operation(
        "get_session",
        "GET",
        BASE,
        get_session,
        "Who is logged in, and the token that changes need",
        TAG,
        session=True,
        despite_expiry=True,
        answers={200: ("The session.", session)},
    )
    yield Operation(
        "renew_session",
        "POST",
        f"{BASE}/renew",
        renew,
        "Give the session a new token",
        TAG,
        session=True,
        despite_expiry=True,
        write=True,
        answers={200: (f"The session, with its next csrf_token. {cookie}", session)},
        description="The token before works no more. The session lasts no longer by that.",
    )
    yield Operation(
        "log_out",
        "DELETE",
        BASE,
        logout,
        "Log out",
        TAG,
        session=True,
        despite_expiry=True,
        write=True,
        answers={204: ("The session is over.", None)},
    )
    yield Operation(
        "list_sessions",
        "GET",
        "/api/v1/sessions",
        own_sessions,
        "List one's own sessions, the newest first",
        TAG,
        session=True,
        answers={200: ("Those that are not over.", listed)},
    )
    yield Operation(
        "end_session",
        "DELETE",
        "/api/v1/sessions/{id}",
        end_own,
        "End one of one's own sessions",
        TAG,
        session=True,
        write=True,
        answers={204: ("It is over.", None)},
        refusals=NO_SESSION,
    )
    of_user: dict[str, Any] = {"permission": MANAGING, "refusals": NO_SESSION}
    yield Operation(
        "list_user_sessions",
        "GET",
        "/api/v1/users/{id}/sessions",
        sessions_of,
        "List a user's sessions, the newest first",
        TAG,
        answers={200: ("Those that are not over.", listed)},
        **of_user,
    )
    yield Operation(
        "end_user_sessions",
        "DELETE",
        "/api/v1/users/{id}/sessions",
        end_all_of,
        "End all sessions of a user",
        TAG,
        write=True,
        answers={204: ("They are over, and links that were sent to him work no more.", None)},
        **of_user,
    )
    yield Operation(
        "end_user_session",
        "DELETE",
        "/api/v1/users/{id}/sessions/{session}",
        end_of,
        "End a session of a user",
        TAG,
        write=True,
        answers={204: ("It is over.", None)},
        **of_user,
    )
