"""Permissions taken one by one: each opens what it names, and nothing beside it."""

from __future__ import annotations

import pytest

from conftest import Api
from deskplane.kernel.permissions import PERMISSIONS

MANAGED: dict[str, set[str]] = {
    "departments:manage": {"departments"},
    "customers:manage": {"customers", "contacts", "assets", "contracts", "projects"},
    "templates:manage": {"templates", "email-templates"},
    "labels:manage": {"labels", "ticket-types"},
    "sla:manage": {"sla-policies", "calendars"},
    "webhooks:manage": {"webhooks"},
    "workflows:manage": {"workflows"},
    "users:manage": {"users", "roles", "groups"},
    "settings:manage": {"settings"},
}
"""Permission → the kinds that it lets one write."""


@pytest.mark.feature("F178", "F179")
def test_each_permission_to_manage_opens_its_own_kinds_and_no_others(api: Api) -> None:
    kinds = set().union(*MANAGED.values())
    for permission, own in MANAGED.items():
        api.apply("roles", name=permission, permissions=[permission])
        keeper = api.as_user(f"is-{permission.partition(':')[0]}", roles=[permission])
        # nothing of it is valid, so that whoever is let through changes nothing
        found = {kind: keeper.request("POST", f"/{kind}/apply", {}).status_code for kind in kinds}
        assert found == {kind: 422 if kind in own else 403 for kind in kinds}, permission


@pytest.mark.feature("F172")
def test_no_permission_on_tickets_counts_without_the_access_to_tickets(api: Api) -> None:
    number = api.call("POST", "/tickets", {"title": "x"}, status=201)["number"]
    rights = [name for name in PERMISSIONS if name.startswith("tickets:")]
    api.apply("roles", name="nearly all", permissions=[name for name in rights if name != "tickets:access"])
    mia = api.as_user("mia", roles=["nearly all"])
    requests: list[tuple[str, str, object]] = [
        ("GET", "", None),
        ("POST", "", {"title": "y"}),
        ("POST", "/apply", {"title": "y"}),
        ("GET", f"/{number}", None),
        ("PATCH", f"/{number}", {"title": "y"}),
        ("GET", f"/{number}/messages", None),
        ("DELETE", f"/{number}", None),
    ]
    for method, path, body in requests:
        assert mia.request(method, f"/tickets{path}", body).status_code == 403, (method, path)
    assert api.call("GET", f"/tickets/{number}")["title"] == "x"
    api.apply("roles", name="nearly all", permissions=rights)
    for method, path, body in requests:
        assert mia.request(method, f"/tickets{path}", body).status_code in {200, 201, 204}, (method, path)
