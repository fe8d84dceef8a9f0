"""What one document could try that single requests cannot: rules look at names, and a document changes names."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api
from dumps import dump

TAKEN_OVER = {"username": "boss", "password": "taken over!", "update_password": "always"}


def apply(api: Api, configuration: dict[str, Any], status: int = 200, **more: Any) -> Any:
    return api.call("POST", "/configuration/apply", {"configuration": configuration, **more}, status=status)


@pytest.mark.parametrize(
    "document",
    [
        {
            "roles": [{"name": "x", "renamed_from": "power"}],
            "users": [{"username": "keeper", "roles": ["keeper", "x"]}],
        },
        {
            "roles": [{"name": "weak", "renamed_from": "power"}, {"name": "power", "renamed_from": "weak"}],
            "users": [{"username": "keeper", "roles": ["keeper", "weak"]}],
        },
        {"roles": [{"name": "x", "renamed_from": "power"}], "users": [TAKEN_OVER]},
        {"roles": [{"name": "x", "renamed_from": "power"}], "users": [{"username": "boss", "state": "absent"}]},
    ],
    ids=["a new name", "a swap", "a password", "a deletion"],
)
def test_no_one_gets_rights_by_renaming_a_role_in_the_same_document(api: Api, document: dict[str, Any]) -> None:
    apply(
        api,
        {
            "roles": [
                {"name": "keeper", "permissions": ["users:manage"]},
                {"name": "power", "permissions": ["settings:manage"]},
                {"name": "weak"},
            ],
            "users": [{"username": "boss", "roles": ["power"], "password": "long enough"}],
        },
    )
    keeper = api.as_user("keeper", roles=["keeper"])
    before = dump(api.desk)
    assert "beyond_yours" in {entry["code"] for entry in apply(keeper, document, status=422)["errors"]}
    assert dump(api.desk) == before
    apply(keeper, {"roles": [{"name": "feeble", "renamed_from": "weak"}]})


def test_a_refusal_names_what_is_missing_and_whom_it_is_about(api: Api) -> None:
    rights = {"planner": "configuration:plan", "keeper": "users:manage"}
    apply(api, {"roles": [{"name": name, "permissions": [permission]} for name, permission in rights.items()]})
    planner, keeper = (api.as_user(name, roles=[name]) for name in rights)
    detail = apply(planner, {"labels": [{"name": "x"}]}, status=403)["detail"]
    assert detail.startswith("this needs one of the permissions ")
    assert "labels:manage" in detail
    detail = apply(keeper, {"users": [{"username": "root", "state": "absent"}]}, status=403)["detail"]
    assert detail == "the user root has the role admin, which goes beyond your own rights"


def test_who_is_brought_back_has_the_roles_of_his_groups_again(api: Api) -> None:
    roles = {"keeper": "users:manage", "power": "settings:manage"}
    apply(
        api,
        {
            "roles": [{"name": name, "permissions": [permission]} for name, permission in roles.items()],
            "users": [{"username": "boss"}],
            "groups": [{"name": "bosses", "roles": ["power"], "members": ["boss"]}],
        },
    )
    apply(api, {"users": [{"username": "boss", "state": "absent"}]})
    keeper = api.as_user("keeper", roles=["keeper"])
    refused = apply(keeper, {"users": [{"username": "boss", "password": "taken over!"}]}, status=422)
    assert [error["code"] for error in refused["errors"]] == ["beyond_yours"]
    keys = [{"name": "mine", "regenerate": True}]
    keeper.apply("users", 422, username="boss", api_keys=keys)
    assert apply(api, {"users": [{"username": "boss"}]})["summary"]["create"] == 1
