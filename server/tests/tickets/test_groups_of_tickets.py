"""A ticket's group: whose members work on it, beside or instead of an assignee."""

from __future__ import annotations

import pytest
from test_ticket_history import assert_history_is_true
from ticket_help import changed, history, listed, opened, person, places, read

from conftest import Api

pytestmark = pytest.mark.feature("F039")


def test_a_group_stands_beside_or_instead_of_an_assignee(api: Api) -> None:
    api.apply("groups", name="Second level")
    number = opened(api, group="Second level")["number"]
    assert (read(api, number)["group"], read(api, number)["assignee"]) == ("Second level", None)
    assert changed(api, number, assignee="root")["group"] == "Second level"
    assert changed(api, number, group=None)["assignee"] == "root"
    assert places(changed(api, number, 422, group="Secnd level")) == {"group": "unknown_reference"}
    assert_history_is_true(api, number)


def test_a_group_that_is_not_there_yet_is_unresolved_in_a_dry_run(api: Api) -> None:
    path = "/tickets/apply?dry_run=true&allow_unresolved=true"
    answer = api.call("POST", path, {"title": "x", "group": "new"})
    assert answer["unresolved"] == [{"field": "group", "kind": "group", "name": "new"}]
    assert answer["after"]["group"] == "new"


def test_a_group_lifts_no_wall(api: Api) -> None:
    api.apply("customers", name="ACME")
    api.apply("departments", name="Theirs")
    mia = person(api, "mia", "tickets:edit", memberships=[{"customer": "ACME", "role": "member"}])
    api.apply("groups", name="g", members=["mia"])
    opened(api, "of another department", customer="ACME", department="Theirs", group="g")
    opened(api, "of nobody", group="g")
    opened(api, "theirs", customer="ACME", group="g")
    assert listed(mia, "?group=g") == ["theirs"]


def test_a_groups_members_see_its_tickets_where_its_memberships_let_them(api: Api) -> None:
    for name in ("ACME", "Other"):
        api.apply("customers", name=name)
    mia = person(api, "mia", "tickets:edit")
    tom = person(api, "tom", "tickets:edit")
    api.apply("departments", name="Support", members=["mia"])
    api.apply("groups", name="g", members=["mia", "tom"], memberships=[{"customer": "ACME", "role": "member"}])
    opened(api, "ours", customer="ACME", department="Support", group="g")
    opened(api, "of no department", customer="ACME", group="g")
    opened(api, "foreign", customer="Other", group="g")
    assert sorted(listed(mia, "?group=g")) == ["of no department", "ours"]
    assert listed(tom, "?group=g") == ["of no department"]
    api.apply("groups", name="g", memberships=[{"customer": "ACME", "role": "viewer"}])
    assert listed(mia, "?group=g") == []


def test_a_group_that_is_renamed_or_deleted(api: Api) -> None:
    api.apply("groups", name="g")
    number = opened(api, group="g")["number"]
    api.apply("groups", name="h", renamed_from="g")
    assert read(api, number)["group"] == "h"
    api.apply("groups", name="h", state="absent")
    assert read(api, number)["group"] is None
    last = history(api, number)[-1]
    assert (last["field"], last["old"], last["new"], last["cause"]) == ("group", "h", None, "automation")


def test_the_list_is_filtered_by_group(api: Api) -> None:
    api.apply("groups", name="g")
    opened(api, "with", group="g")
    opened(api, "without")
    assert (listed(api, "?group=g"), listed(api, "?group=none")) == (["with"], ["without"])


def test_history_of_the_group_is_internal(api: Api) -> None:
    api.apply("groups", name="secret-group")
    rita = api.as_user("rita", roles=["requester"])
    number = opened(rita, "mine")["number"]
    changed(api, number, group="secret-group")
    assert "group" not in [row["field"] for row in rita.call("GET", f"/tickets/{number}/history")["items"]]
