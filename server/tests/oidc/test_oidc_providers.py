"""Who may configure identity providers, and how."""

from __future__ import annotations

import pytest

from conftest import Api

GOOD = {"name": "corp", "issuer": "https://id.example.org/realms/acme", "client_id": "desk"}


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize(
    "issuer",
    ["http://id.example.org", "https://id.example.org?x=1", "https://id.example.org#x", "ftp://id.example.org", "id"],
)
def test_an_issuer_is_an_address_that_nobody_listens_in_on(api: Api, issuer: str) -> None:
    answer = api.apply("oidc-providers", status=422, **{**GOOD, "issuer": issuer})
    assert [error["pointer"] for error in answer["errors"]] == ["#/issuer"]
    for own in ("http://localhost:3000", "http://127.0.0.1:3000", "http://[::1]:3000/x", "https://id.example.org"):
        api.apply("oidc-providers", **{**GOOD, "issuer": own})


@pytest.mark.only_on("sqlite")
@pytest.mark.parametrize("name", ["Corp", "corp/x", "-corp", "corp-", "..", "a" * 31, ""])
def test_a_name_can_stand_in_an_address(api: Api, name: str) -> None:
    answer = api.apply("oidc-providers", status=422, **{**GOOD, "name": name})
    assert [error["pointer"] for error in answer["errors"]] == ["#/name"]


def test_the_secret_is_sealed_and_shown_to_nobody(api: Api) -> None:
    made = api.apply("oidc-providers", **GOOD, client_secret="of the desk alone")
    assert made["after"]["client_secret"] == "(secret)"
    assert api.apply("oidc-providers", **GOOD, client_secret="of the desk alone")["changed"] is False
    assert "of the desk alone" not in str(api.call("GET", "/oidc-providers"))
    assert "of the desk alone" not in str(api.call("GET", "/audit?limit=50"))


def test_several_roles_of_a_group_are_one_set(api: Api) -> None:
    one, two = {"group": "desk", "role": "viewer"}, {"group": "desk", "role": "agent"}
    api.apply("oidc-providers", **GOOD, group_roles=[one, two])
    assert api.apply("oidc-providers", **GOOD, group_roles=[two, one])["changed"] is False
    answer = api.apply("oidc-providers", status=422, **GOOD, group_roles=[one, one])
    assert answer["errors"][0]["code"] == "repeated"


def test_nobody_lets_in_whom_he_could_not_be_himself(api: Api) -> None:
    """With a provider of one's own one could be whoever it maps to."""
    api.apply("roles", name="keeper", permissions=["users:manage", "tickets:access"])
    keeper = api.as_user("keeper", roles=["keeper"])
    admins = [{"group": "x", "role": "admin"}]
    viewers = [{"group": "x", "role": "viewer"}]
    refused = keeper.apply("oidc-providers", status=422, **GOOD, group_roles=admins)
    assert [error["pointer"] for error in refused["errors"]] == ["#/group_roles"]
    refused = keeper.apply("oidc-providers", status=422, **GOOD, link_by_email=True)
    assert [error["pointer"] for error in refused["errors"]] == ["#/link_by_email"]
    keeper.apply("oidc-providers", **GOOD, group_roles=viewers)
    for beyond in ({"group_roles": admins}, {"link_by_email": True}):
        api.apply("oidc-providers", **GOOD, **beyond)
        keeper.apply("oidc-providers", **GOOD)
        keeper.apply("oidc-providers", status=422, **{**GOOD, "issuer": "https://evil.example"})
        keeper.apply("oidc-providers", status=422, **GOOD, group_roles=viewers, link_by_email=False)
        api.apply("oidc-providers", **GOOD, group_roles=[], link_by_email=False)


def test_a_role_that_a_provider_gives_is_not_deleted(api: Api) -> None:
    api.apply("roles", name="second level", permissions=["tickets:access"])
    api.apply("oidc-providers", **GOOD, group_roles=[{"group": "x", "role": "second level"}])
    refused = api.apply("roles", status=409, name="second level", state="absent")
    assert refused["dependants"] == ["oidc_provider corp"]
    api.apply("roles", name="third level", renamed_from="second level")
    (found,) = api.call("GET", "/oidc-providers")["items"]
    assert found["group_roles"] == [{"group": "x", "role": "third level"}]
    api.apply("oidc-providers", name="corp", state="absent")
    api.apply("roles", name="third level", state="absent")
