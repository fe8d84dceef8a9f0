"""Guessing second factors by somebody who knows the password: it comes to a stop over all logins, addresses, servers.

Shown by taking the defence out: with `attempts.count` doing nothing in `factors.showing`, those that come to a stop go
on; with `pending.require` counting nothing, so does the last one; with `attempts.factor_guesses` deaf to known browsers
the owner is kept out; without `take_back` in `showing.begin_session`, right codes are guesses.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from conftest import Api, TurnedClock, settings
from deskplane.app import create_app, make_desk
from deskplane.login import attempts
from factors.factor_help import App, half_in, set_up, show
from login_help import Browser, events

pytestmark = pytest.mark.feature("F200", "F208")
QUARTER, DAY = (rate.limit for rate in attempts.PER_FACTOR)


@pytest.fixture
def owner(api: Api, mia: str, clock: TurnedClock) -> tuple[Browser, App]:
    """Mia, with an app, in her own browser."""
    browser = Browser(api, "203.0.113.5")
    browser.log_in()
    app, _codes = set_up(browser, api)
    clock.turn(minutes=1)
    return browser, app


def guesses(api: Api, app: App, count: int, path: str = "totp") -> list[int]:
    """Wrong codes, each at a login of its own, from many addresses."""
    found = []
    for number in range(count):
        thief = Browser(api, f"198.51.100.{number + 1}")
        body = {"token": half_in(thief), "code": app.wrong_code()}
        found.append(thief.send("POST", f"/session/{path}", body).status_code)
    return found


def test_wrong_codes_come_to_a_stop_whatever_login_they_belong_to(
    api: Api, owner: tuple[Browser, App], clock: TurnedClock
) -> None:
    _browser, app = owner
    assert guesses(api, app, QUARTER + 5) == [401] * QUARTER + [429] * 5
    assert guesses(api, app, 2, "recovery-code") == [429] * 2, "one count for all factors that are typed"
    thief = Browser(api, "192.0.2.77")
    refused = thief.send("POST", "/session/totp", {"token": half_in(thief), "code": app.code()})
    assert refused.status_code == 429, "even the right one, from a browser that nobody knows"
    assert 0 < int(refused.headers["Retry-After"]) <= attempts.QUARTER
    for _ in range(6):
        clock.turn(minutes=15)
        guesses(api, app, QUARTER + 1)
    assert events(api).count("login_failed") == DAY, "a day has a limit of its own"


def test_the_owner_gets_in_all_the_while(api: Api, owner: tuple[Browser, App]) -> None:
    browser, app = owner
    show(browser, "totp", half_in(browser), app.code())
    guesses(api, app, QUARTER + 1)
    show(browser, "totp", half_in(browser), app.code(1))


def test_right_codes_are_no_guesses(api: Api, owner: tuple[Browser, App], clock: TurnedClock) -> None:
    _browser, app = owner
    for number in range(QUARTER + 2):
        clock.turn(seconds=30)
        visitor = Browser(api, f"198.51.100.{number + 1}")
        show(visitor, "totp", half_in(visitor), app.code())


def test_limits_hold_for_two_servers_and_many_tries_at_once(api: Api, owner: tuple[Browser, App]) -> None:
    _browser, app = owner
    address = api.desk.database.url.render_as_string(hide_password=False)
    desk = make_desk(settings(address), api.desk.clock)
    servers = (api, Api(create_app(desk).test_client(), api.key, desk))
    thieves = [Browser(servers[number % 2], f"198.51.100.{number + 1}") for number in range(QUARTER + 6)]
    tokens = [half_in(thief) for thief in thieves]

    def guess(number: int) -> int:
        body = {"token": tokens[number], "code": app.wrong_code()}
        return thieves[number].send("POST", "/session/totp", body).status_code

    try:
        with ThreadPoolExecutor(8) as pool:
            assert sorted(pool.map(guess, range(len(thieves)))) == [401] * QUARTER + [429] * 6
    finally:
        desk.database.dispose()


def test_one_login_takes_five_tries_though_they_come_at_once(api: Api, owner: tuple[Browser, App]) -> None:
    _browser, app = owner
    thief = Browser(api)
    token = half_in(thief)

    def guess(_number: int) -> str:
        answer = thief.send("POST", "/session/totp", {"token": token, "code": app.wrong_code()})
        return str(answer.get_json()["type"].rpartition(":")[2])

    with ThreadPoolExecutor(8) as pool:
        found = sorted(pool.map(guess, range(9)))
    assert found == ["bad_factor"] * 5 + ["unauthenticated"] * 4
