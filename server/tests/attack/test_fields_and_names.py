"""Fields that nobody may write, names that are no columns, and texts that other programs would run.

Shown by taking the defence out: with schemas loaded with `unknown=EXCLUDE` in `kernel/http.py` the first two tests
fail; with `sort` being a free text that is put into the statement, the third; with a field of a secret in the query of
a list, the fourth; with an operation that answers text/csv, the last.
"""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api
from deskplane.app import make_operations, make_registry
from deskplane.kernel.compound import described
from deskplane.kernel.operation import Operation
from dumps import dump
from login_help import Browser

pytestmark = pytest.mark.only_on("sqlite")
OPERATIONS = make_operations(make_registry())
BY_ADDRESS = {(operation.method, operation.path): operation for operation in OPERATIONS}
KINDS = list(make_registry())
NEVER = {
    *("id", "version", "created_at", "updated_at", "deleted_at", "created_by", "revision", "managed_by"),
    *("password_hash", "secret_hash", "is_admin", "admin", "permissions_", "__class__", "user_id", "customer_id"),
}
"""Names that are nobody's to write, in whatever body."""
LISTS = [operation for operation in OPERATIONS if operation.query and "sort" in described(operation.query())]
INJECTED = (
    *("id; DROP TABLE users", "id--", "id DESC, (SELECT 1)", "name'", 'name"', "1", "-", "--name", "name,name"),
    *("(CASE WHEN 1=1 THEN name ELSE id END)", "password_hash", "-password_hash", "secret_hash", "users.password_hash"),
    *("name\x00", "name%00", "NAME)", "rowid", "ctid", "../name", "name asc", "\u202ename"),
)


@pytest.mark.parametrize("operation", [pytest.param(one, id=one.name) for one in OPERATIONS if one.body])
def test_no_body_sets_what_is_the_servers_own(api: Api, mia: str, operation: Operation) -> None:
    """Each is refused by its name, whatever else is in the body, and nothing is stored."""
    assert operation.body is not None
    taken = described(operation.body())
    path = operation.path.replace("{", "").replace("}", "")
    before = dump(api.desk)
    unknown = sorted(NEVER - set(taken))
    body = dict.fromkeys(unknown, "x")
    if operation.session:
        browser = Browser(api)
        browser.log_in()
        before = dump(api.desk)
        answer = browser.send(operation.method, path.removeprefix("/api/v1"), body)
    else:
        answer = api.request(operation.method, path, body)
    assert answer.status_code == 422, answer.get_data(as_text=True)
    named = {error["pointer"] for error in answer.get_json()["errors"]}
    assert {f"#/{name}" for name in unknown} <= named
    assert dump(api.desk) == before


def test_what_an_answer_shows_and_no_body_takes_is_refused(api: Api) -> None:
    """What somebody reads he sends back, with what is read only changed."""
    for kind in KINDS:
        shown = set(described(kind.schema())) if hasattr(kind, "schema") else set()
        for name in sorted(shown - set(kind.written) - {"state", "renamed_from"}):
            answer = api.request("POST", f"/{kind.path}/apply?dry_run=true", {name: "x"})
            assert answer.status_code == 422
            assert f"#/{name}" in {error["pointer"] for error in answer.get_json()["errors"]}, (kind.name, name)
    number = api.call("POST", "/tickets", {"title": "x"}, status=201)["number"]
    ticket = api.call("GET", f"/tickets/{number}")
    taken = set(described(_body("PATCH", "/api/v1/tickets/{number}")))
    before = dump(api.desk)
    for name in sorted(set(ticket) - taken):
        answer = api.request("PATCH", f"/tickets/{number}", {name: ticket[name]})
        assert answer.status_code == 422, name
        assert [error["pointer"] for error in answer.get_json()["errors"]] == [f"#/{name}"]
    assert dump(api.desk) == before


def _body(method: str, path: str) -> Any:
    body = BY_ADDRESS[method, path].body
    assert body is not None
    return body()


def test_names_to_sort_by_are_no_sql(api: Api) -> None:
    assert len(LISTS) > 10
    before = dump(api.desk)
    for operation in LISTS:
        if "{" in operation.path:
            continue
        for name in INJECTED:
            answer = api.request("GET", operation.path, query_string={"sort": name})
            assert answer.status_code == 422, (operation.name, name, answer.get_data(as_text=True))
            assert [error["pointer"] for error in answer.get_json()["errors"]] == ["#/sort"]
    assert dump(api.desk) == before


def test_no_list_is_filtered_or_sorted_by_a_secret(api: Api) -> None:
    """Else somebody would find one out letter by letter."""
    secrets = {name for kind in KINDS for path in kind.secrets for name in (path, path.replace(".", "_"))}
    secrets |= {"password", "password_hash", "secret_hash", "token", "hash", "hidden", "previous_hash"}
    for operation in OPERATIONS:
        if operation.query is None:
            continue
        parts = described(operation.query())
        assert not any(part.secret for part in parts.values()), operation.name
        if "cursor" in parts and "{" not in operation.path and not operation.session:
            for name in sorted(secrets - set(parts)):
                answer = api.request("GET", operation.path, query_string={name: "x"})
                assert answer.status_code == 422, (operation.name, name)


def test_nothing_is_answered_that_a_spreadsheet_would_run(api: Api) -> None:
    """A text that begins with =, +, - or @ is a formula to who opens a CSV file. No operation answers one; whatever
    does from now on has to quote them, and to be tried here."""
    document = api.call("GET", "/openapi.json")
    types = {
        kind
        for methods in document["paths"].values()
        for operation in methods.values()
        for answer in operation["responses"].values()
        for kind in answer.get("content", {})
    }
    assert types
    assert not [kind for kind in types if "csv" in kind or "excel" in kind or "spreadsheet" in kind]
