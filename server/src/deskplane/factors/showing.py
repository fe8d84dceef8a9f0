"""From a password that was right to a session: somebody shows his second factor.

A try is counted before it is looked at, in a transaction of its own that stays whatever comes of it: for the login that
it belongs to, and for the account, since who knows the password can begin as many logins as he likes. What shows the
factor is used up in the transaction in which the session begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from deskplane.factors import changing
from deskplane.kernel.db import Database
from deskplane.kernel.operation import Between, Call, Reply
from deskplane.kernel.problem import Problem
from deskplane.kernel.work import Work
from deskplane.login import accounts, api, attempts, devices, pending, sessions
from deskplane.login.attempts import Try
from deskplane.login.pending import Factor, Pending
from deskplane.people.models import User


class ByCode(Factor, Protocol):
    """A factor that is shown by typing something."""

    def look(self, work: Work, user_id: str, code: str) -> Any:
        """What shows the factor, if the code is right; null where it is not."""
        ...

    def use(self, work: Work, user_id: str, shown: Any) -> bool:
        """Uses it up. Answers false where somebody else was first."""
        ...


@dataclass(frozen=True)
class Shown:
    """A try: of which login, what it was counted for and when, and what shows the factor, null for nothing."""

    pending: Pending
    tries: Sequence[Try]
    at: datetime
    by: Any


Look = Callable[[Call, str], Any]
"""The call and the id of the user → what shows the factor, or null."""


def wrong() -> Problem:
    """401, whatever it was."""
    headers = {"WWW-Authenticate": 'Session realm="deskplane"'}
    return Problem(401, "bad_factor", "it is wrong, too old, or was used before; try another", headers=headers)


class Judged(Protocol):
    """What came of a try."""

    @property
    def by(self) -> Any:
        """What shows the factor; null for nothing."""
        ...


def judging(call: Call, tried: Callable[[Call], Judged]) -> Between:
    """Runs a try in a transaction that stays whatever comes of it. Raises 401 where it showed nothing."""

    def run(database: Database) -> Judged:
        shown = database.run(lambda session: tried(replace(call, session=session)), write=True)
        if shown.by is None:
            raise wrong()
        return shown

    return Between(run)


def preparing(name: str, look: Look) -> Callable[[Call], Between]:
    """The `prepare` of an operation that shows the factor of this name. Raises 401 for a login that is over and for
    what is wrong, 429 where it was tried too often."""

    def prepare(call: Call) -> Between:
        found = pending.find(api.known(call), call.body["token"])
        tries = attempts.factor_guesses(call, found.user_id, devices.known(call, found.user_id))
        attempts.look(call, tries)
        now = call.clock.now()

        def tried(here: Call) -> Shown:
            login = pending.require(here, here.body["token"])
            attempts.count(here, tries)
            user = accounts.by_id(here, login.user_id)
            by = look(here, login.user_id) if user is not None else None
            if by is None:
                changing.note_wrong(here, login, user, name)
            return Shown(login, tries, now, by)

        return judging(call, tried)

    return prepare


def begin_session(call: Call, name: str, use: Callable[[User, Any], bool]) -> Reply:
    """A session, if what was shown can still be used."""
    shown: Shown = call.prepared
    user = accounts.by_id(api.known(call), shown.pending.user_id)
    if user is None or not use(user, shown.by):
        raise wrong()
    attempts.take_back(call, shown.tries, shown.at)
    pending.finish(call, shown.pending)
    return api.begin_session(call, user, sessions.with_factor(shown.pending.method, name))
