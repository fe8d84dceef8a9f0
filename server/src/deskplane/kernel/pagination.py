"""Pages by keyset: a cursor names the last row of a page by its sort values; deep pages cost what the first does.

Cursors are signed: what was not made here for the same list is a 400, and never reaches the database.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson
from sqlalchemy import ColumnElement, Select, and_, or_

from deskplane.kernel.crypto import Vault
from deskplane.kernel.problem import Problem, invalid_field

DEFAULT_LIMIT = 50
MAX_LIMIT = 200


@dataclass(frozen=True)
class Order:
    """One way to sort: columns with their direction, the last of them unique.

    `read` gives the values of those columns for a row, in the same order.
    """

    columns: tuple[tuple[ColumnElement[Any], bool], ...]
    read: Callable[[Any], Sequence[Any]]


def _encode(value: Any) -> Any:
    if isinstance(value, datetime):
        return {"t": value.astimezone(UTC).isoformat()}
    return value


def _decode(value: Any) -> Any:
    return datetime.fromisoformat(value["t"]) if isinstance(value, dict) else value


def choose(orders: Mapping[str, Order], asked: str) -> Order:
    """The order that the caller asked for, from the allow-list. Raises 422."""
    try:
        return orders[asked]
    except KeyError:
        raise invalid_field("sort", "not_allowed", "this list cannot be sorted so", sorted(orders)) from None


def page(
    statement: Select[Any], order: Order, *, scope: str, cursor: str | None, limit: int, vault: Vault
) -> Select[Any]:
    """The statement for one page, with one row more than the page has.

    `scope` binds a cursor to its list and sort order.
    """
    return after(statement, order, opened(cursor, scope, vault, len(order.columns)) if cursor else None, limit)


def after(statement: Select[Any], order: Order, values: Sequence[Any] | None, limit: int) -> Select[Any]:
    """The rows behind the one with these sort values, or the first ones: one more than the page has."""
    if values is not None:
        alternatives = []
        for index, (column, descending) in enumerate(order.columns):
            before = [earlier == value for (earlier, _), value in zip(order.columns[:index], values, strict=False)]
            beyond = column < values[index] if descending else column > values[index]
            alternatives.append(and_(*before, beyond))
        first, first_descending = order.columns[0]
        # the outer bound is implied by the alternatives; it lets the index be entered at the right place
        bound = first <= values[0] if first_descending else first >= values[0]
        statement = statement.where(bound, or_(*alternatives))
    ordering = [column.desc() if descending else column.asc() for column, descending in order.columns]
    return statement.order_by(*ordering).limit(limit + 1)


def cut(rows: Sequence[Any], order: Order, *, scope: str, limit: int, vault: Vault) -> tuple[Sequence[Any], str | None]:
    """The rows of the page, and the cursor of the next one."""
    if len(rows) <= limit:
        return rows, None
    rows = rows[:limit]
    return rows, sealed(order.read(rows[-1]), scope, vault)


def sealed(values: Sequence[Any], scope: str, vault: Vault) -> str:
    """A cursor that holds these values."""
    payload = orjson.dumps([scope, [_encode(value) for value in values]])
    text = base64.urlsafe_b64encode(payload).rstrip(b"=").decode()
    return f"{text}.{vault.signature(payload)}"


def bad_cursor() -> Problem:
    """400: not a cursor of this list."""
    return Problem(400, "bad_cursor", "this cursor was not made by this list; begin again without one")


def opened(cursor: str, scope: str, vault: Vault, count: int) -> list[Any]:
    """The values that a cursor of this list holds, so many. Raises 400."""
    text, _, signature = cursor.partition(".")
    try:
        payload = base64.urlsafe_b64decode(text.encode("ascii") + b"=" * (-len(text) % 4))
    except ValueError:
        raise bad_cursor() from None
    if not vault.is_signed(payload, signature):
        raise bad_cursor()
    made_for, values = orjson.loads(payload)
    if made_for != scope or len(values) != count:
        raise bad_cursor()
    return [_decode(value) for value in values]


def page_schema(thing: dict[str, Any]) -> dict[str, Any]:
    """JSON Schema of a page of such things."""
    return {
        "type": "object",
        "required": ["items", "next_cursor"],
        "properties": {"items": {"type": "array", "items": thing}, "next_cursor": {"type": ["string", "null"]}},
    }
