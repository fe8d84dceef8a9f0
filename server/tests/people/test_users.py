"""Accounts: passwords, roles, keys, and who may change whom."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
from sqlalchemy import select, text

from conftest import Api, TurnedClock
from deskplane.kernel.permissions import PERMISSIONS
from deskplane.people import keys
from deskplane.people.models import ApiKey, User
from deskplane.people.service import password_matches
from dumps import dump, text_of

SECRET = "s" * 20 + "-" + "S" * 25


def _password(api: Api, username: str) -> str | None:
    with api.desk.database.transaction(write=False) as session:
        return session.execute(select(User.password).where(User.username == username)).scalar_one()


def test_a_password_is_set_on_creation_only(api: Api) -> None:
    api.apply("users", username="mia", password="first password")
    again = api.apply("users", username="mia", password="another password")
    assert again["action"] == "none"
    assert password_matches("first password", _password(api, "mia"))


def test_update_password_always_sets_it_where_it_differs_and_only_there(api: Api) -> None:
    made = api.apply("users", username="mia", password="first password")
    assert made["after"]["password_changed_at"] == "2026-03-02T09:00:00Z"
    same = api.apply("users", username="mia", password="first password", update_password="always")
    other = api.apply("users", username="mia", password="another password", update_password="always")
    assert (same["action"], other["action"]) == ("none", "update")
    assert password_matches("another password", _password(api, "mia"))


def test_a_rename_does_not_set_the_password_anew(api: Api) -> None:
    api.apply("users", username="mia", password="first password")
    api.apply("users", username="maria", renamed_from="mia", password="another password")
    assert password_matches("first password", _password(api, "maria"))


def test_a_short_password_is_refused_only_where_it_would_be_set(api: Api) -> None:
    api.apply("users", username="mia", password="eight ch")
    api.apply("settings", key="password.min_length", value=12)
    assert api.apply("users", username="mia", password="eight ch")["action"] == "none"
    refused = api.apply("users", status=422, username="ned", password="eight ch")
    assert [entry["code"] for entry in refused["errors"]] == ["too_short"]


def test_what_is_shown_for_a_password_never_becomes_one(api: Api) -> None:
    made = api.apply("users", username="mia", password="first password")
    shown = api.call("GET", f"/users/{made['after']['id']}")
    assert shown["password"] == "(secret)"
    api.call("PATCH", f"/users/{made['after']['id']}", {"password": shown["password"], "first_name": "Mia"})
    assert password_matches("first password", _password(api, "mia"))


def test_a_dry_run_of_a_password_gives_no_time(api: Api) -> None:
    planned = api.apply("users", dry_run=True, username="mia", password="first password")
    assert planned["after"]["password_changed_at"] is None


# --- who may change whom


@pytest.fixture
def clerk(api: Api) -> Api:
    """Someone who manages users, and may nothing else."""
    api.apply("roles", name="clerk", permissions=["users:manage"])
    return api.as_user("clerk", roles=["clerk"])


def test_no_one_gives_a_role_beyond_his_own_rights(api: Api, clerk: Api) -> None:
    before = dump(api.desk)
    for role in ("admin", "viewer"):
        refused = clerk.apply("users", status=422, username="mia", roles=[role])
        assert [entry["code"] for entry in refused["errors"]] == ["beyond_yours"]
    refused = clerk.apply("roles", status=422, name="wide", permissions=["tickets:access"])
    assert [entry["code"] for entry in refused["errors"]] == ["beyond_yours"]
    refused = clerk.apply("roles", status=422, name="clerk", permissions=["users:manage", "tickets:access"])
    assert [entry["code"] for entry in refused["errors"]] == ["beyond_yours"]
    assert dump(api.desk) == before
    assert clerk.apply("users", username="mia", roles=["clerk"])["action"] == "create"


@pytest.mark.parametrize(
    "change",
    [
        {"password": "taken over!", "update_password": "always"},
        {"api_keys": [{"name": "mine"}]},
        {"email": "clerk@example.org"},
        {"state": "absent"},
    ],
    ids=["password", "key", "email", "deletion"],
)
@pytest.mark.parametrize("enabled", [True, False], ids=["enabled", "disabled"])
@pytest.mark.parametrize("roles", [["agent"], ["admin"]], ids=["agent", "admin"])
def test_no_one_changes_someone_whose_rights_go_beyond_his_own(
    api: Api, clerk: Api, roles: list[str], enabled: bool, change: dict[str, Any]
) -> None:
    made = api.apply("users", username="target", password="first password", roles=roles, enabled=enabled)
    before = dump(api.desk)
    answer = clerk.request("POST", "/users/apply", {"username": "target", **change})
    assert answer.status_code in {403, 422}, answer.get_data(as_text=True)
    address = f"/users/{made['after']['id']}"
    if "state" in change:
        assert clerk.request("DELETE", address).status_code == 403
    else:
        assert clerk.request("PATCH", address, {"enabled": True, "first_name": "x"}).status_code == 422
    assert dump(api.desk) == before


def test_no_one_gives_a_key_what_he_may_not_do_himself(api: Api, clerk: Api) -> None:
    keys = [{"name": "wide", "scopes": ["tickets:access"]}]
    refused = clerk.apply("users", status=422, username="mia", api_keys=keys)
    assert refused["errors"][0]["pointer"] == "#/api_keys/0/scopes"
    with api.desk.database.transaction(write=False) as session:
        assert session.execute(select(ApiKey).where(ApiKey.name == "wide")).first() is None
    assert clerk.call("GET", "/users?username=mia")["items"] == []


def test_the_last_administrator_stays_one(api: Api) -> None:
    root = api.call("GET", "/users?username=root")["items"][0]
    before = dump(api.desk)
    for change in ({"roles": []}, {"enabled": False}, {"roles": ["agent"]}):
        refused = api.apply("users", status=422, username="root", **change)
        assert [entry["code"] for entry in refused["errors"]] == ["last_administrator"]
        assert api.request("PATCH", f"/users/{root['id']}", change).status_code == 422
    assert api.apply("users", status=409, username="root", state="absent")["type"].endswith("last_administrator")
    assert api.request("DELETE", f"/users/{root['id']}").status_code == 409
    assert dump(api.desk) == before
    api.apply("users", username="second", roles=["admin"])
    assert api.apply("users", username="root", state="absent")["action"] == "delete"


def test_the_role_admin_keeps_every_permission_and_its_name(api: Api) -> None:
    refused = api.apply("roles", status=422, name="admin", permissions=["tickets:access"])
    assert refused["errors"][0]["code"] == "shipped"
    api.apply("roles", status=422, name="boss", renamed_from="admin")
    assert api.apply("roles", status=409, name="agent", state="absent")["type"].endswith(":shipped")
    assert api.apply("roles", name="admin", permissions=list(reversed(PERMISSIONS)))["action"] == "none"


def test_a_role_that_someone_has_is_not_deleted(api: Api) -> None:
    api.apply("roles", name="temps", permissions=["tickets:access"])
    for name in ("ann", "bob"):
        api.apply("users", username=name, roles=["temps"])
    refused = api.apply("roles", status=409, name="temps", state="absent")
    assert refused["dependants"] == ["user ann", "user bob"]
    api.apply("users", username="ann", state="absent")
    api.apply("users", username="bob", roles=[])
    assert api.apply("roles", name="temps", state="absent")["action"] == "delete"


# --- deletion


def test_a_deleted_user_comes_back_with_what_was_known(api: Api) -> None:
    made = api.apply("users", username="mia", email="mia@example.org", roles=["agent"], password="first password")
    api.apply("users", username="mia", state="absent")
    assert api.request("GET", f"/users/{made['after']['id']}").status_code == 404
    assert api.call("GET", "/users?username=mia")["items"] == []
    planned = api.apply("users", dry_run=True, username="mia")
    back = api.apply("users", username="mia")
    assert (planned["action"], planned["changes"]) == (back["action"], back["changes"])
    assert (back["action"], back["after"]["email"], back["after"]["roles"]) == ("create", "mia@example.org", ["agent"])
    assert back["after"]["id"] == made["after"]["id"]
    assert api.apply("users", username="mia")["action"] == "none"


def test_the_name_of_a_deleted_user_cannot_be_taken_by_renaming(api: Api) -> None:
    api.apply("users", username="mia")
    api.apply("users", username="mia", state="absent")
    other = api.apply("users", username="ned")
    refused = api.apply("users", status=409, username="mia", renamed_from="ned")
    assert refused["type"].endswith("name_taken")
    assert "was deleted" in refused["detail"]
    patched = api.request("PATCH", f"/users/{other['after']['id']}", {"username": "mia"})
    assert "was deleted" in patched.get_json()["detail"]


# --- API keys


def _works(api: Api, key: str) -> int:
    return Api(api.client, key, api.desk).request("GET", "/labels").status_code


@pytest.mark.feature("F197", "F198")
def test_a_key_is_made_once_and_shown_once(api: Api) -> None:
    made = api.apply("users", username="bot", roles=["viewer"], api_keys=[{"name": "ci"}])
    key = made["api_keys"][0]["key"]
    again = api.apply("users", username="bot", roles=["viewer"], api_keys=[{"name": "ci"}])
    assert re.fullmatch(r"dpk_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", key)
    assert (again["changed"], again["changes"], again["api_keys"]) == (False, [], [])
    assert _works(api, key) == 200
    assert key.split("_", 2)[2] not in text_of(api.desk)
    assert key.split("_", 2)[2] not in repr(api.call("GET", "/users?username=bot"))


def test_a_dry_run_makes_no_key_and_announces_one(api: Api) -> None:
    before = dump(api.desk)
    planned = api.apply("users", dry_run=True, username="bot", api_keys=[{"name": "ci"}])
    assert dump(api.desk) == before
    made = api.apply("users", username="bot", api_keys=[{"name": "ci"}])
    assert planned["changes"] == made["changes"]
    assert {"field": "api_keys.ci", "before": None, "after": "present"} in made["changes"]
    assert planned["api_keys"] == []


def test_a_regenerated_key_replaces_the_lost_one(api: Api) -> None:
    first = api.apply("users", username="bot", roles=["viewer"], api_keys=[{"name": "ci"}])["api_keys"][0]["key"]
    second = api.apply("users", username="bot", api_keys=[{"name": "ci", "regenerate": True}])["api_keys"][0]["key"]
    assert (_works(api, first), _works(api, second)) == (401, 200)


def test_a_supplied_secret_is_compared_and_its_key_found_again_by_its_id(api: Api) -> None:
    """A lost answer loses nothing: who has the secret learns the key's id by asking again; the secret stays unsaid."""
    keys = [{"name": "ci", "secret": SECRET}]
    made = api.apply("users", username="bot", roles=["viewer"], api_keys=keys)
    again = api.apply("users", username="bot", api_keys=keys)
    assert (again["changed"], again["changes"]) == (False, [])
    assert (again["api_keys"], SECRET in str(again)) == ([], False)
    assert made["api_keys"][0]["key"] == f"dpk_{again['api_key_ids']['ci']}_{SECRET}"
    assert made["api_keys"][0]["key"].endswith(SECRET)
    assert _works(api, made["api_keys"][0]["key"]) == 200
    other = api.apply("users", username="bot", api_keys=[{"name": "ci", "secret": SECRET[::-1]}])
    assert other["changes"] == [{"field": "api_keys.ci", "before": "(secret)", "after": "(secret)"}]
    assert _works(api, made["api_keys"][0]["key"]) == 401
    assert SECRET not in text_of(api.desk)


def test_a_weak_secret_is_refused_without_being_repeated(api: Api) -> None:
    for secret in ("short", "x" * 42, "ü" * 50, "y" * 201):
        refused = api.apply("users", status=422, username="bot", api_keys=[{"name": "ci", "secret": secret}])
        assert refused["errors"][0]["pointer"] == "#/api_keys/0/secret"
        assert secret not in repr(refused)


def test_scopes_expiry_and_addresses_of_a_key_follow_the_declaration(api: Api, clock: TurnedClock) -> None:
    key = {"name": "ci", "scopes": ["tickets:create", "tickets:access"], "expires_at": "2026-03-02T12:00:00+02:00"}
    made = api.apply("users", username="bot", roles=["agent"], api_keys=[key])
    same = {"name": "ci", "scopes": ["tickets:access", "tickets:create"], "expires_at": "2026-03-02T10:00:00Z"}
    assert api.apply("users", username="bot", api_keys=[same])["changed"] is False
    token = made["api_keys"][0]["key"]
    assert _works(api, token) == 200
    changed = api.apply("users", username="bot", api_keys=[{"name": "ci", "allowed_ips": ["2001:DB8:0::1"]}])
    assert [entry["field"] for entry in changed["changes"]] == ["api_keys.ci.allowed_ips"]
    assert _works(api, token) == 401
    spelled = api.apply("users", username="bot", api_keys=[{"name": "ci", "allowed_ips": ["2001:db8::1"]}])
    assert spelled["changed"] is False
    api.apply("users", username="bot", api_keys=[{"name": "ci", "allowed_ips": None}])
    assert _works(api, token) == 200
    clock.turn(hours=1)
    assert _works(api, token) == 401
    api.apply("users", username="bot", api_keys=[{"name": "ci", "expires_at": None}])
    assert _works(api, token) == 200
    api.apply("users", username="bot", api_keys=[{"name": "ci", "scopes": ["metrics:read"]}])
    assert _works(api, token) == 403


@pytest.mark.feature("F197")
def test_keys_that_are_not_named_stay_and_absent_ones_go(api: Api) -> None:
    made = api.apply("users", username="bot", roles=["viewer"], api_keys=[{"name": "one"}, {"name": "two"}])
    one, two = (entry["key"] for entry in made["api_keys"])
    gone = api.apply("users", username="bot", api_keys=[{"name": "two", "state": "absent"}])
    assert gone["changes"] == [{"field": "api_keys.two", "before": "present", "after": None}]
    assert (_works(api, one), _works(api, two)) == (200, 401)
    assert api.apply("users", username="bot", api_keys=[{"name": "two", "state": "absent"}])["changed"] is False


BAD_KEYS: list[tuple[Any, str]] = [
    ([{"scopes": []}], "#/api_keys"),
    ([{"name": "a"}, {"name": "a"}], "#/api_keys"),
    ([{"name": "a", "scopes": ["everything"]}], "#/api_keys/0/scopes/0"),
    ([{"name": "a", "allowed_ips": ["10.0.0.1/8"]}], "#/api_keys/0/allowed_ips/0"),
    ([{"name": "a", "allowed_ips": ["localhost"]}], "#/api_keys/0/allowed_ips/0"),
    ([{"name": "a", "expires_at": "tomorrow"}], "#/api_keys/0/expires_at"),
    ([{"name": "a", "expires_at": "2026-02-30T00:00:00Z"}], "#/api_keys/0/expires_at"),
    ([{"name": "a", "expires_at": "2026-03-01T00:00:00"}], "#/api_keys/0/expires_at"),
    (["a"], "#/api_keys/0"),
    ({"a": {}}, "#/api_keys"),
]


def test_a_bad_key_is_refused_with_its_place(api: Api) -> None:
    before = dump(api.desk)
    for declared, pointer in BAD_KEYS:
        refused = api.apply("users", status=422, username="bot", api_keys=declared)
        assert pointer in [entry["pointer"] for entry in refused["errors"]], declared
    assert dump(api.desk) == before


def test_a_stored_answer_does_not_hold_the_new_key(api: Api) -> None:
    """Idempotency-Key keeps answers for a day; a key in one of them would lie there in the clear. An apply needs none:
    sent again, it says that the key is there."""
    body = {"username": "bot", "roles": ["viewer"], "password": "first password", "api_keys": [{"name": "ci"}]}
    headers = {"Idempotency-Key": "once"}
    first = api.request("POST", "/users/apply", body, headers=headers)
    again = api.request("POST", "/users/apply", body, headers=headers)
    assert (again.get_json()["action"], again.get_json()["api_keys"]) == ("none", [])
    key = first.get_json()["api_keys"][0]["key"]
    assert _works(api, key) == 200
    assert key.split("_", 2)[2] not in text_of(api.desk)


def test_the_last_use_of_keys_is_noted_also_after_the_database_failed(api: Api) -> None:
    last_use = keys.LastUse(api.desk.database, seconds=0.05)
    key_id = (api.key or "").split("_")[1]
    writing = api.desk.database.writing
    with writing.begin() as connection:
        connection.execute(text("ALTER TABLE api_keys RENAME TO elsewhere"))
    try:
        last_use.note(key_id, api.desk.clock.now())
        time.sleep(0.5)
    finally:
        with writing.begin() as connection:
            connection.execute(text("ALTER TABLE elsewhere RENAME TO api_keys"))
    last_use.note(key_id, api.desk.clock.now())
    deadline = time.monotonic() + 20
    found = None
    while found is None and time.monotonic() < deadline:
        time.sleep(0.05)
        with api.desk.database.transaction(write=False) as session:
            found = session.execute(select(ApiKey.last_used_at).where(ApiKey.id == key_id)).scalar_one()
    assert found == api.desk.clock.now()


# --- what is known of a user


@pytest.mark.feature("F192", "F214", "F215")
def test_an_administrator_makes_a_user_and_changes_name_address_role_and_habits(api: Api, clerk: Api) -> None:
    api.apply("customers", name="ACME")
    fields = {"username": "mia", "email": "mia@example.org", "first_name": "Mia", "last_name": "Lee", "roles": ["user"]}
    address = f"/users/{api.apply('users', **fields)['after']['id']}"
    made = api.call("GET", address)
    assert made == made | fields | {"start_page": "overview", "starred_customer": None}
    change = {
        "email": "mia@example.com",
        "first_name": "Maria",
        "roles": ["agent"],
        "start_page": "tickets",
        "starred_customer": "ACME",
    }
    api.call("PATCH", address, change)
    assert api.call("GET", address) == made | change
    assert clerk.request("PATCH", address, {"first_name": "x"}).status_code == 422, "her rights go beyond his"
    agent = api.as_user("tom", roles=["agent"])
    assert agent.call("PATCH", address, {"first_name": "x"}, status=403)["missing_permission"] == "users:manage"


@pytest.mark.feature("F207")
@pytest.mark.usefixtures("strong_passwords")
def test_a_password_is_kept_as_argon2id_with_a_salt_of_its_own(api: Api) -> None:
    for name in ("mia", "ned"):
        api.apply("users", username=name, password="correct horse")
    kept = [_password(api, name) or "" for name in ("mia", "ned")]
    assert all(re.fullmatch(r"\$argon2id\$v=19\$m=\d{5,},t=\d+,p=\d+\$[^$]{20,}\$[^$]{40,}", found) for found in kept)
    assert kept[0] != kept[1]
    assert password_matches("correct horse", kept[0])
    assert not password_matches("correct horsf", kept[0])
