"""The endpoint that lists API keys: whose they are, what they may do, and when they were last used."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

from marshmallow import Schema
from sqlalchemy import Table, select

from deskplane.kernel import pagination
from deskplane.kernel.compound import ListOf, described, object_schema
from deskplane.kernel.fields import Moment, Text, Whole
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.people.models import ApiKey, User

_KEYS, _USERS = cast(Table, ApiKey.__table__).c, cast(Table, User.__table__).c
_SHOWN = (
    "id",
    "name",
    "scopes",
    "expires_at",
    "allowed_ips",
    "created_at",
    "last_used_at",
    "secret_set_at",
    "previous_until",
)
_ORDER = pagination.Order(((_USERS.username, False), (_KEYS.name, False)), lambda row: (row["user"], row["name"]))


class KeyQuery(Schema):
    """Whose keys."""

    user = Text("Only keys of the user with this name.", longest=120)
    limit = Whole("How many entries a page has.", least=1, most=pagination.MAX_LIMIT, default=100)
    cursor = Text("The next_cursor of the page before.", longest=2000)


class KeyAnswer(Schema):
    """One API key."""

    id = Text("Its id, which the key begins with: C(dpk_<id>_<secret>).", read_only=True)
    user = Text("Whose key it is.", read_only=True)
    name = Text("Its name among the user's keys.", read_only=True)
    scopes = ListOf("Permissions that it is limited to; null for all of the user's.", Text("A scope."), read_only=True)
    expires_at = Moment("When it stops working; null for never.", read_only=True)
    allowed_ips = ListOf(
        "Addresses and networks that it works from; empty for anywhere.", Text("An address."), read_only=True
    )
    created_at = Moment("When it was made.", read_only=True)
    last_used_at = Moment("When it was last used, to about a minute; null for never.", read_only=True)
    secret_set_at = Moment("When it got its present secret; null where that is its first one.", read_only=True)
    previous_until = Moment("Until when the secret before works along, or worked; null for none.", read_only=True)


def listing(call: Call) -> Reply:
    """GET /api-keys"""
    query, limit, vault = call.query, call.query["limit"], call.vault
    statement = (
        select(_USERS.username.label("user"), *(_KEYS[name] for name in _SHOWN))
        .join(User, _USERS.id == _KEYS.user_id)
        .where(_USERS.deleted_at.is_(None))
    )
    if query["user"] is not None:
        statement = statement.where(_USERS.username == query["user"])
    statement = pagination.page(statement, _ORDER, scope="api keys", cursor=query["cursor"], limit=limit, vault=vault)
    rows = call.session.execute(statement).mappings().all()
    rows, following = pagination.cut(rows, _ORDER, scope="api keys", limit=limit, vault=vault)
    return Reply({"items": [dict(row) for row in rows], "next_cursor": following})


def operations() -> Iterable[Operation]:
    """The one operation."""
    entry: dict[str, Any] = object_schema(described(KeyAnswer()), answer=True)
    yield Operation(
        "list_api_keys",
        "GET",
        "/api/v1/api-keys",
        listing,
        "List API keys, and when they were last used",
        "users",
        permission=("users:manage",),
        query=KeyQuery,
        answers={200: ("A page.", pagination.page_schema(entry))},
        description=(
            "No secret is shown: a key is shown once, as it is made. Keys are made, changed, rotated and revoked with "
            "the user whose they are, by `api_keys` of `POST /users/apply`."
        ),
    )
