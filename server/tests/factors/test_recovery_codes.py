"""Recovery codes: ten, each worth one login, and none without another factor."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import Api
from deskplane.configuration.by_hand import Users
from deskplane.kernel.work import Work
from dumps import text_of
from factors.factor_help import code_of, half_in, set_up, show
from login_help import WORD, Browser, events, mails, set_up_mail

pytestmark = pytest.mark.feature("F200")


def test_ten_are_shown_once_and_kept_as_hashes(api: Api, mia: str) -> None:
    browser = Browser(api)
    browser.log_in()
    _app, codes = set_up(browser, api)
    assert len(set(codes)) == 10
    assert {len(code.replace("-", "")) for code in codes} == {24}
    kept = text_of(api.desk)
    for code in codes:
        assert code not in kept
        assert code.replace("-", "") not in kept


def test_each_lets_its_owner_in_once_and_he_is_told(api: Api, mia: str) -> None:
    set_up_mail(api)
    browser = Browser(api)
    browser.log_in()
    _app, codes = set_up(browser, api)
    stranger = Browser(api, "203.0.113.9")
    show(stranger, "recovery-code", half_in(stranger), codes[0].upper().replace("-", " "))
    assert stranger.call("GET", "/account/factors")["recovery_codes"] == 9
    assert stranger.call("GET", "/account/logins?limit=1")["items"][0]["detail"] == "password+recovery_code"
    refused = show(stranger, "recovery-code", half_in(stranger), codes[0], status=401)
    assert code_of(refused) == "bad_factor"
    (notice,) = [mail for mail in mails(api, "mia@example.org") if mail.subject == "A recovery code was used"]
    assert "9 are left" in notice.body_text
    assert "203.0.113.9" in notice.body_text
    assert codes[0] not in notice.body_text


def test_of_two_logins_with_one_code_at_once_one_gets_in(api: Api, mia: str) -> None:
    first = Browser(api)
    first.log_in()
    _app, codes = set_up(first, api)
    browsers = [Browser(api) for _ in range(4)]
    tokens = [half_in(browser) for browser in browsers]

    def finish(number: int) -> int:
        body = {"token": tokens[number], "code": codes[0]}
        return browsers[number].send("POST", "/session/recovery-code", body).status_code

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(finish, range(4))) == [201, 401, 401, 401]


def test_new_ones_take_the_place_of_the_old_ones(api: Api, mia: str) -> None:
    set_up_mail(api)
    browser, other = Browser(api), Browser(api)
    browser.log_in()
    assert code_of(browser.call("POST", "/account/recovery-codes", {"password": WORD}, status=409)) == "no_factor"
    _app, old = set_up(browser, api)
    show(other, "recovery-code", half_in(other), old[0])
    browser.call("POST", "/account/recovery-codes", {"password": "wrong password"}, status=401)
    found = browser.call("POST", "/account/recovery-codes", {"password": WORD}, status=201)
    browser.csrf = found["csrf_token"]
    browser.call("POST", "/session/renew")
    other.call("GET", "/session", status=401)
    new = found["recovery_codes"]
    assert len(set(new) - set(old)) == 10
    show(other, "recovery-code", half_in(other), old[1], status=401)
    show(other, "recovery-code", half_in(other), new[1])
    assert "recovery_codes_made" in events(api)
    assert "New recovery codes" in [mail.subject for mail in mails(api, "mia@example.org")]


def test_of_two_changes_at_once_in_one_session_the_second_finds_it_ended(
    api: Api, mia: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are known before either has its turn. With `method_of` that takes its session for granted this is a 500."""
    browser = Browser(api)
    browser.log_in()
    set_up(browser, api)
    known, lock = threading.Barrier(2), Users.lock

    def together(self: Users, work: Work) -> None:
        if not api.desk.database.is_sqlite:  # whose writers come here one after the other
            known.wait(10)
        lock(self, work)

    monkeypatch.setattr(Users, "lock", together)

    def renew(_number: int) -> int:
        return browser.send("POST", "/account/recovery-codes", {"password": WORD}).status_code

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(renew, range(2))) == [201, 401]


def test_they_go_with_the_last_factor(api: Api, mia: str) -> None:
    browser = Browser(api)
    browser.log_in()
    _app, codes = set_up(browser, api)
    token = half_in(Browser(api))
    browser.call("POST", "/account/totp/disable", {"password": WORD}, status=201)
    show(browser, "recovery-code", token, codes[0], status=401)
    Browser(api).log_in()


def test_one_of_somebody_else_is_worth_nothing(api: Api, mia: str) -> None:
    api.apply("users", username="tom", roles=["agent"], password=WORD)
    browser, toms = Browser(api), Browser(api)
    browser.log_in()
    toms.log_in("tom")
    _app, codes = set_up(browser, api)
    _app, _codes = set_up(toms, api)
    show(toms, "recovery-code", half_in(toms, "tom"), codes[0], status=401)
