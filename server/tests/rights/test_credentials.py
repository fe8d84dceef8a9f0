"""Keys: how they are sent, and when they work no more."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api, settings
from deskplane.app import create_app, make_desk


@pytest.fixture
def mia(api: Api) -> Api:
    return api.as_user("mia", roles=["viewer"])


def _status(api: Api, **headers: str) -> int:
    return api.client.get("/api/v1/labels", headers=headers).status_code


@pytest.mark.feature("F219", "F220")
def test_a_key_may_come_in_three_headers(mia: Api) -> None:
    key = mia.key or ""
    good: list[dict[str, str]] = [
        {"Authorization": f"Bearer {key}"},
        {"Authorization": f"bearer   {key} "},
        {"Authorization": f"ApiKey {key}"},
        {"X-API-Key": key},
        {"X-API-Key": "nonsense", "Authorization": f"Bearer {key}"},
    ]
    for headers in good:
        assert _status(mia, **headers) == 200, headers
    bad: list[dict[str, str]] = [
        {},
        {"Authorization": key},
        {"Authorization": f"Basic {key}"},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer "},
        {"Authorization": f"Bearer {key}x"},
        {"Authorization": f"Bearer {key[:-1]}"},
        {"Authorization": f"Bearer {key.upper()}"},
        {"Authorization": f"Bearer {key} {key}"},
        {"Authorization": "Bearer dpk__"},
        {"Authorization": "Bearer dpk_000000000000_" + "x" * 43},
        {"Authorization": "Bearer dpk_' or 1=1_x"},
        {"Authorization": "Bearer " + "x" * 5000},
        {"Authorization": "Bearer dpk_üüüüüüüüüüüü_x"},
        {"X-API-Key": ""},
        {"X-API-Key": f"Bearer {key}"},
    ]
    for headers in bad:
        assert _status(mia, **headers) == 401, headers


@pytest.mark.feature("F197")
def test_every_key_that_does_not_work_is_answered_alike(api: Api, mia: Api) -> None:
    """Who guesses learns nothing of what there is."""
    key = mia.key or ""
    gone = api.as_user("gone", roles=["viewer"])
    api.apply("users", username="gone", state="absent")
    off = api.as_user("off", roles=["viewer"])
    api.apply("users", username="off", enabled=False)
    revoked = api.as_user("revoked", roles=["viewer"])
    api.apply("users", username="revoked", api_keys=[{"name": "test", "state": "absent"}])
    expired = api.as_user("expired", roles=["viewer"])
    api.apply("users", username="expired", api_keys=[{"name": "test", "expires_at": "2026-03-02T09:00:00Z"}])
    bodies: list[Any] = []
    for bad in (gone.key, off.key, revoked.key, expired.key, f"{key[:-3]}xyz", "dpk_000000000000_" + "x" * 43):
        answer = Api(api.client, bad, api.desk).request("GET", "/labels")
        assert answer.status_code == 401, bad
        bodies.append({**answer.get_json(), "request_id": ""})
    assert all(body == bodies[0] for body in bodies)
    assert mia.request("GET", "/labels").status_code == 200


@pytest.mark.feature("F182", "F183", "F193")
def test_a_change_of_rights_acts_at_the_next_request_of_another_process(api: Api, mia: Api) -> None:
    address = api.desk.database.url.render_as_string(hide_password=False)
    desk = make_desk(settings(address), api.desk.clock)
    other = Api(create_app(desk).test_client(), mia.key, desk)

    def status() -> tuple[int, int]:
        return other.request("GET", "/labels").status_code, other.request("POST", "/labels/apply", {}).status_code

    try:
        assert status() == (200, 403)
        api.apply("roles", name="labeller", permissions=["labels:manage"])
        api.apply("users", username="mia", roles=["viewer", "labeller"])
        assert status() == (200, 422)
        api.apply("roles", name="labeller", permissions=[])
        assert status() == (200, 403)
        api.apply("users", username="mia", roles=[])
        assert status() == (403, 403)
        api.apply("users", username="mia", roles=["viewer"], features={"helpdesk_enabled": False})
        assert status() == (403, 403)
        api.apply("users", username="mia", features=None)
        assert status() == (200, 403)
        api.apply("users", username="mia", enabled=False)
        assert status() == (401, 401)
        api.apply("users", username="mia", enabled=True)
        assert status() == (200, 403)
        api.apply("users", username="mia", api_keys=[{"name": "test", "scopes": []}])
        assert status() == (403, 403)
        api.apply("users", username="mia", state="absent")
        assert status() == (401, 401)
    finally:
        desk.database.dispose()


def test_a_key_has_no_right_that_its_owner_lacks(api: Api) -> None:
    made = api.apply(
        "users",
        username="bot",
        roles=["viewer"],
        api_keys=[{"name": "wide", "scopes": ["tickets:access", "users:manage"]}],
    )
    bot = Api(api.client, made["api_keys"][0]["key"], api.desk)
    assert bot.request("GET", "/users").status_code == 403
    assert bot.request("GET", "/labels").status_code == 200


@pytest.mark.feature("F183")
def test_an_administrator_without_the_helpdesk_keeps_his_rights(api: Api) -> None:
    boss = api.as_user("boss", roles=["admin"], features={"helpdesk_enabled": False})
    assert boss.request("GET", "/tickets").status_code == 200


def test_the_address_of_a_key_is_the_callers_own_unless_a_proxy_is_trusted(api: Api) -> None:
    made = api.apply(
        "users",
        username="bot",
        roles=["viewer"],
        api_keys=[{"name": "x", "allowed_ips": ["192.0.2.0/24", "2001:db8::/32"]}],
    )
    headers = {"Authorization": f"Bearer {made['api_keys'][0]['key']}"}

    def status(address: str, **more: str) -> int:
        environ = {"REMOTE_ADDR": address}
        return api.client.get("/api/v1/labels", headers=headers | more, environ_base=environ).status_code

    assert status("192.0.2.7") == 200
    assert status("2001:db8::7") == 200
    assert status("::ffff:192.0.2.7") == 200
    assert status("198.51.100.1") == 401
    assert status("198.51.100.1", **{"X-Forwarded-For": "192.0.2.7"}) == 401
    assert status("nonsense") == 401
