"""Every operation on tickets that takes a body, with everything that no body may be: a 4xx that names each place, and
nothing is stored. The operations are read off the server, so that a new one is tried by itself."""

from __future__ import annotations

import re
from typing import Any

import pytest

from bad_bodies import UNREADABLE, WRONG_TYPES, bad_values
from conftest import Api
from deskplane.app import make_operations, make_registry
from deskplane.kernel.compound import described
from deskplane.kernel.operation import Operation
from deskplane.kernel.permissions import PERMISSIONS
from dumps import dump

JSON = {"Content-Type": "application/json"}
TAGS = {"tickets", "views", "public"}
OURS = [found for found in make_operations(make_registry()) if found.tag in TAGS]
TAKING = [found for found in OURS if found.body is not None]
LISTS = [found for found in OURS if found.query is not None and "cursor" in described(found.query())]
SEES_ALL = ("tickets:view_all", "customers:manage", "configuration:plan")
A, B = "TKT-000001", "TKT-000002"
FOREIGN = "TKT-000003"

VALID: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "create_ticket": ({"title": "x"}, {"title": "y"}),
    "apply_ticket": ({"title": "x"}, {"title": "y"}),
    "update_ticket": ({"priority": "high"}, {"priority": "low"}),
    "change_tickets": (
        {"tickets": [A], "action": "change", "priority": "high"},
        {"tickets": [A], "action": "change", "priority": "low"},
    ),
    "create_ticket_message": ({"body": "x"}, {"body": "y"}),
    "add_ticket_reference": (
        {"type": "url", "title": "x", "url": "https://x.example"},
        {"type": "url", "title": "x", "url": "https://y.example"},
    ),
    "merge_ticket": ({"into": B}, {"into": FOREIGN}),
    "split_ticket": ({"title": "x", "messages": [1]}, {"title": "y", "messages": [1]}),
    "create_view": ({"name": "x"}, {"name": "y"}),
    "update_view": ({"name": "x"}, {"name": "y"}),
    "create_public_ticket": ({"title": "x", "customer": "ACME"}, {"title": "y", "customer": "ACME"}),
    "update_public_ticket": ({"priority": "high"}, {"priority": "low"}),
}
"""Of each operation, two bodies that it takes."""


@pytest.fixture
def there(api: Api) -> dict[str, str]:
    """What the parameters in addresses stand for: two tickets of one customer, one of another, a message, a view."""
    for name in ("ACME", "Other"):
        api.apply("customers", name=name, features={"public_api": True})
    api.apply("settings", key="public_api.requests_per_minute", value=100_000)
    for customer in ("ACME", "ACME", "Other"):
        api.call("POST", "/tickets", {"title": "There", "customer": customer}, 201)
    api.call("POST", f"/tickets/{A}/messages", {"body": "Hello"}, 201)
    return {"number": A, "id": api.call("POST", "/views", {"name": "there"}, 201)["id"]}


def address(operation: Operation, there: dict[str, str]) -> str:
    """The address of an operation, of what is there."""
    return re.sub(r"\{(\w+)\}", lambda found: there[found[1]], operation.path)


def _named(operation: Operation) -> Any:
    return pytest.param(operation, id=operation.name)


def test_each_operation_has_bodies_to_begin_with() -> None:
    assert {operation.name for operation in TAKING} == set(VALID), "say in VALID what a new operation takes"


@pytest.mark.parametrize("operation", [_named(found) for found in TAKING])
def test_what_no_body_may_be_is_refused_and_nothing_is_stored(
    api: Api, there: dict[str, str], operation: Operation
) -> None:
    method, path = operation.method, address(operation, there)
    before = dump(api.desk)

    def refused(status: int, why: Any, body: Any = None, **options: Any) -> dict[str, Any]:
        answer = api.request(method, path, body, **options)
        where = f"{why!r}"[:200] + f": {answer.status_code} {answer.get_data(as_text=True)[:400]}"
        assert answer.status_code == status, where
        assert answer.content_type == "application/problem+json", where
        found: dict[str, Any] = answer.get_json()
        assert found["detail"], where
        return found

    valid, _other = VALID[operation.name]
    for name, raw in UNREADABLE.items():
        refused(400, name, data=raw, headers=JSON)
    for kind in WRONG_TYPES:
        refused(415, kind, data=b"{}", headers={"Content-Type": kind})
    refused(413, "too large", data=b'{"x": "' + b"x" * 2**20 + b'"}', headers=JSON)

    assert operation.body is not None
    schema = operation.body()
    fields = {name: part for name, part in described(schema).items() if not part.read_only}
    first: dict[str, Any] = {}
    for name, part in fields.items():
        for value in bad_values(part):
            first.setdefault(name, value)
            found = refused(422, (name, value), {**valid, name: value})
            assert any(re.match(f"#/{name}(/|$)", error["pointer"]) for error in found["errors"]), (name, value, found)
            assert all(error["code"] and error["detail"] for error in found["errors"])
    found = refused(422, "all at once", {**first, "no_such_field": 1, "number": "TKT-1", "id": 1, "__class__": {}})
    named = {error["pointer"].split("/")[1] for error in found["errors"]}
    assert named == {*fields, "no_such_field", "number", "id", "__class__"}
    for name in getattr(schema, "always", ()):
        found = refused(422, "missing", {key: value for key, value in valid.items() if key != name})
        assert f"#/{name}" in {error["pointer"] for error in found["errors"]}
    assert dump(api.desk) == before


@pytest.mark.parametrize("operation", [_named(found) for found in TAKING])
def test_requests_that_no_good_body_saves(api: Api, there: dict[str, str], operation: Operation) -> None:
    """Of something foreign; of something that was changed since; with the key of another request."""
    path, (valid, other) = address(operation, there), VALID[operation.name]
    api.apply("roles", name="works", permissions=[name for name in PERMISSIONS if name not in SEES_ALL])
    mia = api.as_user("mia", roles=["works"], memberships=[{"customer": "Other", "role": "member"}])
    before = dump(api.desk)
    if "{" in operation.path:
        nothing = address(operation, {"number": "TKT-009999", "id": "nothing"})
        foreign, missing = (mia.call(operation.method, where, valid, status=404) for where in (path, nothing))
        assert {**foreign, "request_id": ""} == {**missing, "request_id": ""}
    if operation.etag:
        for stale in ('"0"', '"0-x"', 'W/"1"', '"999"', "nonsense"):
            api.call(operation.method, path, valid, status=412, headers={"If-Match": stale})
    if operation.idempotency:
        for key in ("a b", "x" * 201, "\u00e9", "a\tb"):
            api.call(operation.method, path, valid, status=400, headers={"Idempotency-Key": key})
    assert dump(api.desk) == before
    headers = {"Idempotency-Key": "once", "If-Match": "*"}
    first = api.request(operation.method, path, valid, headers=headers)
    assert first.status_code in (200, 201), first.get_data(as_text=True)
    if operation.idempotency:
        before = dump(api.desk)
        api.call(operation.method, path, other, status=422, headers=headers)
        again = api.request(operation.method, path, valid, headers=headers)
        assert (again.status_code, again.data) == (first.status_code, first.data)
        assert again.headers["Idempotent-Replayed"] == "true"
        assert dump(api.desk) == before


def test_a_forged_cursor_is_refused_by_every_list(api: Api, there: dict[str, str]) -> None:
    asset = api.apply("assets", customer="ACME", name="x")["after"]["id"]
    for name in ("a", "b"):
        api.apply("labels", name=name)
    cursor = api.call("GET", "/labels?limit=1")["next_cursor"]
    for operation in LISTS:
        path = address(operation, {**there, **({"id": asset} if "assets" in operation.path else {})})
        assert api.request("GET", path).status_code == 200
        for forged in ("x", "x.y", "e30.AAAA", ".", "ü", "\x00", cursor, f"{cursor}x", "x" * 3000):
            answer = api.request("GET", path, query_string={"cursor": forged})
            assert answer.status_code in (400, 422), (forged, answer.get_data(as_text=True))
            assert answer.content_type == "application/problem+json"
