"""How many requests a minute a caller may make: by the address that he comes from, before anything is known of him, and
by the API key or session that he turns out to have.

Each process counts for itself, and once a second adds what it counted to the counts of all servers in the database
(`kernel.limits`), in one statement beside the requests; what comes back is what the others let through. So a request
waits for nobody, and a caller has his requests a minute once, not once a server, but for what comes within that
second. Who makes less than a 64th of what he may is not even told of, so that a desk that is used as desks are writes
nothing at all. Without the database each process holds to the limit by itself.
"""

from __future__ import annotations

import threading
import time
import weakref
from dataclasses import dataclass

from flask import Request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.datastructures import Headers

from deskplane.kernel import limits
from deskplane.kernel.actor import Actor
from deskplane.kernel.addresses import network
from deskplane.kernel.clock import Clock
from deskplane.kernel.db import Database
from deskplane.kernel.limits import Allowance, Rate
from deskplane.kernel.logging import logger
from deskplane.kernel.metrics import REFUSED
from deskplane.kernel.problem import Problem

SECONDS = 60
FEW = 64
"""Who makes less than this part of what he may is not told of to other processes."""
MOST = 100_000
"""Callers that are counted at once; past that those are forgotten who made few requests."""
_SEEN = "deskplane.allowances"


@dataclass(slots=True)
class Count:
    """Requests of one caller in the present window: made here, how many of them the database knows of, and made
    elsewhere as far as it said."""

    limit: int
    own: int = 0
    told: int = 0
    elsewhere: int = 0

    @property
    def is_few(self) -> bool:
        return self.own * FEW < self.limit


class Throttle:
    """The counts of one process. A limit of 0 is none."""

    def __init__(
        self, database: Database | None = None, *, per_address: int = 0, per_key: int = 0, every: float = 1.0
    ) -> None:
        self.per_address = per_address
        self.per_key = per_key
        self._database = database
        self._every = every
        self._lock = threading.Lock()
        self._until = 0
        self._counts: dict[str, Count] = {}
        self._telling = False

    def hit(self, caller: str, limit: int, clock: Clock) -> Allowance:
        """Counts one request, unless it is one too many; says what is left."""
        second = int(clock.now().timestamp())
        until = second - second % SECONDS + SECONDS
        with self._lock:
            if until != self._until:
                self._until, self._counts = until, {}
            count = self._counts.get(caller)
            if count is None:
                if len(self._counts) >= MOST:
                    self._counts = {name: kept for name, kept in self._counts.items() if not kept.is_few}
                count = self._counts[caller] = Count(limit)
            left = limit - count.own - count.elsewhere - 1
            if left >= 0:
                count.own += 1
                if not count.is_few and not self._telling and self._database is not None:
                    self._telling = True
                    _start(self, self._every, clock)
        return Allowance(limit, max(left, -1), until - second)

    def tell(self, clock: Clock) -> None:
        """Adds what was counted to what all servers count, and learns what the others let through."""
        try:
            with self._lock:
                until = self._until
                fresh = {
                    caller: count.own - count.told
                    for caller, count in self._counts.items()
                    if count.own > count.told and not count.is_few
                }
            now = clock.now()
            if not fresh or self._database is None or now.timestamp() >= until:
                return
            totals = self._database.run(lambda session: limits.add(session, fresh, Rate(0, SECONDS), now), write=True)
            with self._lock:
                for caller, total in totals.items() if until == self._until else ():
                    if (known := self._counts.get(caller)) is not None:
                        known.told += fresh[caller]
                        known.elsewhere = max(total - known.told, 0)
        finally:
            self._telling = False


def _start(throttle: Throttle, seconds: float, clock: Clock) -> None:
    threading.Thread(
        target=_tell_later, args=(weakref.ref(throttle), seconds, clock), name="rate limits", daemon=True
    ).start()


def _tell_later(kept: weakref.ref[Throttle], seconds: float, clock: Clock) -> None:
    time.sleep(seconds)
    throttle = kept()
    if throttle is None:
        return
    try:
        throttle.tell(clock)
    except (Problem, SQLAlchemyError) as error:
        logger.debug("requests not counted together", error=str(error).splitlines()[0])


def enter(request: Request, throttle: Throttle, clock: Clock, *, apart: bool) -> None:
    """Counts a request by its address; those that look after the server itself (`apart`) on their own, so that neither
    keeps the other out. Raises 429."""
    where = network(request.remote_addr)
    if throttle.per_address and where is not None:
        kind = "server" if apart else "requests"
        _count(request, "address", throttle.hit(f"{kind} from {where}", throttle.per_address, clock))


def known(request: Request, throttle: Throttle, clock: Clock, actor: Actor) -> None:
    """Counts it by the key or session, once, however often its transaction is begun. Raises 429."""
    if not throttle.per_key:
        return
    name, caller = ("key", actor.key_id) if actor.session_id is None else ("session", actor.session_id)
    if all(seen != name for seen, _allowance in request.environ.get(_SEEN, ())):
        _count(request, name, throttle.hit(f"requests of {name} {caller}", throttle.per_key, clock))


def _count(request: Request, name: str, allowance: Allowance) -> None:
    request.environ.setdefault(_SEEN, []).append((name, allowance))
    if allowance.left < 0:
        REFUSED.labels(name).inc()
        raise Problem(
            429,
            "too_many_requests",
            f"this {name} may make {allowance.limit} requests a minute; go on in {allowance.seconds} seconds",
            headers={"Retry-After": str(allowance.seconds)},
            extra={"violated-policies": [name]},
        )


def tell(request: Request, headers: Headers) -> None:
    """Says in the answer what is left (draft-ietf-httpapi-ratelimit-headers-10), unless its view said it of a limit of
    its own."""
    seen: list[tuple[str, Allowance]] = request.environ.get(_SEEN, [])
    if seen and "RateLimit" not in headers:
        headers.add("RateLimit-Policy", ", ".join([f'"{name}";q={one.limit};w={SECONDS}' for name, one in seen]))
        headers.add("RateLimit", ", ".join([f'"{name}";r={max(one.left, 0)};t={one.seconds}' for name, one in seen]))
