"""The login history: what is written down of accounts, by whom, from where, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api, TurnedClock
from deskplane.login import tasks as login_tasks
from deskplane.outbox.schedules import Schedules
from login_help import WORD, Browser, events

pytestmark = pytest.mark.feature("F199")


def entries(api: Api, **filters: Any) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={value}" for name, value in filters.items())
    found: list[dict[str, Any]] = api.call("GET", f"/logins?limit=200&{query}")["items"]
    return found


def test_what_administrators_do_names_them(api: Api, cheap: None) -> None:
    api.apply("users", username="mia", password=WORD, api_keys=[{"name": "ci"}])
    api.apply("users", username="mia", first_name="Mia", locale="de", email="m@example.org")
    api.apply("users", username="mia", password="another word", update_password="always")
    api.apply("users", username="mia", api_keys=[{"name": "ci", "regenerate": True}])
    api.apply("users", username="mia", api_keys=[{"name": "ci", "state": "absent"}])
    api.apply("users", username="mia", state="absent")
    api.apply("users", username="mia")
    (mia,) = api.call("GET", "/users?username=mia")["items"]
    api.call("DELETE", f"/users/{mia['id']}?purge=true", status=204)
    found = entries(api, username="mia")
    assert [(entry["event"], entry["detail"]) for entry in found[::-1]] == [
        ("account_created", None),
        ("api_key_created", "ci"),
        ("email_changed", None),
        ("account_changed", "first_name, locale"),
        ("password_changed", None),
        ("api_key_created", "ci"),
        ("api_key_revoked", "ci"),
        ("account_deleted", None),
        ("account_restored", None),
        ("account_deleted", None),
        ("account_purged", None),
    ]
    assert {entry["actor"] for entry in found} == {"root"}
    assert {entry["address"] for entry in found} == {"127.0.0.1"}
    assert api.call("GET", f"/users/{mia['id']}/logins?limit=1")["items"] == found[:1], "what is said outlasts it"


def test_a_dry_run_and_what_changes_nothing_write_no_line(api: Api, mia: str) -> None:
    before = entries(api)
    api.apply("users", dry_run=True, username="mia", first_name="M", api_keys=[{"name": "x"}])
    api.apply("users", dry_run=True, username="tom", password=WORD)
    api.apply("users", username="mia", email="mia@example.org")
    assert entries(api) == before


def test_what_one_does_oneself_names_nobody_else(api: Api, mia: str, clock: TurnedClock) -> None:
    browser = Browser(api, "2001:db8::5")
    browser.log_in(password="wrong password", status=401)
    clock.turn(minutes=1)
    browser.log_in()
    browser.call("DELETE", "/session", status=204)
    browser.log_in("nobody", status=401)
    browser.log_in()
    own = browser.call("GET", "/account/logins")["items"]
    assert [(entry["event"], entry["actor"]) for entry in own] == [
        ("login", None),
        ("logout", None),
        ("login", None),
        ("login_failed", None),
        ("account_created", "root"),
    ]
    assert own[2] == {
        "at": "2026-03-02T09:01:00Z",
        "event": "login",
        "user_id": mia,
        "username": "mia",
        "actor": None,
        "address": "2001:db8::5",
        "client": "Firefox",
        "detail": "password",
    }
    (unknown,) = [entry for entry in entries(api, event="login_failed") if entry["user_id"] is None]
    assert unknown["username"] is None, "what was typed may be a password in the wrong field"


def test_it_is_read_page_by_page_and_by_event(api: Api, mia: str) -> None:
    for _ in range(3):
        Browser(api).log_in()
    first = api.call("GET", "/logins?event=login&limit=2")
    second = api.call("GET", f"/logins?event=login&limit=2&cursor={first['next_cursor']}")
    assert (len(first["items"]), len(second["items"]), second["next_cursor"]) == (2, 1, None)
    browser = Browser(api)
    browser.log_in()
    own = browser.call("GET", "/account/logins?limit=1")["next_cursor"]
    api.call("GET", f"/logins?cursor={own}", status=400)
    browser.call("GET", "/logins", status=403)
    browser.call("GET", f"/users/{mia}/logins", status=403)


def test_it_is_forgotten_in_time(api: Api, mia: str, clock: TurnedClock) -> None:
    Browser(api).log_in()
    clock.turn(days=200)
    Browser(api).log_in()
    clock.turn(days=170)
    jobs = Schedules(api.desk.database, clock, "worker", login_tasks.jobs(api.desk.automation))
    jobs.run_due()
    clock.turn(hours=6)
    assert "login history" in jobs.run_due()
    assert events(api) == ["login"]
    api.apply("settings", key="retention.login_history_days", value=7)
    clock.turn(hours=6)
    jobs.run_due()
    assert events(api) == []


def test_every_event_of_an_administrators_guide_is_one_of_ours() -> None:
    from deskplane.people.login_events import EVENTS

    assert {
        *("login", "login_failed", "logout", "session_renewed", "password_changed", "email_changed"),
        *("totp_enabled", "totp_disabled", "passkey_added", "passkey_removed", "api_key_created", "api_key_revoked"),
        *("account_created", "account_changed", "account_deleted", "account_restored", "account_purged", "mfa_reset"),
    } <= set(EVENTS)
