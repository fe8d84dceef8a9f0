"""How often passwords may be tried, over all servers.

Tries from browsers that nobody knows are counted by the account and by the address that they come from; those from a
browser from which the user logged in before, by that browser alone. So ten thousand guesses from ten thousand addresses
come to a stop after the first few, and the user himself is let in all the while.

What is tried is counted before the password is looked at, in a transaction of its own, and taken back if it was right:
tries at once cannot overtake the count. Where it cannot be counted, nothing is tried. Names that there are not are
counted alike, so that nobody learns by it which there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from deskplane.kernel import addresses, limits
from deskplane.kernel.crypto import sha256_hex
from deskplane.kernel.db import Database
from deskplane.kernel.limits import Allowance, Rate
from deskplane.kernel.operation import Between, Call
from deskplane.kernel.problem import Problem
from deskplane.kernel.work import Work

QUARTER, HOUR, DAY = 900, 3600, 86_400
PER_ACCOUNT = (Rate(10, QUARTER), Rate(100, DAY))
PER_DEVICE = (Rate(10, QUARTER), Rate(100, DAY))
PER_ADDRESS = (Rate(40, QUARTER),)
PER_FACTOR = (Rate(10, QUARTER), Rate(30, DAY))
"""Wrong second factors: who tries them knows the password, and of a million codes three are right at any time."""
BEGINNINGS_PER_CALLER = (Rate(600, QUARTER),)
MAILS_PER_ADDRESS, MAILS_PER_CALLER = (Rate(5, HOUR),), (Rate(20, HOUR),)


@dataclass(frozen=True)
class Try:
    """Something that is counted: under a key, at a rate."""

    key: str
    rate: Rate


def guesses(work: Work, username: str, user_id: str | None, device: str | None) -> list[Try]:
    """What a login counts for. `device` is the hash of the user's known browser."""
    if device is not None:
        return _tries(f"login device {user_id} {device[:16]}", PER_DEVICE)
    return of_caller(work, "login", PER_ADDRESS) + _tries(f"login {_veiled(work, username)}", PER_ACCOUNT)


def factor_guesses(work: Work, user_id: str, device: str | None) -> list[Try]:
    """What a second factor counts for, besides the login that it belongs to, which ends after a few. `device` as
    above: so whoever found out a password does not keep its user out."""
    if device is not None:
        return _tries(f"factor device {user_id} {device[:16]}", PER_FACTOR)
    return of_caller(work, "login", PER_ADDRESS) + _tries(f"factor {user_id}", PER_FACTOR)


def of_account(kind: str, user_id: str, rates: Sequence[Rate] = PER_DEVICE) -> list[Try]:
    """What is counted for one account only: who asks is known already."""
    return _tries(f"{kind} {user_id}", rates)


def beginnings(work: Work) -> list[Try]:
    """What is counted where somebody is sent to an identity provider: nothing can be guessed by that, but each is kept
    for a while."""
    return of_caller(work, "login at a provider", BEGINNINGS_PER_CALLER)


def mails(work: Work, address: str) -> list[Try]:
    """What is counted where a mail goes to an address that somebody names."""
    return of_caller(work, "mail", MAILS_PER_CALLER) + _tries(
        f"mail {_veiled(work, address.casefold())}", MAILS_PER_ADDRESS
    )


def of_caller(work: Work, kind: str, rates: Sequence[Rate]) -> list[Try]:
    """What is counted for whoever has the caller's address."""
    # of a network of IPv6 somebody who has one address has all
    return _tries(f"{kind} from {network(work.address)}", rates)


def _tries(key: str, rates: Sequence[Rate]) -> list[Try]:
    return [Try(f"{key} {rate.seconds}", rate) for rate in rates]


def _veiled(work: Work, name: str) -> str:
    # what was typed may be a password in the wrong field
    return sha256_hex(work.vault.signature(f"tries {name}".encode()))[:32]


def network(address: str | None) -> str:
    """The address, or the first 64 bits of one of IPv6; those without any count together."""
    return addresses.network(address) or "nowhere"


def look(work: Work, tries: Sequence[Try]) -> None:
    """Raises 429 where there is no try left, at the cost of a reading. Who goes on all the same is not counted anew."""
    now = work.clock.now()
    for one in tries:
        _require(limits.look(work.session, one.key, one.rate, now), 1)


def count(work: Work, tries: Sequence[Try]) -> None:
    """Counts. To be done in a transaction of its own. Raises 429 for one too many, which then is not counted."""
    now = work.clock.now()
    for one in sorted(tries, key=lambda one: one.key):  # in one order, so that two at once do not lock each other out
        _require(limits.hit(work.session, one.key, one.rate, now), 0)


def counting(call: Call, tries: Sequence[Try]) -> Between:
    """Looks at once, and counts before the view runs."""
    look(call, tries)
    return Between(lambda database: count_apart(call, database, tries))


def count_apart(call: Call, database: Database, tries: Sequence[Try]) -> None:
    """Counts in a transaction of its own."""
    database.run(lambda session: count(replace(call, session=session), tries), write=True)


def take_back(work: Work, tries: Sequence[Try], counted_at: datetime) -> None:
    """What was right was no guess."""
    for one in sorted(tries, key=lambda one: one.key):
        limits.take_back(work.session, [one.key], one.rate, counted_at)


def clear(work: Work, username: str) -> None:
    """Forgets what strangers tried on an account: its owner has shown that he reads its mail."""
    limits.forget(work.session, [one.key for one in _tries(f"login {_veiled(work, username)}", PER_ACCOUNT)])


def _require(allowance: Allowance, least: int) -> None:
    if allowance.left < least:
        raise Problem(
            429,
            "too_many_tries",
            f"this was tried too often; try again in {allowance.seconds} seconds",
            headers={"Retry-After": str(allowance.seconds)},
        )
