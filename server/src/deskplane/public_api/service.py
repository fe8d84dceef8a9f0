"""Who may use the public API, and how much of it."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from sqlalchemy import ColumnElement, Table, and_, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from deskplane.customers.models import Customer
from deskplane.desks.settings import setting
from deskplane.kernel import limits
from deskplane.kernel.db import execute
from deskplane.kernel.limits import Allowance, Rate
from deskplane.kernel.problem import Problem
from deskplane.kernel.work import Work
from deskplane.public_api.models import Usage
from deskplane.tickets import queries

SECONDS = 60
KEPT_DAYS = 400
LIMIT = "public_api.requests_per_minute"


def headers(allowance: Allowance) -> dict[str, str]:
    """As the IETF's draft about rate limit headers has them (draft-ietf-httpapi-ratelimit-headers)."""
    return {
        "RateLimit-Policy": f'"key";q={allowance.limit};w={SECONDS}',
        "RateLimit": f'"key";r={max(allowance.left, 0)};t={allowance.seconds}',
    }


def count(work: Work) -> Allowance:
    """Counts this request of the caller's key, in a transaction of its own: one that fails counts, too."""
    key_id, now = work.actor.key_id, work.clock.now()
    if key_id is None:
        raise Problem(403, "key_needed", "the public API is for programs; send an API key")
    found = limits.hit(work.session, f"public API {key_id}", Rate(setting(work, LIMIT), SECONDS), now)
    refused = int(found.left < 0)
    used = cast(Table, Usage.__table__)
    dialect = sqlite if work.is_sqlite else postgresql
    row = {"day": _day(now), "key_id": key_id, "username": work.actor.username, "requests": 1, "refused": refused}
    added = {"requests": used.c.requests + 1, "refused": used.c.refused + refused}
    metering = dialect.insert(used).values(**row)
    execute(work.session, metering.on_conflict_do_update(index_elements=["day", "key_id"], set_=added), {})
    return found


def require(allowance: Allowance) -> None:
    """Raises 429 where the minute's requests are used up."""
    if allowance.left < 0:
        raise Problem(
            429,
            "too_many_requests",
            f"this key may make {allowance.limit} requests a minute; go on in {allowance.seconds} seconds",
            headers={"Retry-After": str(allowance.seconds), **headers(allowance)},
        )


def _day(now: datetime) -> str:
    return now.date().isoformat()


def forget_old(work: Work) -> None:
    """Deletes what was counted long ago."""
    now = work.clock.now()
    oldest = datetime.fromtimestamp(now.timestamp() - KEPT_DAYS * 86_400, tz=now.tzinfo)
    work.session.execute(delete(Usage).where(Usage.day < _day(oldest)))


def usage(work: Work, since: str | None) -> list[dict[str, Any]]:
    """What each key made on each day, the newest first; `since` is a day."""
    columns = (Usage.day, Usage.key_id, Usage.username, Usage.requests, Usage.refused)
    statement = select(*columns).order_by(Usage.day.desc(), Usage.username, Usage.key_id).limit(10_000)
    if since is not None:
        statement = statement.where(Usage.day >= since)
    return [dict(row._mapping) for row in work.session.execute(statement)]


def customers(work: Work) -> dict[str, str]:
    """Id → name of the customers with the public API that the caller works for; for who sees all, of all of them.
    Raises 404 where there is none: a feature that is off is not there."""
    switched_on = work.keep("customers with the public API", lambda: _switched_on(work))
    everywhere = work.actor.may("tickets:view_all")
    found = {key: name for key, name in switched_on.items() if everywhere or key in work.actor.member_of}
    if not found:
        raise Problem(404, "feature_disabled", "no customer of yours has the public API (features.public_api)")
    return found


def _switched_on(work: Work) -> dict[str, str]:
    rows = work.session.execute(select(Customer.id, Customer.name, Customer.features))
    return {row.id: row.name for row in rows if row.features.get("public_api")}


def condition(work: Work) -> ColumnElement[bool]:
    """Which tickets the caller may see here: those of these customers, as far as he may see them at all."""
    found = queries.T.customer_id.in_(sorted(customers(work)))
    seen = queries.visible(work.actor)
    return found if seen is None else and_(found, seen)
