"""Every operation against every sort of caller: what the server does is what docs/reference/permissions.md says.

The page is read, and not the server's own declarations, since it is what people are told.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from conftest import Api
from deskplane.app import make_operations, make_registry
from deskplane.kernel.operation import Operation
from deskplane.kernel.permissions import PERMISSIONS
from dumps import dump
from login_help import WORD, Browser

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "permissions.md"
ACCESS = "tickets:access"
LET_THROUGH = {200, 204, 404, 415, 422}
"""What an operation answers that was asked for nothing that there is, once the caller's rights are seen to."""

BESIDES = dict.fromkeys(("retry_mail", "retry_mails"), frozenset({"tickets:comment", "settings:manage"}))
"""What else an operation needs one of, as its description says: to send a mail again is to write it."""


@dataclass(frozen=True)
class Row:
    """What the page says of an operation."""

    operation: Operation
    needs: frozenset[str]
    dry: frozenset[str]
    public: bool
    session: bool

    def lets(self, permissions: Iterable[str], dry: bool) -> bool:
        """Whether a key with these permissions is let through: no permission on tickets counts without the access."""
        held = frozenset(permissions)
        if ACCESS not in held:
            held = frozenset(one for one in held if not one.startswith("tickets:"))
        besides = BESIDES.get(self.operation.name)
        if self.session or (besides is not None and not besides & held):
            return False
        return self.public or not self.needs or bool(held & (self.needs | self.dry if dry else self.needs))


def published() -> list[Row]:
    """The table of the page."""
    by_address = {f"{operation.method} {operation.path}": operation for operation in make_operations(make_registry())}
    found = []
    for line in PAGE.read_text(encoding="utf-8").split("## What each operation needs")[1].splitlines():
        if not line.startswith("| `"):
            continue
        address, needs, dry, _summary = (cell.strip() for cell in line.strip("|").split(" | ", 3))
        permissions = [frozenset(re.findall(r"`([^`]+)`", cell)) for cell in (needs, dry)]
        operation = by_address.pop(address.strip("`"))
        found.append(Row(operation, *permissions, public=needs == "no key", session=needs == "a session"))
    assert not by_address, f"the page says nothing of {sorted(by_address)}"
    return found


ROWS = published()
pytestmark = pytest.mark.only_on("sqlite")


def asked(row: Row, dry: bool = False) -> tuple[str, str, Any]:
    """A request of which nothing is valid, so that whoever is let through changes nothing."""
    path = re.sub(r"\{\w+\}", "nothing", row.operation.path) + ("?dry_run=true" if dry else "")
    return row.operation.method, path, {} if row.operation.body else None


def wrong(api: Api, rows: Iterable[Row], permissions: Iterable[str], *, dry: bool = False) -> Iterator[str]:
    """Where the server does not do what the page says, of a caller with these permissions."""
    held = sorted(permissions)
    for row in rows:
        answer = api.request(*asked(row, dry))
        let = answer.status_code in LET_THROUGH
        if let is not row.lets(held, dry) or (not let and answer.status_code != 403):
            yield f"{row.operation.name}{', dry' if dry else ''}: {answer.status_code} with {', '.join(held)}"


def keys_of(api: Api, scopes: dict[str, Iterable[str]]) -> dict[str, Api]:
    """Keys of somebody who may do everything, each limited to some of that."""
    wanted = [{"name": name, "scopes": sorted(each)} for name, each in scopes.items()]
    found: dict[str, Api] = {}
    for first in range(0, len(wanted), 20):
        made = api.apply("users", username="everything", roles=["admin"], api_keys=wanted[first : first + 20])
        found |= {each["name"]: Api(api.client, each["key"], api.desk) for each in made["api_keys"]}
    return found


def test_the_page_knows_every_permission_and_no_other() -> None:
    assert set().union(*(row.needs | row.dry for row in ROWS)) <= set(PERMISSIONS)
    assert sum(row.public for row in ROWS) < sum(not row.public for row in ROWS)
    assert len(ROWS) > 150
    for row in ROWS:
        assert all(f"`{one}`" in row.operation.description for one in BESIDES.get(row.operation.name, ()))


def test_no_operation_is_open_to_a_key_that_does_not_work(api: Api) -> None:
    revoked, expired, off, gone = (api.as_user(name, roles=["admin"]) for name in ("revoked", "expired", "off", "gone"))
    api.apply("users", username="revoked", api_keys=[{"name": "test", "state": "absent"}])
    api.apply("users", username="expired", api_keys=[{"name": "test", "expires_at": "2026-03-02T09:00:00Z"}])
    api.apply("users", username="off", enabled=False)
    api.apply("users", username="gone", state="absent")
    callers = {"none": Api(api.client, None, api.desk), "made up": Api(api.client, f"{api.key}x", api.desk)}
    callers |= {"revoked": revoked, "expired": expired, "off": off, "gone": gone}
    before = dump(api.desk)
    found = []
    for row in ROWS:
        for name, caller in callers.items():
            status = caller.request(*asked(row)).status_code
            if status not in (LET_THROUGH if row.public else {401}):
                found.append(f"{row.operation.name}: {status} without a key that works ({name})")
    assert found == []
    assert dump(api.desk) == before


@pytest.mark.feature("F017", "F178", "F179", "F186")
def test_every_operation_needs_what_the_page_says_and_nothing_else_does(api: Api) -> None:
    """Everything but what is needed is not enough; each of what is needed is."""
    sets: dict[frozenset[str], list[Row]] = {}
    for row in ROWS:
        sets.setdefault(row.needs, []).append(row)
    tried = []
    for number, (needs, rows) in enumerate(sets.items()):
        tried.append((f"without {number}", set(PERMISSIONS) - needs, rows))
        for one in needs:
            for row in rows:
                besides = BESIDES.get(row.operation.name, frozenset())
                scopes = {one, ACCESS, *besides} if one.startswith("tickets:") else {one}
                tried.append((f"{one} {number} {len(scopes)}", scopes, [row]))
    callers = keys_of(api, {name: scopes for name, scopes, _rows in tried})
    before = dump(api.desk)
    assert [what for name, scopes, rows in tried for what in wrong(callers[name], rows, scopes)] == []
    assert dump(api.desk) == before


def test_who_may_only_plan_may_have_run_dry_what_the_page_says(api: Api) -> None:
    planner = keys_of(api, {"planner": ["configuration:plan"]})["planner"]
    rows = [row for row in ROWS if row.dry]
    assert len(rows) > 15
    assert list(wrong(planner, rows, ["configuration:plan"], dry=True)) == []
    assert list(wrong(planner, rows, ["configuration:plan"])) == []


def test_what_needs_a_session_refuses_every_key_and_what_needs_a_permission_every_session_without(
    api: Api, mia: str
) -> None:
    found = [
        f"{row.operation.name}: {answer.status_code} {answer.get_json()}"
        for row in ROWS
        if row.session
        and (answer := api.request(*asked(row))).get_json().get("type") != "urn:deskplane:problem:session_needed"
    ]
    api.apply("users", username="mia", roles=[])
    browser = Browser(api)
    for number, row in enumerate(sorted(ROWS, key=lambda row: row.session)):
        method, path, body = asked(row)
        if path.startswith("/api/v1/") and not row.public:
            if row.session or not number:
                browser.log_in()
            status = browser.send(method, path.removeprefix("/api/v1"), body).status_code
            if (status == 403) is not bool(row.needs):
                found.append(f"{row.operation.name}: {status} with a session and no permission")
    assert found == []
    assert browser.send("POST", "/session", {"username": "mia", "password": WORD}).status_code == 201


@pytest.mark.soak
@pytest.mark.parametrize("by", ["a scope", "a role"])
def test_every_operation_with_every_single_permission(api: Api, by: str) -> None:
    """The whole matrix: each operation, also run dry, with each permission alone and with the access to tickets."""
    found: list[str] = []
    tried = 0
    for number, permission in enumerate(PERMISSIONS):
        for scopes in {frozenset({permission}), frozenset({permission, ACCESS})}:
            if by == "a scope":
                caller = keys_of(api, {f"{number} {len(scopes)}": scopes})[f"{number} {len(scopes)}"]
            else:
                api.apply("roles", name="one", permissions=sorted(scopes))
                caller = api.as_user(f"user-{number}-{len(scopes)}", roles=["one"])
            before = dump(api.desk)
            for dry in (False, True):
                rows = [row for row in ROWS if row.dry or not dry]
                found += wrong(caller, rows, scopes, dry=dry)
                tried += len(rows)
            assert dump(api.desk) == before
    print(f"{tried} requests, {len(found)} not as published")
    assert found == []
