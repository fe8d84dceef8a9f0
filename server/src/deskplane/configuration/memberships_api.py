"""Memberships as a customer shows them: for its owners, who need no permission on users to manage them.

They are a field of the user, and every change goes the way of such a field: with its history, the quota of agents, and
drift where a manager declared it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, cast

from marshmallow import Schema
from sqlalchemy import Table, select

from deskplane.configuration import store
from deskplane.configuration.entries import Document
from deskplane.configuration.service import Reconciliation, lock_configuration
from deskplane.customers.schemas import CUSTOMER
from deskplane.kernel import pagination
from deskplane.kernel.compound import described, object_schema
from deskplane.kernel.fields import Choice, Text, Whole
from deskplane.kernel.http import planning
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.problem import forbidden, not_found
from deskplane.people.models import User, memberships
from deskplane.people.schemas import MEMBERSHIP_ROLES, USER

BASE = "/api/v1/customers/{id}/memberships"
MANAGING = "users:manage"
_USERNAME = cast(Table, User.__table__).c.username
_ABOUT = (
    "Owners of the customer may, without a permission. Memberships that a group has are written on the group, and are "
    "not shown here."
)


class MembershipList(Schema):
    """A page of memberships."""

    limit = Whole("How many entries a page has.", least=1, most=pagination.MAX_LIMIT, default=100)
    cursor = Text("The next_cursor of the page before.", longest=2000)


class MembershipRole(Schema):
    """What someone is with a customer."""

    role = Choice(
        "viewer sees the customer's record, member works on its tickets within his permissions, owner also manages its "
        "memberships and contacts.",
        MEMBERSHIP_ROLES,
        required=True,
    )
    always = ("role",)


class MembershipEntry(Schema):
    """One membership."""

    username = Text("Name of the user.", read_only=True)
    first_name = Text("First name.", read_only=True)
    last_name = Text("Last name.", read_only=True)
    role = Choice("What he is with the customer.", MEMBERSHIP_ROLES, read_only=True)


def _customer(call: Call) -> store.Stored:
    """The customer whose memberships the caller manages. Raises 404 where he does not see it, 403 where he may not."""
    found = store.load_by_id(call, CUSTOMER, call.path["id"])
    if found is None:
        raise not_found()
    if found.id not in call.actor.owner_of and not call.actor.may(MANAGING):
        raise forbidden(MANAGING)
    return found


def listing(call: Call) -> Reply:
    """GET /customers/{id}/memberships"""
    customer = _customer(call)
    statement = (
        select(User.username, User.first_name, User.last_name, memberships.c.role)
        .join(memberships, memberships.c.user_id == User.id)
        .where(memberships.c.customer_id == customer.id, User.deleted_at.is_(None))
    )
    order = pagination.Order(((_USERNAME, False),), lambda row: [row.username])
    scope, limit, vault = f"memberships {customer.id}", call.query["limit"], call.vault
    statement = pagination.page(statement, order, scope=scope, cursor=call.query["cursor"], limit=limit, vault=vault)
    rows, following = pagination.cut(
        call.session.execute(statement).all(), order, scope=scope, limit=limit, vault=vault
    )
    return Reply({"items": [dict(row._mapping) for row in rows], "next_cursor": following})


def put(call: Call) -> Reply:
    """PUT /customers/{id}/memberships/{username}"""
    user, made = _write(call, call.body["role"])
    shown = {name: user.state[name] for name in ("username", "first_name", "last_name")}
    return Reply(shown | {"role": call.body["role"]}, 201 if made else 200)


def delete(call: Call) -> Reply:
    """DELETE /customers/{id}/memberships/{username}"""
    _write(call, None)
    return Reply(None, 204)


def _write(call: Call, role: str | None) -> tuple[store.Stored, bool]:
    """Brings a membership to what is wanted, null for none; answers the user, and whether it is new."""
    lock_configuration(call)
    customer = _customer(call)
    username = call.path["username"]
    user = store.load_by_keys(call, USER, [(username,)]).get((username,))
    if user is None or user.deleted:
        raise not_found()
    name = customer.state["name"]
    others = [entry for entry in user.state["memberships"] if entry["customer"] != name]
    had = len(others) < len(user.state["memberships"])
    if role is None and not had:
        raise not_found()
    wanted = others if role is None else [*others, {"customer": name, "role": role}]
    # an owner decides about his customer, whatever the user may do elsewhere
    work = replace(call, actor=planning(call.actor)) if customer.id in call.actor.owner_of else call
    document = Document(USER, {"username": username, "memberships": sorted(wanted, key=_place)}, subject=user)
    Reconciliation(work).apply([document])
    return user, role is not None and not had


def _place(entry: Any) -> str:
    return str(entry["customer"])


def operations() -> Iterable[Operation]:
    """The operations on a customer's memberships."""
    entry = object_schema(described(MembershipEntry()), answer=True)
    common: dict[str, Any] = {"permission": (MANAGING,), "owners": True, "description": _ABOUT}
    yield Operation(
        "list_customer_memberships",
        "GET",
        BASE,
        listing,
        "Who works for a customer",
        "customers",
        query=MembershipList,
        answers={200: ("A page.", pagination.page_schema(entry))},
        **common,
    )
    yield Operation(
        "put_customer_membership",
        "PUT",
        f"{BASE}/{{username}}",
        put,
        "Make a user a member of a customer, or change what he is",
        "customers",
        body=MembershipRole,
        write=True,
        answers={200: ("It was there, and is so now.", entry), 201: ("It is new.", entry)},
        **common,
    )
    yield Operation(
        "delete_customer_membership",
        "DELETE",
        f"{BASE}/{{username}}",
        delete,
        "End a user's membership of a customer",
        "customers",
        write=True,
        answers={204: ("It is gone.", None)},
        **common,
    )
