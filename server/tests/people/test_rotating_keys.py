"""API keys that get a new secret: who uses them is never left without one that works."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api, TurnedClock

SECRET = "s" * 43


def declared(api: Api, **fields: Any) -> Any:
    """Applies the key `scrape` of prometheus."""
    return api.apply("users", username="prometheus", api_keys=[{"name": "scrape", **fields}])


@pytest.fixture
def first(api: Api) -> Api:
    """A client of a service account that reads the metrics."""
    api.apply("users", username="prometheus", roles=["metrics"])
    (made,) = declared(api)["api_keys"]
    return Api(api.client, made["key"], api.desk)


def works(client: Api, address: str = "127.0.0.1") -> bool:
    answer = client.request("GET", "/metrics", environ_base={"REMOTE_ADDR": address})
    assert answer.status_code in (200, 401)
    return answer.status_code == 200


def rotated(api: Api, **fields: Any) -> Api:
    (made,) = declared(api, **fields)["api_keys"]
    return Api(api.client, made["key"], api.desk)


def test_the_secret_before_works_along_for_as_long_as_was_said(api: Api, first: Api, clock: TurnedClock) -> None:
    second = rotated(api, regenerate=True, overlap_minutes=60)
    assert second.key != first.key
    assert (works(first), works(second)) == (True, True)
    clock.turn(minutes=59)
    assert works(first)
    clock.turn(minutes=1)
    assert (works(first), works(second)) == (False, True)


def test_without_an_overlap_every_secret_before_ends_at_once(api: Api, first: Api) -> None:
    second = rotated(api, regenerate=True, overlap_minutes=60)
    third = rotated(api, regenerate=True)
    assert (works(first), works(second), works(third)) == (False, False, True)


def test_of_several_rotations_only_the_last_secret_before_works_along(api: Api, first: Api) -> None:
    second = rotated(api, regenerate=True, overlap_minutes=60)
    third = rotated(api, regenerate=True, overlap_minutes=60)
    assert (works(first), works(second), works(third)) == (False, True, True)


def test_a_secret_of_the_callers_own_is_rotated_by_declaring_another(api: Api, first: Api) -> None:
    fields = {"secret": SECRET, "overlap_minutes": 5}
    assert [change["field"] for change in declared(api, **fields)["changes"]] == [
        *("api_keys.scrape", "api_keys.scrape.previous_until"),
    ]
    again = declared(api, **fields)
    assert (again["changed"], again["api_keys"]) == (False, [])
    own = Api(api.client, f"dpk_{again['api_key_ids']['scrape']}_{SECRET}", api.desk)
    assert (works(first), works(own)) == (True, True)


def test_a_key_is_rotated_once_its_secret_is_old_enough_and_else_nothing_changes(
    api: Api, first: Api, clock: TurnedClock
) -> None:
    fields = {"rotate_after_days": 90, "overlap_minutes": 1440}
    clock.turn(days=89)
    assert declared(api, **fields)["changed"] is False
    clock.turn(days=1)
    tried = api.apply("users", username="prometheus", api_keys=[{"name": "scrape", **fields}], dry_run=True)
    assert (tried["changed"], tried["api_keys"]) == (True, [])
    second = rotated(api, **fields)
    assert (works(first), works(second)) == (True, True)
    assert declared(api, **fields)["changed"] is False
    clock.turn(days=90)
    assert (works(first), works(rotated(api, **fields)), works(second)) == (False, True, True)


def test_expiry_and_addresses_bind_the_secret_before_too(api: Api, first: Api, clock: TurnedClock) -> None:
    rotated(api, regenerate=True, overlap_minutes=60, allowed_ips=["192.0.2.0/24"])
    assert (works(first), works(first, "192.0.2.7")) == (False, True)
    declared(api, expires_at="2026-03-02T09:30:00Z")
    clock.turn(minutes=30)
    assert not works(first, "192.0.2.7")


@pytest.mark.feature("F197", "F198")
def test_keys_are_listed_with_their_last_use_and_without_their_secrets(
    api: Api, first: Api, clock: TurnedClock
) -> None:
    assert works(first)
    second = rotated(api, regenerate=True, overlap_minutes=60, scopes=["metrics:read"])
    server = api.client.application.extensions["deskplane"]
    server.authenticate._last_use.flush()
    page = api.call("GET", "/api/v1/api-keys?limit=1")
    rest = api.call("GET", f"/api/v1/api-keys?limit=1&cursor={page['next_cursor']}")
    (root,) = rest["items"]
    (key,) = page["items"]
    assert ((key["user"], key["name"]), (root["user"], root["name"])) == (("prometheus", "scrape"), ("root", "test"))
    assert key["last_used_at"] == key["created_at"] == key["secret_set_at"] == "2026-03-02T09:00:00Z"
    assert (key["previous_until"], key["scopes"]) == ("2026-03-02T10:00:00Z", ["metrics:read"])
    assert second.key is not None
    assert second.key.startswith(f"dpk_{key['id']}_")
    assert second.key.split("_", 2)[2] not in repr([page, rest])
    assert [one["name"] for one in api.call("GET", "/api/v1/api-keys?user=prometheus")["items"]] == ["scrape"]
    assert api.call("GET", "/api/v1/api-keys?user=nobody")["items"] == []
    first.call("GET", "/api/v1/api-keys", status=403)
    second.call("GET", "/api/v1/api-keys", status=403)


def test_the_service_accounts_roles_do_what_they_are_for_and_no_more(api: Api, first: Api) -> None:
    backup = api.as_user("saver", roles=["backup"])
    assert backup.request("GET", "/admin/backup").status_code == 200
    backup.call("GET", "/metrics", status=403)
    first.call("GET", "/admin/backup", status=403)
    for client in (backup, first):
        client.call("GET", "/tickets", status=403)
        client.call("GET", "/users", status=403)
