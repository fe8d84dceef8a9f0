"""Saved views: filters and an order with a name, kept by one person for himself, a department or everyone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

from marshmallow import Schema
from sqlalchemy import ColumnElement, Table, and_, or_, select

from deskplane.desks.models import Department
from deskplane.kernel import pagination
from deskplane.kernel.clock import rfc3339
from deskplane.kernel.compound import Group, described, object_schema
from deskplane.kernel.etag import etag, not_modified, require_match
from deskplane.kernel.fields import Choice, Moment, Text
from deskplane.kernel.ids import new_id
from deskplane.kernel.operation import Call, Operation, Reply
from deskplane.kernel.problem import Problem, conflict, invalid, invalid_field, not_found
from deskplane.kernel.work import Work
from deskplane.people.models import User
from deskplane.tickets import references
from deskplane.tickets.models import TicketView
from deskplane.tickets.schemas import SORTS, Page, Reference, TicketFilters

BASE = "/api/v1/views"
NO_VIEW = {404: "There is no such view, or it is not yours to see."}
"""What operations that take a view answer besides what all do."""
MOST = 200
"""Views that one person may keep."""
SHARED = ("private", "department", "everyone")


class Filters(Group):
    """Filters of the list, those that are set."""

    def output(self, value: Any) -> Any:
        return {name: part.output(value[name]) for name, part in self.parts.items() if value.get(name) is not None}


class ViewFields(Schema):
    """What a caller may set on a view."""

    name = Text("What it is called; unique among its owner's.", longest=120, shortest=1, required=True)
    filters = Filters("Filters, as those of the list of tickets.", TicketFilters)
    sort = Choice("Order, as that of the list of tickets.", SORTS)
    shared = Choice("Who sees it besides its owner.", SHARED, default="private")
    department = Reference("Whose members see it, where it is shared with a department.", "department")

    always: tuple[str, ...] = ("name",)


class ViewPatch(ViewFields):
    """A change."""

    always = ()


class ViewAnswer(ViewFields):
    """A view, as it is answered."""

    id = Text("Id of the view.", read_only=True)
    owner = Text("Username of its owner.", read_only=True)
    created_at = Moment("When it was made.", read_only=True)
    updated_at = Moment("When it was last changed.", read_only=True)


_READER = TicketFilters()
_PARTS = described(_READER)
_SELECT: Any = (
    select(TicketView, User.username, Department.name)
    .join(User, User.id == TicketView.owner_id)
    .outerjoin(Department, Department.id == TicketView.department_id)
)


def _visible(work: Work) -> ColumnElement[bool]:
    actor = work.actor
    departments: ColumnElement[bool] = TicketView.department_id.in_(sorted(actor.departments))
    if actor.may("tickets:view_all_departments"):
        departments = TicketView.department_id.is_not(None)
    return or_(
        TicketView.owner_id == actor.user_id,
        TicketView.shared == "everyone",
        and_(TicketView.shared == "department", departments),
    )


def _find(work: Work, view_id: str) -> Any:
    row = work.session.execute(_SELECT.where(TicketView.id == view_id, _visible(work))).first()
    if row is None:
        raise not_found()
    return row


def _own(work: Work, view_id: str) -> TicketView:
    """The view, if it is the caller's own. Raises 404, and 403 for one that he only sees."""
    found: TicketView = _find(work, view_id)[0]
    if found.owner_id != work.actor.user_id:
        raise Problem(403, "not_owner", "a view is changed by its owner only; save one of your own")
    return found


def _loaded(filters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in _READER.load(filters).items() if value is not None}


def applied(work: Work, query: Mapping[str, Any]) -> dict[str, Any]:
    """The list's parameters, with what the view named by them adds to those that are not given. Raises 404."""
    found = dict(query)
    if query.get("view") is None:
        return found
    view: TicketView = _find(work, query["view"])[0]
    saved = {**_loaded(view.filters), "sort": view.sort}
    return found | {name: value for name, value in saved.items() if name in found and found[name] is None}


def _shown(row: Any) -> dict[str, Any]:
    view, owner, department = row
    return {
        "id": view.id,
        "name": view.name,
        "filters": {name: _PARTS[name].output(value) for name, value in _loaded(view.filters).items()},
        "sort": view.sort,
        "shared": view.shared,
        "department": department,
        "owner": owner,
        "created_at": view.created_at,
        "updated_at": view.updated_at,
    }


def _answer(work: Work, view: TicketView) -> tuple[dict[str, Any], str]:
    work.session.flush()
    found = _shown(_find(work, view.id))
    return found, etag(view.version, found)


def _fill(work: Work, view: TicketView, given: Mapping[str, Any]) -> None:
    """Takes the given fields over; an explicit null is the default. Raises 403, 409, 422."""
    if "name" in given:
        view.name = given["name"]
    if "filters" in given:
        view.filters = {
            name: rfc3339(value) if isinstance(value, datetime) else value
            for name, value in (given["filters"] or {}).items()
            if value is not None
        }
    if "sort" in given:
        view.sort = given["sort"]
    if "shared" in given:
        view.shared = given["shared"] or "private"
    if "department" in given:
        name = given["department"]
        department = references.find(work, "department", name=name) if name is not None else None
        mine = department is not None and (
            department.id in work.actor.departments or work.actor.may("tickets:view_all_departments")
        )
        if name is not None and not mine:
            raise invalid([references.unknown(work, "department", name)])
        view.department_id = department.id if department else None
    if view.shared != "department" and view.department_id is not None:
        raise invalid_field("department", "not_allowed", "goes with shared: department only")
    if view.shared == "department" and view.department_id is None:
        raise invalid_field("department", "required", "says which department it is shared with")
    if view.shared != "private" and {"shared", "department"} & set(given):
        work.actor.need("tickets:edit")
    twin = select(TicketView.id).where(
        TicketView.owner_id == view.owner_id, TicketView.name == view.name, TicketView.id != view.id
    )
    if work.session.execute(twin).first() is not None:
        raise conflict("exists", f"you have a view named {view.name!r} already")
    if view.sort == "relevance" and "q" not in view.filters:
        raise invalid_field("sort", "not_allowed", "relevance orders the matches of q, which is not among the filters")


def create(call: Call) -> Reply:
    """POST /views"""
    owner = call.actor.user_id
    own = call.session.execute(select(TicketView.id).where(TicketView.owner_id == owner).limit(MOST)).all()
    if len(own) >= MOST:
        raise conflict("too_many", f"you have {MOST} views already; delete one first")
    now = call.clock.now()
    view = TicketView(
        id=new_id(), version=1, owner_id=owner, filters={}, shared="private", created_at=now, updated_at=now
    )
    _fill(call, view, call.body)
    call.session.add(view)
    found, tag = _answer(call, view)
    return Reply(found, 201, {"ETag": tag, "Location": f"{BASE}/{view.id}"})


def listing(call: Call) -> Reply:
    """GET /views"""
    columns = tuple((cast(Table, TicketView.__table__).c[name], False) for name in ("name", "id"))
    order = pagination.Order(columns, lambda row: [row[0].name, row[0].id])
    limit, vault, statement = call.query["limit"], call.vault, _SELECT.where(_visible(call))
    page = pagination.page(statement, order, scope="views", cursor=call.query["cursor"], limit=limit, vault=vault)
    rows, following = pagination.cut(call.session.execute(page).all(), order, scope="views", limit=limit, vault=vault)
    return Reply({"items": [_shown(row) for row in rows], "next_cursor": following})


def get(call: Call) -> Reply:
    """GET /views/{id}"""
    row = _find(call, call.path["id"])
    found = _shown(row)
    tag = etag(row[0].version, found)
    if not_modified(call.if_none_match, tag):
        return Reply(None, 304, {"ETag": tag})
    return Reply(found, 200, {"ETag": tag})


def patch(call: Call) -> Reply:
    """PATCH /views/{id}"""
    view = _own(call, call.path["id"])
    require_match(call.if_match, view.version)
    before = {name: getattr(view, name) for name in _COLUMNS}
    _fill(call, view, call.body)
    if before != {name: getattr(view, name) for name in _COLUMNS}:
        view.version += 1
        view.updated_at = call.clock.now()
    found, tag = _answer(call, view)
    return Reply(found, 200, {"ETag": tag})


_COLUMNS = ("name", "filters", "sort", "shared", "department_id")


def delete(call: Call) -> Reply:
    """DELETE /views/{id}"""
    view = _own(call, call.path["id"])
    require_match(call.if_match, view.version)
    call.session.delete(view)
    return Reply(None, 204)


def operations() -> Iterable[Operation]:
    """Every operation on views."""
    thing = object_schema(described(ViewAnswer()), answer=True)
    page = pagination.page_schema(thing)
    access = ("tickets:access",)
    one = f"{BASE}/{{id}}"
    yield Operation(
        "list_views",
        "GET",
        BASE,
        listing,
        "List saved views",
        "views",
        permission=access,
        query=Page,
        answers={200: ("A page.", page)},
        description="Those of the caller, and those that others share with him. `view=<id>` in the list of tickets "
        "applies one.",
    )
    yield Operation(
        "create_view",
        "POST",
        BASE,
        create,
        "Save a view",
        "views",
        permission=access,
        body=ViewFields,
        write=True,
        idempotency=True,
        answers={201: ("The view.", thing)},
        description="To share it, the caller needs `tickets:edit`.",
    )
    yield Operation(
        "get_view",
        "GET",
        one,
        get,
        "Read a saved view",
        "views",
        permission=access,
        etag=True,
        answers={200: ("The view.", thing), 304: ("It is as it was.", None)},
    )
    yield Operation(
        "update_view",
        "PATCH",
        one,
        patch,
        "Change a saved view",
        "views",
        permission=access,
        body=ViewPatch,
        partial=True,
        write=True,
        etag=True,
        answers={200: ("The view.", thing)},
        description="Its owner only.",
    )
    yield Operation(
        "delete_view",
        "DELETE",
        one,
        delete,
        "Delete a saved view",
        "views",
        permission=access,
        write=True,
        etag=True,
        answers={204: ("It is gone.", None)},
        description="Its owner only.",
    )
