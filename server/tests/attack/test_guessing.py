"""Guessing passwords: it comes to a stop, the owner gets in all the while, and nothing is learned by it.

Shown by taking the defence out: with `attempts.look` and `attempts.count` doing nothing, the first two tests fail; with
`devices.known` answering null always, the second; with `hashing.matches` returning at once where nothing is stored, the
one about the work that is done; with the tries of names that there are not left out, the one about 429s.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import text

from conftest import Api, TurnedClock, settings
from deskplane.app import create_app, make_desk
from deskplane.kernel.problem import Problem
from deskplane.login import attempts, hashing
from deskplane.people import service
from dumps import text_of
from login_help import WORD, Browser, events, mails, set_up_mail, token_in, work_off

pytestmark = pytest.mark.feature("F208")
LIMIT = attempts.PER_ACCOUNT[0].limit


@pytest.fixture
def hashes(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """What was compared with what is stored."""
    seen: list[str | None] = []
    compare = service.password_matches

    def counted(password: str, stored: str | None) -> bool:
        seen.append(stored)
        return compare(password, stored)

    monkeypatch.setattr(hashing, "password_matches", counted)
    return seen


def guess(api: Api, number: int, username: str = "mia", password: str = "") -> Any:
    body = {"username": username, "password": password or f"guess number {number}"}
    address = f"198.51.{number // 250}.{number % 250 + 1}"
    return Browser(api, address).send("POST", "/session", body)


def test_ten_thousand_guesses_from_many_addresses_come_to_a_stop(
    api: Api, mia: str, hashes: list[str | None], clock: TurnedClock
) -> None:
    owner = Browser(api, "203.0.113.5")
    owner.log_in()
    answers = [guess(api, number) for number in range(300)]
    assert [answer.status_code for answer in answers] == [401] * LIMIT + [429] * (300 - LIMIT)
    assert len(hashes) == LIMIT + 1, "what is one too many costs no hash"
    assert 0 < int(answers[-1].headers["Retry-After"]) <= attempts.QUARTER
    assert guess(api, 301, password=WORD).status_code == 429, "even the right one, from a browser that nobody knows"
    owner.call("GET", "/session")
    owner.log_in()
    assert events(api).count("login_failed") == LIMIT
    clock.turn(minutes=15)
    assert guess(api, 302).status_code == 401
    for _ in range(40):
        clock.turn(minutes=15)
        for number in range(LIMIT + 1):
            guess(api, number)
    assert events(api).count("login_failed") <= attempts.PER_ACCOUNT[1].limit + LIMIT, "a day has a limit of its own"


def test_a_known_browser_has_tries_of_its_own_and_no_more_than_those(api: Api, mia: str) -> None:
    owner, thief = Browser(api), Browser(api)
    owner.log_in()
    device = owner.client.get_cookie("deskplane-device")
    assert device is not None
    thief.client.set_cookie("deskplane-device", device.value)
    statuses = []
    for number in range(LIMIT + 3):
        body = {"username": "mia", "password": f"guess number {number}"}
        statuses.append(thief.send("POST", "/session", body).status_code)
    assert statuses == [401] * LIMIT + [429] * 3
    Browser(api, "203.0.113.9").log_in()
    made_up = Browser(api)
    made_up.client.set_cookie("deskplane-device", "made-up")
    for number in range(LIMIT + 1):
        made_up.send("POST", "/session", {"username": "mia", "password": f"guess number {number}"})
    assert guess(api, 1).status_code == 429, "a cookie that was made up counts as none"


def test_one_address_tries_no_more_accounts_than_it_may(api: Api, mia: str) -> None:
    statuses = [
        Browser(api).send("POST", "/session", {"username": f"user{number}", "password": "summer 2026"}).status_code
        for number in range(attempts.PER_ADDRESS[0].limit + 5)
    ]
    assert statuses == [401] * attempts.PER_ADDRESS[0].limit + [429] * 5
    mapped = Browser(api, "::ffff:192.0.2.1").send("POST", "/session", {"username": "mia", "password": "x"})
    assert mapped.status_code == 429
    assert attempts.network("2001:db8:1:2:3::4") == attempts.network("2001:db8:1:2::9") == "2001:db8:1:2::/64"


def test_right_passwords_are_no_guesses(api: Api, mia: str) -> None:
    for number in range(LIMIT * 2):
        assert guess(api, number, password=WORD).status_code == 201
    assert guess(api, 0).status_code == 401


def test_limits_hold_for_two_servers_together(api: Api, mia: str) -> None:
    address = api.desk.database.url.render_as_string(hide_password=False)
    desk = make_desk(settings(address), api.desk.clock)
    other = Api(create_app(desk).test_client(), api.key, desk)
    try:
        statuses = [guess((api, other)[number % 2], number).status_code for number in range(LIMIT + 2)]
        assert statuses == [401] * LIMIT + [429] * 2
    finally:
        desk.database.dispose()


def test_many_guesses_at_once_do_not_overtake_the_count(
    api: Api, mia: str, hashes: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "STRANGERS", hashing.Gate(8, 100))
    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(answer.status_code for answer in pool.map(lambda number: guess(api, number), range(40)))
    assert statuses == [401] * LIMIT + [429] * (40 - LIMIT)
    assert len(hashes) == LIMIT


@pytest.mark.provokes(503)
def test_what_cannot_be_counted_is_not_tried(api: Api, mia: str, hashes: list[str | None]) -> None:
    """The limits fail closed: a database that lets nobody write lets nobody guess either."""
    api.desk.database.busy_seconds = 0.3
    with api.desk.database.writing.connect() as connection:
        if api.desk.database.is_sqlite:
            held = connection.begin()  # BEGIN IMMEDIATE
        else:
            held = connection.begin()
            connection.execute(text("LOCK TABLE rate_counts IN ACCESS EXCLUSIVE MODE"))
            # who waits for a lock is cut off in time
            for engine in (api.desk.database.reading, api.desk.database.writing):
                engine.dispose()
        answer = _bounded(lambda: guess(api, 1, password=WORD).status_code)
        held.rollback()
    assert answer == 503
    assert hashes == []


def _bounded(run: Any) -> int:
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(run()))
    thread.start()
    thread.join(30)
    assert found, "it was answered"
    return found[0]


def test_names_that_there_are_not_are_answered_alike(api: Api, mia: str, hashes: list[str | None]) -> None:
    api.apply("users", username="off", password=WORD, enabled=False)
    api.apply("users", username="gone", password=WORD)
    api.apply("users", username="gone", state="absent")
    api.apply("users", username="keys")
    names = ("mia", "nobody", "off", "gone", "keys", "a b%' or 1=1 --")
    bodies, headers = [], []
    for number, name in enumerate(names):
        answer = guess(api, number, name, WORD if name in ("off", "gone", "keys") else "wrong password")
        assert answer.status_code == 401
        bodies.append({**answer.get_json(), "request_id": ""})
        headers.append({name: value for name, value in answer.headers.items() if name != "X-Request-Id"})
    assert all(body == bodies[0] for body in bodies)
    assert all(each == headers[0] for each in headers)
    assert len(hashes) == len(names), "each of them costs one hash"
    assert all(stored for stored in hashes)
    assert "1=1" not in text_of(api.desk)


def test_it_takes_as_long_for_a_name_that_there_is_not(api: Api, mia: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes long is the hash, here a sleep that can be told from all else."""
    monkeypatch.setattr(hashing, "password_matches", lambda _password, _stored: time.sleep(0.05))

    def seconds(name: str) -> float:
        begun = time.perf_counter()
        assert guess(api, 1, name).status_code == 401
        return time.perf_counter() - begun

    assert min(seconds("mia"), seconds("nobody")) > 0.05


def test_who_is_slowed_down_learns_no_names_by_it(api: Api, mia: str) -> None:
    for name in ("mia", "nobody"):
        statuses = [guess(api, number, name).status_code for number in range(LIMIT + 1)]
        assert statuses == [401] * LIMIT + [429], name


def test_a_password_of_ten_megabytes_is_refused_before_it_is_hashed(
    api: Api, mia: str, hashes: list[str | None]
) -> None:
    browser = Browser(api)
    for size, status in ((10_000_000, 413), (1025, 422)):
        answer = browser.send("POST", "/session", {"username": "mia", "password": "x" * size})
        assert answer.status_code == status
        answer = browser.send("POST", "/password/reset", {"token": "x", "password": "x" * size})
        assert answer.status_code == status
    assert hashes == []


def test_a_flood_of_logins_leaves_threads_for_others() -> None:
    """One is hashed, one waits, and the others are answered at once. Who comes from a browser that is known has a place
    of his own."""
    gate, begun, go = hashing.Gate(1, 1), threading.Event(), threading.Event()

    def hold() -> None:
        with gate.turn():
            begun.set()
            go.wait(10)

    holding = [threading.Thread(target=hold) for _ in range(2)]
    for thread in holding:
        thread.start()
    begun.wait(10)
    deadline = time.monotonic() + 10
    while gate._room._value and time.monotonic() < deadline:  # type: ignore[attr-defined]
        time.sleep(0.001)
    with pytest.raises(Problem) as refused, gate.turn():
        pass
    assert (refused.value.status, refused.value.headers["Retry-After"]) == (503, "1")
    go.set()
    for thread in holding:
        thread.join(10)
    with gate.turn():
        pass
    assert hashing.STRANGERS is not hashing.KNOWN


def test_a_reset_lets_an_owner_back_in_who_has_no_known_browser(api: Api, mia: str) -> None:
    set_up_mail(api)
    for number in range(LIMIT + 1):
        guess(api, number)
    browser = Browser(api, "203.0.113.7")
    browser.log_in(status=429)
    browser.call("POST", "/password/forgotten", {"email": "mia@example.org"}, status=204)
    work_off(api)
    body = {"token": token_in(api, mails(api)[0]), "password": "another good password"}
    browser.call("POST", "/password/reset", body, status=204)
    browser.log_in(password="another good password")


def test_the_old_password_cannot_be_guessed_with_a_stolen_session(api: Api, mia: str) -> None:
    browser = Browser(api)
    browser.log_in()
    for number in range(LIMIT):
        body = {"current_password": f"guess number {number}", "password": "another good password"}
        browser.call("PUT", "/account/password", body, status=401)
    body = {"current_password": WORD, "password": "another good password"}
    browser.call("PUT", "/account/password", body, status=429)
    browser.call("POST", "/account/email", {"email": "x@example.org", "password": WORD}, status=429)
    Browser(api, "203.0.113.7").log_in()


def test_who_may_only_plan_does_not_find_out_a_password_by_dry_runs(api: Api, mia: str) -> None:
    """Whether a dry run says that a password would change tells whether it is the right one. With `work_out_passwords`
    counting nothing this fails."""
    api.apply("roles", name="planner", permissions=["configuration:plan"])
    planner = api.as_user("planner", roles=["planner"])
    limit = service.GUESSES.limit

    def guessed(number: int) -> int:
        body = {"username": "mia", "password": f"guess number {number}", "update_password": "always"}
        if number % 2:
            return planner.request("POST", "/users/apply?dry_run=true", body).status_code
        return planner.request("POST", "/configuration/plan", {"configuration": {"users": [body]}}).status_code

    assert [guessed(number) for number in range(limit + 4)] == [200] * limit + [429] * 4
    right = {"username": "mia", "password": WORD, "update_password": "always"}
    refused = planner.request("POST", "/users/apply?dry_run=true", right)
    assert (refused.status_code, int(refused.headers["Retry-After"]) > 0) == (429, True)
    Browser(api, "203.0.113.7").log_in()
    changed = {**right, "password": "by the house, at last"}
    api.apply("users", status=429, **changed)
    api.apply("users", **{**changed, "update_password": "on_create"})


def test_who_declares_the_right_password_again_and_again_is_not_slowed_down(api: Api, mia: str) -> None:
    for _ in range(service.GUESSES.limit + 2):
        assert api.apply("users", username="mia", password=WORD, update_password="always")["changed"] is False
