"""What belongs to one ticket, page by page, for those who may see the ticket."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from deskplane.kernel import pagination
from deskplane.kernel.operation import Call
from deskplane.kernel.problem import not_found
from deskplane.tickets import queries


def ticket_row(call: Call) -> Any:
    """The row of the ticket that the request's path names. Raises 404."""
    row = queries.by_number(call, call.path["number"])
    if row is None:
        raise not_found()
    return row


def page(call: Call, model: Any, name: str, *conditions: Any) -> tuple[Any, str | None]:
    """One page of the ticket's rows of a model, in the order of their ids, and the cursor of the next. Raises 404."""
    row = ticket_row(call)
    statement = select(model).where(model.ticket_id == row.t_id, *conditions)
    order = pagination.Order(((model.id, False),), lambda found: [found.id])
    scope = f"{name} {row.t_id}"
    limit, vault = call.query["limit"], call.vault
    statement = pagination.page(statement, order, scope=scope, cursor=call.query["cursor"], limit=limit, vault=vault)
    rows = call.session.execute(statement).scalars().all()
    return pagination.cut(rows, order, scope=scope, limit=limit, vault=vault)
