"""Passwords: what they must be, how old they may be, and how one gets another."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from conftest import Api, TurnedClock
from deskplane.kernel.breached import BreachedPasswords
from deskplane.login.models import LoginToken
from deskplane.people.models import User
from login_help import PUBLIC_URL, WORD, Browser, events, link_in, mails, set_up_mail, token_in, work_off

NEW = "another good password"


def code(answer: Any) -> str:
    return str(answer["errors"][0]["code"])


def sums(path: Path, *passwords: str, digits: int = 40) -> Path:
    """A list of passwords that everyone knows."""
    lines = sorted(hashlib.sha1(word.encode()).hexdigest().upper()[:digits] for word in passwords)
    path.write_text("".join(f"{line}:17\r\n" for line in lines))
    return path


@pytest.mark.feature("F202")
def test_a_password_is_changed_with_the_old_one_and_all_other_sessions_end(api: Api, mia: str) -> None:
    set_up_mail(api)
    browser, other = Browser(api), Browser(api)
    browser.log_in()
    other.log_in()
    body = {"current_password": WORD, "password": NEW}
    found = browser.call("PUT", "/account/password", body, status=201)
    browser.csrf = found["csrf_token"]
    browser.call("POST", "/session/renew")
    other.call("GET", "/session", status=401)
    Browser(api).log_in(status=401)
    Browser(api).log_in(password=NEW)
    assert events(api)[-4:-1] == ["password_changed", "session_renewed", "login_failed"]
    (notice,) = mails(api, "mia@example.org")
    assert notice.subject == "Your password was changed"
    changed = api.call("GET", "/configuration/history?kind=user")["items"][0]
    assert (changed["who"], changed["changes"]) == (
        "mia",
        [{"field": "password", "before": "(secret)", "after": "(secret)"}],
    )


def test_a_wrong_old_password_changes_nothing(api: Api, mia: str) -> None:
    browser = Browser(api)
    browser.log_in()
    browser.call("PUT", "/account/password", {"current_password": "wrong", "password": NEW}, status=401)
    for bad in ("short", WORD):
        refused = browser.call("PUT", "/account/password", {"current_password": WORD, "password": bad}, status=422)
        assert code(refused) == ("too_short" if bad == "short" else "same_password")
    browser.call("GET", "/session")
    Browser(api).log_in()


@pytest.mark.feature("F203")
def test_every_way_to_a_password_asks_for_the_least_length(api: Api, mia: str) -> None:
    set_up_mail(api)
    api.apply("settings", key="password.min_length", value=12)
    short = "eleven char"
    browser = Browser(api)
    browser.log_in()
    answer = browser.call("PUT", "/account/password", {"current_password": WORD, "password": short}, status=422)
    assert answer["errors"][0]["detail"] == "must have at least 12 characters"
    api.call("POST", f"/users/{mia}/invitation", status=204)
    token = token_in(api, mails(api)[0])
    assert code(browser.call("POST", "/password/reset", {"token": token, "password": short}, status=422)) == "too_short"
    refused = api.apply("users", username="mia", password=short, update_password="always", status=422)
    assert code(refused) == "too_short"
    browser.call("POST", "/password/reset", {"token": token, "password": NEW}, status=204)


@pytest.mark.feature("F203")
@pytest.mark.parametrize("digits", [40, 12])
def test_a_password_that_everyone_knows_is_nobodys(api: Api, mia: str, tmp_path: Path, digits: int) -> None:
    path = sums(tmp_path / "sums", *(f"password{number}" for number in range(1000)), digits=digits)
    breached = api.client.application.extensions["deskplane"].breached = BreachedPasswords(path)
    assert all(f"password{number}" in breached for number in range(1000))
    assert not any(f"passw0rd{number}" in breached for number in range(1000))
    browser = Browser(api)
    browser.log_in()
    for word, status in (("password999", 422), ("passw0rd999", 201)):
        body = {"current_password": WORD, "password": word}
        answer = browser.call("PUT", "/account/password", body, status=status)
        assert status == 201 or code(answer) == "breached"
    refused = api.apply("users", username="tom", password="password0", status=422)
    assert code(refused) == "breached"


@pytest.mark.provokes(503, "breached_passwords_file cannot be read")
def test_a_list_that_cannot_be_read_lets_no_password_through(api: Api, mia: str, tmp_path: Path) -> None:
    api.client.application.extensions["deskplane"].breached = BreachedPasswords(tmp_path / "gone")
    assert api.request("POST", "/users/apply", {"username": "tom", "password": NEW}).status_code == 503
    assert api.call("GET", "/users?username=tom")["items"] == []


@pytest.mark.feature("F203", "F204")
def test_a_password_that_is_too_old_lets_nothing_through_but_its_change(api: Api, mia: str, clock: TurnedClock) -> None:
    api.apply("settings", key="password.max_age_days", value=30)
    api.apply("settings", key="session.idle_minutes", value=0)
    key = Api(
        api.client,
        api.apply("users", username="mia", api_keys=[{"name": "k"}])["api_keys"][0]["key"],
        api.desk,
    )
    clock.turn(days=29)
    browser = Browser(api)
    assert browser.log_in()["password_expired"] is False
    clock.turn(days=1)
    assert browser.call("GET", "/labels", status=403)["type"].endswith(":password_expired")
    assert browser.call("GET", "/session")["password_expired"] is True
    key.call("GET", "/labels")
    late = Browser(api)
    assert late.log_in()["password_expired"] is True
    late.call("GET", "/labels", status=403)
    found = late.call("PUT", "/account/password", {"current_password": WORD, "password": NEW}, status=201)
    assert found["password_expired"] is False
    late.call("GET", "/labels")


def forgotten(api: Api, address: str = "mia@example.org") -> None:
    Browser(api).call("POST", "/password/forgotten", {"email": address}, status=204)
    work_off(api)


@pytest.mark.feature("F202")
def test_a_forgotten_password_is_set_behind_a_link_that_works_once(api: Api, mia: str) -> None:
    set_up_mail(api)
    browser = Browser(api)
    browser.log_in()
    forgotten(api, "MIA@example.org")
    (mail,) = mails(api)
    link = link_in(api, mail)
    assert link.startswith(f"{PUBLIC_URL}/reset-password#token=")
    assert (mail.recipient, "192.0.2.1" in mail.body_text) == ("mia@example.org", True)
    body = {"token": token_in(api, mail), "password": NEW}
    other = Browser(api)
    other.call("POST", "/password/reset", body, status=204)
    browser.call("GET", "/session", status=401)
    again = other.call("POST", "/password/reset", body | {"password": "a third password"}, status=422)
    assert code(again) == "bad_token"
    other.log_in(password=NEW)
    assert "password_reset_requested" in events(api)


@pytest.mark.parametrize("how", ["an hour", "another link", "a new password", "disabled", "deleted"])
def test_a_link_dies(api: Api, mia: str, clock: TurnedClock, how: str) -> None:
    set_up_mail(api)
    forgotten(api)
    token = token_in(api, mails(api)[0])
    if how == "an hour":
        clock.turn(hours=1)
    elif how == "another link":
        forgotten(api)
    elif how == "a new password":
        api.apply("users", username="mia", password="by the house", update_password="always")
    elif how == "disabled":
        api.apply("users", username="mia", enabled=False)
    else:
        api.apply("users", username="mia", state="absent")
    found = Browser(api).call("POST", "/password/reset", {"token": token, "password": NEW}, status=422)
    assert code(found) == "bad_token"


def test_what_a_mail_hides_is_seen_by_nobody_who_reads_mails_and_gone_when_it_is_sent(api: Api, mia: str) -> None:
    from deskplane.kernel.crypto import sha256_hex
    from dumps import text_of

    set_up_mail(api)
    forgotten(api)
    (mail,) = mails(api)
    token = token_in(api, mail)
    assert token not in str(api.call("GET", f"/mails/{mail.id}"))
    assert token not in text_of(api.desk)
    assert sha256_hex(token) in text_of(api.desk)


def test_who_is_not_written_to(api: Api, mia: str) -> None:
    forgotten(api)
    assert mails(api) == [], "without public_url there is no link that could be right"
    set_up_mail(api)
    forgotten(api, "nobody@example.org")
    api.apply("users", username="mia", enabled=False)
    forgotten(api)
    assert mails(api) == []


@pytest.mark.feature("F192")
def test_who_is_invited_chooses_his_first_password(api: Api, cheap: None) -> None:
    made = api.apply("users", username="tom", roles=["agent"])["after"]["id"]
    path = f"/users/{made}/invitation"
    assert api.call("POST", path, status=409)["type"].endswith(":no_address")
    api.apply("users", username="tom", email="tom@example.org")
    assert api.call("POST", path, status=409)["type"].endswith(":no_mail")
    set_up_mail(api)
    api.call("POST", path, status=204)
    (mail,) = mails(api)
    browser = Browser(api)
    browser.log_in("tom", NEW, status=401)
    browser.call("POST", "/password/reset", {"token": token_in(api, mail), "password": NEW}, status=204)
    browser.log_in("tom", NEW)
    assert events(api, "tom")[:4] == ["account_created", "email_changed", "invited", "login_failed"]
    api.call("POST", "/users/nothing/invitation", status=404)


@pytest.mark.feature("F202")
def test_an_address_is_changed_by_who_reads_the_new_one(api: Api, mia: str) -> None:
    set_up_mail(api)
    browser = Browser(api)
    browser.log_in()
    wanted = {"email": "mia@new.example.org", "password": "wrong password"}
    browser.call("POST", "/account/email", wanted, status=401)
    assert mails(api) == []
    browser.call("POST", "/account/email", wanted | {"password": WORD}, status=204)
    (link,), (notice,) = mails(api, "mia@new.example.org"), mails(api, "mia@example.org")
    assert (notice.subject, notice.hidden) == ("Your mail address is to be changed", None)
    assert api.call("GET", f"/users/{mia}")["email"] == "mia@example.org"
    nobody = Browser(api)
    nobody.call("POST", "/password/reset", {"token": token_in(api, link), "password": NEW}, status=422)
    nobody.call("POST", "/account/email/confirm", {"token": token_in(api, link)}, status=204)
    assert api.call("GET", f"/users/{mia}")["email"] == "mia@new.example.org"
    assert [mail.subject for mail in mails(api, "mia@example.org")][1:] == ["Your mail address was changed"]
    nobody.call("POST", "/account/email/confirm", {"token": token_in(api, link)}, status=422)
    assert events(api)[-1] == "email_changed"
    browser.call("GET", "/session")


def test_of_two_who_use_a_link_at_once_one_finds_it_used(api: Api, mia: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    set_up_mail(api)
    forgotten(api)
    token = token_in(api, mails(api)[0])
    browsers = [Browser(api) for _ in range(2)]
    words = ["the first password", "the other password"]

    def use(number: int) -> int:
        body = {"token": token, "password": words[number]}
        return browsers[number].send("POST", "/password/reset", body).status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(use, range(2))) == [204, 422]
    with api.desk.database.transaction(write=False) as session:
        assert session.execute(select(LoginToken.id)).all() == []
        assert session.execute(select(User.password).where(User.id == mia)).scalar_one()
