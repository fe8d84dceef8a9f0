"""Accounts that people make by themselves."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Api, TurnedClock
from deskplane.login import registration_api
from login_help import WORD, Browser, events, mails, set_up_mail, token_in, work_off

WANTED = {"username": "ann", "email": "ann@example.org", "first_name": "Ann"}


def without_administrator(api: Api) -> str:
    """A desk that nobody manages any more, and the token of its set-up."""
    from sqlalchemy import delete

    from deskplane.kernel.revision import raise_revision
    from deskplane.people.models import User

    def work(session: Any) -> str:
        raise_revision(session)
        session.execute(delete(User).where(User.username == "root"))
        return registration_api.make_setup_token(api.desk.command_line(session))

    return api.desk.database.run(work, write=True)


@pytest.mark.feature("F190")
def test_the_first_administrator_is_made_with_the_token_of_the_set_up(
    api: Api, cheap: None, clock: TurnedClock
) -> None:
    token = without_administrator(api)
    browser = Browser(api)
    body = {"username": "boss", "password": WORD, "setup_token": token}
    assert browser.call("POST", "/registration", {**body, "password": "short"}, status=422)
    assert browser.call("POST", "/registration", {**body, "setup_token": "x" * 43}, status=422)
    assert browser.call("POST", "/registration", body, status=201) == {"username": "boss"}
    assert browser.call("POST", "/registration", {**body, "username": "two"}, status=422)
    browser.log_in("boss")
    assert browser.call("GET", "/users")["items"][0]["roles"] == ["admin"]
    assert "account_created" in [entry["event"] for entry in browser.call("GET", "/logins")["items"]]


def test_a_token_of_the_set_up_is_worth_nothing_once_there_is_an_administrator(
    api: Api, cheap: None, clock: TurnedClock
) -> None:
    from deskplane.kernel.problem import Problem
    from deskplane.people import service

    desk, token = api.desk, without_administrator(api)
    desk.database.run(lambda session: service.create_admin(desk.command_line(session), "boss", None), write=True)
    body = {"username": "two", "password": WORD, "setup_token": token}
    refused = Browser(api).call("POST", "/registration", body, status=409)
    assert refused["type"].endswith(":has_administrator")
    with pytest.raises(Problem, match="there is an administrator already"):
        desk.database.run(lambda session: registration_api.make_setup_token(desk.command_line(session)), write=True)


def test_a_token_of_the_set_up_dies_after_a_day(api: Api, cheap: None, clock: TurnedClock) -> None:
    token = without_administrator(api)
    clock.turn(hours=24)
    body = {"username": "boss", "password": WORD, "setup_token": token}
    Browser(api).call("POST", "/registration", body, status=422)


@pytest.mark.feature("F206")
def test_people_make_accounts_by_themselves_only_where_that_is_on(api: Api, cheap: None) -> None:
    set_up_mail(api)
    browser = Browser(api)
    assert browser.call("POST", "/registration", WANTED, status=403)["type"].endswith(":registration_closed")
    api.apply("settings", key="registration.enabled", value=True)
    browser.call("POST", "/registration", {"username": "ann"}, status=422)
    browser.call("POST", "/registration", {**WANTED, "password": WORD}, status=422)
    browser.call("POST", "/registration", WANTED, status=204)
    work_off(api)
    assert api.call("GET", "/users?username=ann")["items"] == [], "not before the address was shown to be his"
    (mail,) = mails(api, "ann@example.org")
    body = {"token": token_in(api, mail), "password": WORD}
    assert browser.call("POST", "/registration/confirm", body, status=201) == {"username": "ann"}
    browser.call("POST", "/registration/confirm", body, status=422)
    (made,) = api.call("GET", "/users?username=ann")["items"]
    assert (made["roles"], made["email"], made["first_name"]) == (["requester"], "ann@example.org", "Ann")
    browser.log_in("ann")
    assert events(api, "ann") == ["account_created", "login"]


def test_that_there_is_an_account_already_is_told_to_the_owner_of_the_address_only(api: Api, mia: str) -> None:
    set_up_mail(api)
    api.apply("settings", key="registration.enabled", value=True)
    browser = Browser(api)
    new = browser.send("POST", "/registration", WANTED)
    known = browser.send("POST", "/registration", {**WANTED, "email": "mia@example.org"})
    taken = browser.send("POST", "/registration", {**WANTED, "username": "mia", "email": "new@example.org"})
    assert {(answer.status_code, answer.data) for answer in (new, known, taken)} == {(204, b"")}
    work_off(api)
    assert "You have one already: mia." in mails(api, "mia@example.org")[0].body_text
    assert "This name is taken" in mails(api, "new@example.org")[0].body_text
    assert mails(api, "ann@example.org")[0].hidden is not None


def test_a_name_that_was_taken_meanwhile_is_nobody_elses_now(api: Api, cheap: None) -> None:
    set_up_mail(api)
    api.apply("settings", key="registration.enabled", value=True)
    browser = Browser(api)
    browser.call("POST", "/registration", WANTED, status=204)
    work_off(api)
    api.apply("users", username="ann", roles=["admin"])
    api.apply("users", username="ann", state="absent")
    body = {"token": token_in(api, mails(api)[0]), "password": WORD}
    refused = browser.call("POST", "/registration/confirm", body, status=422)
    assert refused["errors"][0]["code"] == "taken", "also of who was deleted, and can be brought back"
    browser.log_in("ann", status=401)
