"""Sessions: begun by a password, used instead of a key, and over in time."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from conftest import Api, TurnedClock
from deskplane.kernel.crypto import sha256_hex
from deskplane.login.models import LoginSession
from deskplane.people.models import User
from dumps import text_of
from login_help import WORD, Browser, events
from statements import recorded

HOST = "https://desk.example.org"


def test_who_logs_in_may_what_his_keys_may(api: Api, mia: str) -> None:
    browser = Browser(api)
    found = browser.log_in()
    assert (found["username"], found["user_id"], found["password_expired"]) == ("mia", mia, False)
    assert "tickets:create" in found["permissions"]
    made = browser.call("POST", "/tickets", {"title": "hers"}, status=201)
    assert made["reporter"] == "mia"
    browser.call("POST", "/labels/apply", {"name": "x"}, status=403)
    assert browser.call("GET", "/session") == found
    history = api.call("GET", f"/tickets/{made['number']}/history")["items"]
    assert (history[0]["author"], history[0]["cause"]) == ("mia", "session")
    api.apply("users", username="mia", roles=[])
    browser.call("GET", "/labels", status=403)


@pytest.mark.feature("F196")
def test_the_last_login_is_shown(api: Api, mia: str, clock: TurnedClock) -> None:
    assert api.call("GET", f"/users/{mia}")["last_login_at"] is None
    tag = api.request("GET", f"/users/{mia}").headers["ETag"]
    Browser(api).log_in()
    assert api.call("GET", f"/users/{mia}")["last_login_at"] == "2026-03-02T09:00:00Z"
    assert api.request("PATCH", f"/users/{mia}", {}, headers={"If-Match": tag}).status_code == 200


def test_only_the_hash_of_a_token_is_stored_and_the_cookie_is_kept_from_scripts_and_other_hosts(
    api: Api, mia: str
) -> None:
    browser = Browser(api)
    answer = browser.client.post("/api/v1/session", json={"username": "mia", "password": WORD}, base_url=HOST)
    cookies = answer.headers.getlist("Set-Cookie")
    assert len(cookies) == 2
    for cookie in cookies:
        assert cookie.startswith("__Host-deskplane")
        assert {"Secure", "HttpOnly", "Path=/", "SameSite=Lax"} <= set(cookie.split("; "))
    token = cookies[0].split("=", 1)[1].partition(";")[0]
    assert token not in text_of(api.desk)
    assert sha256_hex(token) in text_of(api.desk)
    assert token not in answer.get_data(as_text=True)
    plain = browser.client.post("/api/v1/session", json={"username": "mia", "password": WORD})
    assert all("Secure" not in cookie for cookie in plain.headers.getlist("Set-Cookie")), "on this very machine only"
    other = browser.client.post(
        "/api/v1/session", json={"username": "mia", "password": WORD}, base_url="http://desk.example.org"
    )
    assert all("Secure" in cookie for cookie in other.headers.getlist("Set-Cookie"))


@pytest.mark.feature("F205")
def test_a_session_that_is_left_alone_ends(api: Api, mia: str, clock: TurnedClock) -> None:
    browser = Browser(api)
    browser.log_in()
    server = api.client.application.extensions["deskplane"]
    for _ in range(3):
        clock.turn(minutes=59)
        browser.call("GET", "/session")
        server.authenticate_session._last_use.flush()
    clock.turn(minutes=62)
    browser.call("GET", "/session", status=401)
    browser.log_in()
    api.apply("settings", key="session.idle_minutes", value=0)
    clock.turn(days=6)
    browser.call("GET", "/session")
    clock.turn(days=1, seconds=1)
    browser.call("GET", "/session", status=401)


def test_when_it_was_last_used_is_not_written_by_the_request(api: Api, mia: str, clock: TurnedClock) -> None:
    browser = Browser(api)
    browser.log_in()
    clock.turn(minutes=5)
    with recorded(api.desk) as seen:
        browser.call("GET", "/labels")
    assert not [statement for statement in seen if statement.startswith(("UPDATE", "INSERT", "DELETE"))]
    with recorded(api.desk) as by_key:
        api.call("GET", "/labels")
    assert len(seen) <= len(by_key) + 1, "one more at the most, for the settings"
    (entry,) = browser.call("GET", "/sessions")["items"]
    assert entry["last_seen_at"] == "2026-03-02T09:00:00Z"
    api.client.application.extensions["deskplane"].authenticate_session._last_use.flush()
    (entry,) = browser.call("GET", "/sessions")["items"]
    assert entry["last_seen_at"] == "2026-03-02T09:05:00Z"


def test_one_sees_and_ends_ones_own_sessions_and_nobody_elses(api: Api, mia: str) -> None:
    api.apply("users", username="tom", roles=["agent"], password=WORD)
    first, second, toms = Browser(api), Browser(api, "198.51.100.9"), Browser(api)
    first.log_in()
    second.log_in()
    toms.log_in("tom")
    listed = first.call("GET", "/sessions")["items"]
    assert sorted((entry["current"], entry["address"]) for entry in listed) == [
        (False, "198.51.100.9"),
        (True, "192.0.2.1"),
    ]
    assert {entry["client"] for entry in listed} == {"Firefox"}
    (other,) = [entry["id"] for entry in listed if not entry["current"]]
    missing = toms.call("DELETE", "/sessions/nothing", status=404)
    foreign = toms.call("DELETE", f"/sessions/{other}", status=404)
    assert {**missing, "request_id": ""} == {**foreign, "request_id": ""}
    first.call("DELETE", f"/sessions/{other}", status=204)
    second.call("GET", "/session", status=401)
    first.call("GET", "/session")
    assert events(api)[-1] == "session_ended"


def test_an_administrator_ends_sessions(api: Api, mia: str) -> None:
    browser = Browser(api)
    browser.log_in()
    (entry,) = api.call("GET", f"/users/{mia}/sessions")["items"]
    api.call("DELETE", f"/users/{mia}/sessions/{entry['id']}", status=204)
    browser.call("GET", "/session", status=401)
    api.call("DELETE", f"/users/{mia}/sessions/{entry['id']}", status=404)
    browser.log_in()
    Browser(api).log_in()
    api.call("DELETE", f"/users/{mia}/sessions", status=204)
    browser.call("GET", "/session", status=401)
    assert api.call("GET", f"/users/{mia}/sessions")["items"] == []
    last = api.call("GET", "/logins?username=mia&limit=1")["items"][0]
    assert (last["event"], last["actor"]) == ("session_ended", "root")


def test_who_manages_users_ends_no_session_of_who_may_more(api: Api, mia: str) -> None:
    api.apply("roles", name="keeper", permissions=["users:manage"])
    keeper = api.as_user("keeper", roles=["keeper"])
    (root,) = api.call("GET", "/users?username=root")["items"]
    keeper.call("DELETE", f"/users/{root['id']}/sessions", status=403)
    keeper.call("POST", f"/users/{root['id']}/invitation", status=403)


@pytest.mark.feature("F193", "F194")
@pytest.mark.parametrize("how", ["password", "disabled", "deleted", "purged"])
def test_sessions_end_with_the_password_or_the_account(api: Api, mia: str, how: str) -> None:
    browser = Browser(api)
    browser.log_in()
    if how == "password":
        api.apply("users", username="mia", password="another password", update_password="always")
    elif how == "disabled":
        api.apply("users", username="mia", enabled=False)
        api.apply("users", username="mia", enabled=True)
    else:
        api.call("DELETE", f"/users/{mia}" + ("?purge=true" if how == "purged" else ""), status=204)
        if how == "deleted":
            api.apply("users", username="mia")
    browser.call("GET", "/session", status=401)
    with api.desk.database.transaction(write=False) as session:
        assert session.execute(select(LoginSession.id)).all() == []


def test_a_login_makes_a_new_token_and_ends_the_one_before(api: Api, mia: str) -> None:
    browser = Browser(api)
    browser.log_in()
    old = browser.client.get_cookie("deskplane")
    assert old is not None
    browser.log_in()
    new = browser.client.get_cookie("deskplane")
    assert new is not None
    assert new.value != old.value
    thief = Browser(api)
    thief.client.set_cookie("deskplane", old.value)
    thief.call("GET", "/session", status=401)
    assert len(browser.call("GET", "/sessions")["items"]) == 1


def test_a_session_is_renewed_and_the_token_before_works_no_more(api: Api, mia: str) -> None:
    browser = Browser(api)
    begun = browser.log_in()
    old = browser.client.get_cookie("deskplane")
    assert old is not None
    again = browser.call("POST", "/session/renew")
    assert (again["id"], again["expires_at"]) == (begun["id"], begun["expires_at"])
    assert again["csrf_token"] != begun["csrf_token"]
    browser.call("POST", "/session/renew", status=403)
    thief = Browser(api)
    thief.client.set_cookie("deskplane", old.value)
    thief.call("GET", "/session", status=401)
    browser.call("GET", "/session")
    assert events(api)[-2:] == ["login", "session_renewed"]


def test_logging_out_ends_the_session_and_removes_the_cookie(api: Api, mia: str) -> None:
    browser = Browser(api)
    browser.log_in()
    cookie = browser.client.get_cookie("deskplane")
    assert cookie is not None
    browser.call("DELETE", "/session", status=204)
    assert browser.client.get_cookie("deskplane") is None
    browser.client.set_cookie("deskplane", cookie.value)
    browser.call("GET", "/session", status=401)
    assert events(api)[-2:] == ["login", "logout"]


def test_a_key_goes_before_a_session_and_does_not_do_in_its_place(api: Api, mia: str) -> None:
    browser = Browser(api)
    browser.log_in()
    key = {"Authorization": f"Bearer {api.key}"}
    assert browser.send("GET", "/settings").status_code == 403
    assert browser.send("GET", "/settings", **key).status_code == 200
    assert browser.send("GET", "/settings", Authorization="Bearer nonsense").status_code == 401
    refused = api.call("GET", "/session", status=403)
    assert refused["type"].endswith(":session_needed")
    assert browser.client.get("/public/v1/tickets").status_code == 403


def test_a_password_is_hashed_anew_where_parameters_changed(api: Api, cheap: None, mia: str) -> None:
    from argon2 import PasswordHasher

    from deskplane.people import service

    def stored() -> str | None:
        with api.desk.database.transaction(write=False) as session:
            return session.execute(select(User.password).where(User.id == mia)).scalar_one()

    changed = api.call("GET", f"/users/{mia}")["password_changed_at"]
    old = stored()
    Browser(api).log_in()
    assert stored() == old
    service._hasher = PasswordHasher(time_cost=2, memory_cost=8, parallelism=1)
    Browser(api).log_in(password="wrong password", status=401)
    assert stored() == old
    browser = Browser(api)
    browser.log_in()
    assert stored() != old
    assert "t=2" in (stored() or "")
    browser.call("GET", "/session")
    assert api.call("GET", f"/users/{mia}")["password_changed_at"] == changed
    Browser(api).log_in()


def test_a_request_by_key_costs_one_statement_besides_its_own(api: Api) -> None:
    api.call("GET", "/labels")
    with recorded(api.desk) as seen:
        api.call("GET", "/labels?limit=1")
    assert len([statement for statement in seen if statement.startswith("SELECT")]) == 2, seen
