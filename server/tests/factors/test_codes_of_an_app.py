"""Codes of an app: set up with the password, asked for at each login, and each worth one session."""

from __future__ import annotations

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from sqlalchemy import select

from conftest import Api, TurnedClock
from deskplane.factors import tasks, totp
from deskplane.factors.models import TotpFactor, TotpOffer
from deskplane.kernel.crypto import looks_sealed
from deskplane.kernel.work import Work
from deskplane.outbox.schedules import Schedules
from dumps import text_of
from factors.factor_help import App, code_of, half_in, set_up, show
from login_help import WORD, Browser, events, mails, set_up_mail, token_in

pytestmark = pytest.mark.feature("F200")


def test_codes_are_those_of_the_rfc() -> None:
    """RFC 6238, appendix B; the last six digits."""
    secret = base64.b32encode(b"12345678901234567890").decode()
    for seconds, code in ((59, "287082"), (1111111109, "081804"), (20000000000, "353130")):
        assert totp.code_at(secret, seconds // 30) == code


def test_once_set_up_a_code_is_asked_for_at_each_login(api: Api, mia: str, clock: TurnedClock) -> None:
    browser, other = Browser(api), Browser(api)
    other.log_in()
    browser.log_in()
    assert browser.call("GET", "/account/factors") == {"totp": False, "passkeys": 0, "recovery_codes": 0}
    app, codes = set_up(browser, api)
    assert browser.call("GET", "/account/factors") == {"totp": True, "passkeys": 0, "recovery_codes": len(codes)}
    other.call("GET", "/session", status=401)
    clock.turn(seconds=30)
    begun = other.log_in(status=202)
    assert sorted(begun["methods"]) == ["recovery_code", "totp"]
    other.call("GET", "/session", status=401)
    found = show(other, "totp", begun["token"], app.code())
    assert other.call("GET", "/session") == found
    assert {entry["method"] for entry in other.call("GET", "/sessions")["items"]} == {"password+totp"}
    assert events(api)[-3:] == ["login", "totp_enabled", "login"]
    assert other.call("GET", "/account/logins?limit=1")["items"][0]["detail"] == "password+totp"


def test_what_an_app_is_given(api: Api, mia: str, clock: TurnedClock) -> None:
    api.apply("settings", key="branding.company_name", value="Zürich: Help & Co")
    browser = Browser(api)
    browser.log_in()
    found = browser.call("POST", "/account/totp", {"password": WORD}, status=201)
    parts = urlsplit(found["uri"])
    assert (parts.scheme, parts.netloc, unquote(parts.path)) == ("otpauth", "totp", "/Zürich  Help & Co:mia")
    assert parse_qs(parts.query) == {"secret": [found["secret"]], "issuer": ["Zürich  Help & Co"]}
    assert "+" not in found["uri"]
    assert len(base64.b32decode(found["secret"])) == 20
    assert found["expires_at"] == "2026-03-02T09:15:00Z"


def test_it_takes_the_password_to_begin_and_a_code_to_end(api: Api, mia: str, clock: TurnedClock) -> None:
    browser = Browser(api)
    browser.log_in()
    browser.call("POST", "/account/totp", {"password": "wrong password"}, status=401)
    assert code_of(browser.call("POST", "/account/totp/confirm", {"code": "123456"}, status=409)) == "not_begun"
    first = App(api, browser.call("POST", "/account/totp", {"password": WORD}, status=201)["secret"])
    app = App(api, browser.call("POST", "/account/totp", {"password": WORD}, status=201)["secret"])
    for code in (first.code(), app.wrong_code(), app.code(-2), app.code(2), "", "x" * 21):
        browser.call("POST", "/account/totp/confirm", {"code": code}, status=422)
    Browser(api).log_in()
    clock.turn(minutes=15)
    browser.call("POST", "/account/totp/confirm", {"code": app.code()}, status=409)
    assert browser.call("GET", "/account/factors")["totp"] is False


def test_another_app_takes_the_place_of_the_first(api: Api, mia: str, clock: TurnedClock) -> None:
    browser = Browser(api)
    browser.log_in()
    old, codes = set_up(browser, api)
    assert len(codes) == 10
    new, codes = set_up(browser, api)
    assert codes is None, "those that he has go on working"
    clock.turn(minutes=1)
    token = half_in(browser)
    show(browser, "totp", token, old.code(), status=401)
    show(browser, "totp", token, new.code())


def test_a_code_of_the_step_before_and_after_is_taken_and_no_other(api: Api, mia: str, clock: TurnedClock) -> None:
    browser = Browser(api)
    browser.log_in()
    app, _codes = set_up(browser, api)
    for steps, status in ((-2, 401), (2, 401), (-1, 201), (1, 201)):
        clock.turn(minutes=5)
        show(browser, "totp", half_in(browser), app.code(steps), status=status)


def test_a_code_works_once(api: Api, mia: str, clock: TurnedClock) -> None:
    browser = Browser(api)
    browser.log_in()
    app, _codes = set_up(browser, api)
    show(browser, "totp", half_in(browser), app.code(), status=401)  # it has shown that the app has the secret
    clock.turn(seconds=30)
    show(browser, "totp", half_in(browser), app.code())
    refused = show(browser, "totp", half_in(browser), app.code(), status=401)
    assert code_of(refused) == "bad_factor"
    assert events(api)[-1] == "login_failed"
    show(browser, "totp", half_in(browser), app.code(-1), status=401)
    show(browser, "totp", half_in(browser), app.code(1))


def test_of_many_logins_with_one_code_at_once_one_makes_a_session(
    api: Api, mia: str, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them look at the code before one uses it. Without `last_step < shown` in `Totp.use` all get in."""
    first = Browser(api)
    first.log_in()
    app, _codes = set_up(first, api)
    clock.turn(minutes=1)
    browsers = [Browser(api) for _ in range(5)]
    tokens = [half_in(browser) for browser in browsers]
    looked = threading.Barrier(len(browsers))
    use = totp.Totp.use

    def together(self: totp.Totp, work: Work, user_id: str, shown: int) -> bool:
        if not api.desk.database.is_sqlite:  # whose writers come here one after the other
            looked.wait(10)
        return use(self, work, user_id, shown)

    monkeypatch.setattr(totp.Totp, "use", together)

    def finish(number: int) -> int:
        body = {"token": tokens[number], "code": app.code()}
        return browsers[number].send("POST", "/session/totp", body).status_code

    with ThreadPoolExecutor(len(browsers)) as pool:
        statuses = sorted(pool.map(finish, range(len(browsers))))
    assert statuses == [201, 401, 401, 401, 401]
    assert len(first.call("GET", "/sessions")["items"]) == 2


def test_a_half_done_login_ends_in_time_with_five_tries_and_with_the_password(
    api: Api, mia: str, clock: TurnedClock
) -> None:
    browser = Browser(api)
    browser.log_in()
    app, _codes = set_up(browser, api)
    clock.turn(minutes=1)
    late = half_in(browser)
    clock.turn(minutes=5)
    over = show(browser, "totp", late, app.code(), status=401)
    tried = half_in(browser)
    for _ in range(5):
        assert code_of(show(browser, "totp", tried, app.wrong_code(), status=401)) == "bad_factor"
    refused = show(browser, "totp", tried, app.code(), status=401)
    assert {**refused, "request_id": ""} == {**over, "request_id": ""}
    assert {**show(browser, "totp", "x" * 43, app.code(), status=401), "request_id": ""} == {**over, "request_id": ""}
    ended = half_in(browser)
    api.apply("users", username="mia", password="another password", update_password="always")
    show(browser, "totp", ended, app.code(), status=401)


def test_who_has_the_password_and_tries_in_vain_is_told_of_to_its_owner(api: Api, mia: str, clock: TurnedClock) -> None:
    set_up_mail(api)
    owner, stranger = Browser(api), Browser(api, "198.51.100.7")
    owner.log_in()
    app, _codes = set_up(owner, api)
    token = half_in(stranger)
    before = len(mails(api, "mia@example.org"))
    for _ in range(4):
        show(stranger, "totp", token, app.wrong_code(), status=401)
    assert len(mails(api, "mia@example.org")) == before, "he may have mistyped himself"
    show(stranger, "recovery-code", token, "wrong", status=401)
    show(stranger, "totp", token, app.wrong_code(), status=401)
    (mail,) = mails(api, "mia@example.org")[before:]
    assert mail.subject == "Somebody has your password"
    assert "It came from the address 198.51.100.7." in mail.body_text


def test_a_token_works_for_its_own_user_and_once(api: Api, mia: str, clock: TurnedClock) -> None:
    api.apply("users", username="tom", roles=["agent"], password=WORD)
    mias, toms = Browser(api), Browser(api)
    mias.log_in()
    toms.log_in("tom")
    app, _codes = set_up(mias, api)
    other, _codes = set_up(toms, api)
    clock.turn(minutes=1)
    token = half_in(mias)
    show(mias, "totp", token, other.code(), status=401)
    show(mias, "totp", token, app.code())
    clock.turn(minutes=1)
    show(mias, "totp", token, app.code(), status=401)


def test_the_secret_is_sealed_and_shown_once(api: Api, mia: str, clock: TurnedClock) -> None:
    browser = Browser(api)
    browser.log_in()
    offered = browser.call("POST", "/account/totp", {"password": WORD}, status=201)
    with api.desk.database.transaction(write=False) as session:
        assert looks_sealed(session.execute(select(TotpOffer.secret)).scalar_one())
    app = App(api, offered["secret"])
    browser.call("POST", "/account/totp/confirm", {"code": app.code()}, status=201)
    with api.desk.database.transaction(write=False) as session:
        assert looks_sealed(session.execute(select(TotpFactor.secret)).scalar_one())
        assert session.execute(select(TotpOffer.user_id)).all() == []
    assert app.secret not in text_of(api.desk)


def test_what_nobody_took_is_forgotten(api: Api, mia: str, clock: TurnedClock) -> None:
    browser = Browser(api)
    browser.log_in()
    browser.call("POST", "/account/totp", {"password": WORD}, status=201)
    jobs = Schedules(api.desk.database, clock, "worker", tasks.jobs(api.desk.automation))
    jobs.run_due()
    clock.turn(hours=1)
    assert jobs.run_due() == ["second factors"]
    with api.desk.database.transaction(write=False) as session:
        assert session.execute(select(TotpOffer.user_id)).all() == []


def test_it_is_switched_off_with_the_password_and_sessions_end(api: Api, mia: str, clock: TurnedClock) -> None:
    set_up_mail(api)
    browser, other = Browser(api), Browser(api)
    browser.log_in()
    assert code_of(browser.call("POST", "/account/totp/disable", {"password": WORD}, status=409)) == "no_factor"
    app, _codes = set_up(browser, api)
    clock.turn(minutes=1)
    show(other, "totp", half_in(other), app.code())
    browser.call("POST", "/account/totp/disable", {"password": "wrong password"}, status=401)
    found = browser.call("POST", "/account/totp/disable", {"password": WORD}, status=201)
    browser.csrf = found["csrf_token"]
    browser.call("POST", "/session/renew")
    other.call("GET", "/session", status=401)
    assert browser.call("GET", "/account/factors") == {"totp": False, "passkeys": 0, "recovery_codes": 0}
    Browser(api).log_in()
    told = [mail.subject for mail in mails(api, "mia@example.org")]
    assert told == ["Codes are asked for", "Codes are not asked for any more"]
    assert [event for event in events(api) if event.startswith("totp")] == ["totp_enabled", "totp_disabled"]
    logged = api.call("GET", "/audit?kind=second_factor")["items"]
    assert [(entry["who"], entry["action"], entry["key"]) for entry in logged] == [
        ("mia", "delete", {"user": "mia", "name": "totp"}),
        ("mia", "create", {"user": "mia", "name": "totp"}),
    ]


def test_a_new_password_takes_no_factor_away(api: Api, mia: str, clock: TurnedClock) -> None:
    """Who reads somebody's mails, or manages him, gets no further than his password does."""
    set_up_mail(api)
    browser = Browser(api)
    browser.log_in()
    app, _codes = set_up(browser, api)
    api.call("POST", f"/users/{mia}/invitation", status=204)
    token = token_in(api, mails(api, "mia@example.org")[-1])
    browser.call("POST", "/password/reset", {"token": token, "password": "another password"}, status=204)
    clock.turn(minutes=1)
    begun = browser.log_in(password="another password", status=202)
    show(browser, "totp", begun["token"], app.code())


def test_a_key_does_not_do(api: Api, mia: str) -> None:
    made = api.apply("users", username="mia", api_keys=[{"name": "k"}])
    key = Api(api.client, made["api_keys"][0]["key"], api.desk)
    for path in ("totp", "totp/disable", "recovery-codes"):
        assert code_of(key.call("POST", f"/account/{path}", {"password": WORD}, status=403)) == "session_needed"
    key.call("GET", "/labels")


def test_who_was_deleted_and_comes_back_still_has_his_factor(api: Api, mia: str, clock: TurnedClock) -> None:
    browser = Browser(api)
    browser.log_in()
    app, _codes = set_up(browser, api)
    api.apply("users", username="mia", state="absent")
    api.apply("users", username="mia")
    clock.turn(minutes=1)
    show(browser, "totp", half_in(browser), app.code())
    api.call("DELETE", f"/users/{mia}?purge=true", status=204)
    with api.desk.database.transaction(write=False) as session:
        assert session.execute(select(TotpFactor.user_id)).all() == []
