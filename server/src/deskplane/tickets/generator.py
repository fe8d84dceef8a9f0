"""Tickets made up, to see how a desk of a million does: realistic, and the same for the same numbers on every desk.

Each is taken through its life by the code that takes real ones through theirs (`draft.py`), and written in bulk: rows
of many tickets in one statement, on PostgreSQL by COPY. They cause no events: nothing leaves the house for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, cast

import orjson
from sqlalchemy import Table, bindparam, func, insert, select, text
from sqlalchemy.dialects import postgresql, sqlite

from deskplane.customers.models import Customer
from deskplane.desks.models import Department, TicketType
from deskplane.kernel.clock import rfc3339
from deskplane.kernel.columns import Json
from deskplane.kernel.db import execute
from deskplane.kernel.words import PRIORITIES
from deskplane.kernel.work import Work
from deskplane.people.models import User
from deskplane.service_levels.service import current_revision, match, promises
from deskplane.tickets import queries, search, tokens
from deskplane.tickets.draft import Draft, empty, row_values
from deskplane.tickets.models import Counter, History, TicketMessage, TicketPause, TicketWords, ticket_tags

PREFIX = "SEED"
"""Prefix of the numbers of tickets that were made up; it tells them from real ones."""
CUSTOMERS, DEPARTMENTS, USERS = 20, 4, 12
FEW = 50
"""Tickets of the customer `seed-few`, and FOUND those with a rare word: as many on a desk of any size."""
FOUND, RARE_WORD = 20, "quokka"
_SPREAD = 37
_BEGINNING = datetime(2024, 1, 1, tzinfo=UTC)
_APART = timedelta(seconds=40)

_ABOUT = (
    "printer scanner monitor laptop dock headset phone router switch firewall server database backup mailbox "
    "calendar license account certificate website shop pipeline deployment report invoice badge camera "
    "projector door sensor vpn"
)
_THINGS = _ABOUT.split()
_TROUBLES = (
    "does not start", "is slow", "shows an error", "was not delivered", "has no network", "lost its settings",
    "is locked", "runs hot", "needs an update", "asks for a password", "prints blank pages", "drops connections",
)  # fmt: skip
_PLACES = ["Berlin", "München", "Zürich", "Wien", "Paris", "Kraków", "Malmö", "Lisboa", "Dublin", "Praha"]
_SAID = (
    "since yesterday the colleague cannot work because it stops after minutes please look at cable driver "
    "version log restart helped once window message code appears again floor room table before after lunch "
    "customer waits urgent tried another user same result attached picture shows warning memory disk full "
    "space network address changed office moved new device ordered number contract support hotline answered "
    "nothing found manual page settings reset"
)
_WORDS = _SAID.split()
_TAGS = ("hardware", "software", "network", "access", "billing", "release", "office", "remote")
_AFTERWARDS = (
    (0.08, ()),
    (0.12, ("in_progress",)),
    (0.15, ("in_progress", "waiting")),
    (0.17, ("cancelled",)),
    (0.45, ("in_progress", "resolved")),
    (0.55, ("in_progress", "waiting", "in_progress", "resolved", "closed")),
    (0.58, ("in_progress", "resolved", "in_progress", "resolved", "closed")),
    (1.0, ("in_progress", "resolved", "closed")),
)
"""Up to which share of the tickets went through which statuses."""

Rows = dict[Table, list[dict[str, Any]]]


def configuration() -> dict[str, list[dict[str, Any]]]:
    """The desk that the tickets need, as a document."""
    names = ["seed-few", *(f"seed-customer-{n}" for n in range(CUSTOMERS))]
    return {
        "customers": [{"name": name, "number_prefix": PREFIX} for name in names],
        "departments": [{"name": f"seed-department-{n}"} for n in range(DEPARTMENTS)],
        "users": [{"username": f"seed-user-{n}", "roles": ["agent"]} for n in range(USERS)],
        "ticket_types": [{"name": f"seed-{name}"} for name in ("incident", "request")],
        "sla_policies": [
            {
                "name": "seed-urgent",
                "priorities": ["high", "critical"],
                "customers": names,
                "response_minutes": 480,
                "resolution_minutes": 1440,
            }
        ],
    }


class Generator:
    """Makes tickets on a desk that has the `configuration`, within one transaction."""

    def __init__(self, work: Work) -> None:
        self.work = work
        session = work.session
        self.customers = self._named(Customer.name, Customer.id)
        self.departments = self._named(Department.name, Department.id)
        self.users = self._named(User.username, User.id)
        self.types = self._named(TicketType.name, TicketType.id)
        self.named_policies = dict(session.execute(select(Customer.id, Customer.sla_policy_id)).all())
        self.policies, self.revision = promises(work), current_revision(work)

    def _named(self, name: Any, object_id: Any) -> dict[str, str]:
        rows = self.work.session.execute(select(name, object_id).where(name.like("seed-%")).order_by(name))
        return {row[0]: row[1] for row in rows}

    def make(self, count: int, messages: int) -> None:
        """Writes the next tickets, each with so many messages."""
        last = execute(self.work.session, _COUNT[self.work.is_sqlite], {"of_prefix": PREFIX, "by": count}).scalar_one()
        # tickets first: the others refer to them
        rows: Rows = {table: [] for table in (queries.TICKETS, _HISTORY, _MESSAGES, _PAUSES, ticket_tags, _TOKENS)}
        ids = iter(self._ids(_MESSAGES, count * messages))
        for ticket_id, n in zip(self._ids(queries.TICKETS, count), range(last - count + 1, last + 1), strict=True):
            self._ticket(rows, ticket_id, n, [next(ids) for _ in range(messages)])
        for table, some in rows.items():
            _write(self.work, table, some)

    def _ids(self, table: Table, count: int) -> Sequence[int]:
        if self.work.is_sqlite:
            highest = select(func.coalesce(func.max(table.c.id), 0))
            first = self.work.session.execute(highest).scalar_one() + 1
            return range(first, first + count)
        numbers = text("SELECT nextval(pg_get_serial_sequence(:name, 'id')) FROM generate_series(1, :count)")
        return self.work.session.execute(numbers, {"name": table.name, "count": count}).scalars().all()

    def _ticket(self, rows: Rows, ticket_id: int, n: int, messages: Sequence[int]) -> None:
        chance = Random(n)  # noqa: S311 - the same tickets each time are what is wanted
        draft = self._opened(chance, ticket_id, n)
        columns = draft.columns
        created = {name: _plain(value) for name, value in draft.snapshot().items()}
        created |= {"number": draft.number, "source": columns["source"]}
        author = cast(str, draft.names["reporter"])
        history = [_entry(ticket_id, columns["created_at"], author, "created", None, created)]
        talk = []
        ids = iter(messages)
        for at, status in _life(chance, columns["created_at"], len(messages)):
            author = chance.choice(list(self.users))
            if status is None:
                internal = chance.random() < 0.4
                direction = "internal" if internal else chance.choice(("inbound", "outbound"))
                body = _text(chance, 12)
                talk.append((body, internal))
                message = {"id": next(ids), "ticket_id": ticket_id, "direction": direction, "body": body}
                rows[_MESSAGES].append({**message, "author": author, "created_at": at})
                told = {"id": message["id"], "direction": direction}
                history.append(_entry(ticket_id, at, author, "message", None, told) | {"internal": internal})
                if not internal:
                    draft.spoken(direction, at)
            else:
                history.append(_entry(ticket_id, at, author, "status", draft.status, status))
                draft.step(status, at)
            columns["version"] += 1
            columns["updated_at"] = at
        if draft.status == "waiting" and chance.random() < 0.5:
            at = columns["updated_at"]
            columns["remind_at"] = (at + timedelta(days=chance.randrange(1, 30))).replace(microsecond=0)
            history.append(_entry(ticket_id, at, author, "remind_at", None, rfc3339(columns["remind_at"])))
            columns["version"] += 1
        columns["sla_tell_at"] = None
        # their deadlines passed long ago, and nobody is to be told
        rows[queries.TICKETS].append({"id": ticket_id, **row_values(draft), "sla_tell_at": None})
        rows[_HISTORY] += history
        rows[ticket_tags] += [{"ticket_id": ticket_id, "tag": tag} for tag in draft.tags]
        rows[_PAUSES] += [
            {"ticket_id": ticket_id, "since": pause.since, "until": pause.until, "status": pause.status}
            for pause in draft.pauses
        ]
        heard = tokens.conversation(talk)
        words = {
            "ticket_id": ticket_id,
            "head": search.head_of(draft.columns),
            "talk": heard,
            "talk_bytes": len(heard.encode()),
        }
        rows[_TOKENS].append(words)

    def _opened(self, chance: Random, ticket_id: int, n: int) -> Draft:
        created_at = _BEGINNING + n * _APART + timedelta(microseconds=chance.randrange(1, 40_000_000))
        draft = empty(created_at)
        thing, place = chance.choice(_THINGS), chance.choice(_PLACES)
        title = f"{thing.capitalize()} {chance.choice(_TROUBLES)} in {place}"
        rare = n % _SPREAD == 0 and n <= FOUND * _SPREAD
        customer = "seed-few" if n % _SPREAD == 1 and n <= FEW * _SPREAD else f"seed-customer-{n % CUSTOMERS}"
        names = {
            "customer": customer,
            "department": chance.choice(list(self.departments)),
            "assignee": chance.choice(list(self.users)) if chance.random() < 0.8 else None,
            "reporter": chance.choice(list(self.users)),
            "type": chance.choice(list(self.types)),
        }
        names["created_by"] = names["reporter"]
        ids = self.customers | self.departments | self.users | self.types
        draft.names |= names
        draft.columns |= {f"{field}_id": ids[name] if name else None for field, name in names.items()}
        draft.columns |= {
            "id": ticket_id,
            "prefix": PREFIX,
            "sequence": n,
            "title": title,
            "description": f"{_text(chance, 30)}{f' {RARE_WORD}' if rare else ''}\n\nAsset {thing}-{n % 5000:04d}.",
            "priority": chance.choices(range(len(PRIORITIES)), (4, 10, 3, 1))[0],
            "source": chance.choice(("api", "email", "portal", "ansible")),
        }
        draft.tags = sorted(chance.sample(_TAGS, chance.randrange(3)))
        customer_id = draft.columns["customer_id"]
        named = self.named_policies[customer_id]
        promise = match(self.policies, priority=draft.priority, customer_id=customer_id, named=named)
        draft.put_under(promise, self.revision, created_at)
        return draft


def _life(chance: Random, created_at: datetime, messages: int) -> Iterator[tuple[datetime, str | None]]:
    """What happens to a ticket, and when: a status, or None for a message."""
    share = chance.random()
    steps = next(statuses for most, statuses in _AFTERWARDS if share < most)
    happenings: list[str | None] = [*steps]
    for _ in range(messages):
        happenings.insert(chance.randrange(len(happenings) + 1), None)
    at = created_at
    for happening in happenings:
        at += timedelta(seconds=60 + int(20_000 * chance.random() ** 2), microseconds=chance.randrange(1_000_000))
        yield at, happening


def _text(chance: Random, length: int) -> str:
    return " ".join(chance.choices(_WORDS, k=length)).capitalize() + "."


def _plain(value: Any) -> Any:
    return rfc3339(value) if isinstance(value, datetime) else value


def _entry(ticket_id: int, at: datetime, author: str, field: str, old: Any, new: Any) -> dict[str, Any]:
    found = {"ticket_id": ticket_id, "at": at, "author": author, "cause": "deskplane seed"}
    return {**found, "field": field, "old": old, "new": new, "internal": False}


# -- writing ----------------------------------------------------------------------------------------------------------

_HISTORY = cast(Table, History.__table__)
_MESSAGES = cast(Table, TicketMessage.__table__)
_PAUSES = cast(Table, TicketPause.__table__)
_TOKENS = cast(Table, TicketWords.__table__)
_COUNTERS = cast(Table, Counter.__table__)


def _counting(dialect: Any) -> Any:
    statement = dialect.insert(_COUNTERS).values(prefix=bindparam("of_prefix"), last=bindparam("by"))
    raised = {"last": _COUNTERS.c.last + statement.excluded.last}
    return statement.on_conflict_do_update(index_elements=["prefix"], set_=raised).returning(_COUNTERS.c.last)


_COUNT = {True: _counting(sqlite), False: _counting(postgresql)}


def made(work: Work) -> int:
    """How many tickets were made up so far."""
    found = work.session.execute(select(_COUNTERS.c.last).where(_COUNTERS.c.prefix == PREFIX)).scalar_one_or_none()
    return found or 0


def _write(work: Work, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    if not rows:
        return
    if work.is_sqlite:
        execute(work.session, insert(table), rows)
        return
    names = list(rows[0])
    as_json = {name for name in names if isinstance(table.c[name].type, Json)}
    listed = ", ".join(f'"{name}"' for name in names)
    connection = work.session.connection().connection.driver_connection
    assert connection is not None
    with connection.cursor() as cursor, cursor.copy(f"COPY {table.name} ({listed}) FROM STDIN") as copy:
        for row in rows:
            copy.write_row([_copied(row[name], name in as_json) for name in names])


def _copied(value: Any, as_json: bool) -> Any:
    if as_json:
        return None if value is None else orjson.dumps(value).decode()
    return value // timedelta(microseconds=1) if isinstance(value, timedelta) else value
