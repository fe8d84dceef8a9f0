"""What tickets are marked with, read for many at once: tags, labels and assets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple, cast

import orjson
from sqlalchemy import ARRAY, BigInteger, ColumnElement, Table, bindparam, func, select

from deskplane.customers.models import Asset
from deskplane.desks.models import Label
from deskplane.kernel.db import execute, prepared
from deskplane.kernel.work import Work
from deskplane.tickets.models import ticket_assets, ticket_labels, ticket_tags

_assets = cast(Table, Asset.__table__)
_labels = cast(Table, Label.__table__)


def _words(gather: Callable[..., Any], of: Callable[[Any], ColumnElement[bool]]) -> Any:
    """Tags, label names and assets in one row: each row that SQLite steps to costs a release of the interpreter's lock,
    which under load is dear."""
    tags = select(gather(ticket_tags.c.ticket_id, ticket_tags.c.tag)).where(of(ticket_tags.c.ticket_id))
    labels = (
        select(gather(ticket_labels.c.ticket_id, _labels.c.name))
        .join(_labels, _labels.c.id == ticket_labels.c.label_id)
        .where(of(ticket_labels.c.ticket_id))
    )
    assets = (
        select(gather(ticket_assets.c.ticket_id, _assets.c.name, ticket_assets.c.moved_at))
        .join(_assets, _assets.c.id == ticket_assets.c.asset_id)
        .where(of(ticket_assets.c.ticket_id))
    )
    return prepared(select(*[part.scalar_subquery() for part in (tags, labels, assets)]))


OF_TICKETS = "of_tickets"
_GIVEN: dict[bool, Callable[[Any], ColumnElement[bool]]] = {
    True: lambda column: column.in_(select(func.json_each(bindparam(OF_TICKETS)).table_valued("value").c.value)),
    False: lambda column: column == func.any(bindparam(OF_TICKETS, type_=ARRAY(BigInteger))),
}
_GATHERED = {
    True: lambda *parts: func.json_group_array(func.json_array(*parts)),
    False: lambda *parts: func.json_agg(func.json_build_array(*parts)),
}


def given(column: Any, *, sqlite: bool) -> ColumnElement[bool]:
    """The condition that an id is among those of `ids_given`: one statement, however many there are."""
    return _GIVEN[sqlite](column)


def ids_given(work: Work, ids: Sequence[int]) -> dict[str, Any]:
    """The parameters of a statement with `given`."""
    return {OF_TICKETS: orjson.dumps(list(ids)).decode() if work.is_sqlite else list(ids)}


_WORDS = {sqlite: _words(gather, partial(given, sqlite=sqlite)) for sqlite, gather in _GATHERED.items()}


class Words(NamedTuple):
    """Of tickets, by their ids: tags, names of labels, and names of assets, each with the movement pointed at."""

    tags: dict[int, list[str]]
    labels: dict[int, list[str]]
    assets: dict[int, list[tuple[str, datetime | None]]]

    def of(self, ticket_id: int) -> tuple[list[str], list[str], list[tuple[str, datetime | None]]]:
        """All that one ticket has."""
        return self.tags.get(ticket_id, []), self.labels.get(ticket_id, []), self.assets.get(ticket_id, [])


def words(work: Work, ids: Sequence[int]) -> Words:
    """What tickets are marked with, sorted."""
    found = Words(defaultdict(list), defaultdict(list), defaultdict(list))
    if not ids:
        return found
    parts = execute(work.session, _WORDS[work.is_sqlite], ids_given(work, ids)).one()
    several = [orjson.loads(part) if work.is_sqlite else part or [] for part in parts]
    tags, labels, assets = several
    for by_ticket, pairs in ((found.tags, tags), (found.labels, labels)):
        for ticket, word in pairs:
            by_ticket[ticket].append(word)
    for ticket, name, moved_at in assets:
        found.assets[ticket].append((name, datetime.fromisoformat(moved_at) if moved_at else None))
    for words in (*found.tags.values(), *found.labels.values()):
        words.sort()
    for moved in found.assets.values():
        moved.sort(key=itemgetter(0))
    return found
