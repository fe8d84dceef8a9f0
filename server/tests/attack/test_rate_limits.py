"""How many requests a minute a caller may make: by address before anything is known of him, then by key or session,
over all servers.

Shown by taking the defence out: without `throttle.enter` the tests about addresses fail; without `throttle.known` those
about keys; with `Throttle.tell` doing nothing the one about two servers; without the lock in `hit`, the one about many
at once, most of the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from conftest import START, Api, TurnedClock, settings
from deskplane.app import Desk, create_app, make_desk
from deskplane.kernel import limits, throttle
from deskplane.kernel.throttle import Throttle
from login_help import Browser
from statements import recorded
from worker_help import wait_for

PROBLEM = "urn:deskplane:problem:too_many_requests"


def limit(api: Api, database: Any = None, **limits: int) -> Throttle:
    """Gives a test's server limits of its own."""
    found = api.client.application.extensions["deskplane"].throttle = Throttle(database, **limits)
    return found


def ask(api: Api, address: str = "192.0.2.1", path: str = "/labels", key: str | None = "") -> TestResponse:
    client = Api(api.client, api.key if key == "" else key, api.desk)
    return client.request("GET", path, environ_base={"REMOTE_ADDR": address})


def refused(answer: TestResponse, name: str) -> bool:
    """Whether it is one too many; and then that everything about it is as it should be."""
    if answer.status_code != 429:
        return False
    body = answer.get_json()
    assert (answer.content_type, body["type"]) == ("application/problem+json", PROBLEM)
    assert body["violated-policies"] == [name]
    assert 0 < int(answer.headers["Retry-After"]) <= 60
    assert f'"{name}";r=0;t={answer.headers["Retry-After"]}' in answer.headers["RateLimit"]
    return True


@pytest.mark.only_on("sqlite")
def test_a_key_has_so_many_requests_a_minute_wherever_they_come_from(api: Api, clock: TurnedClock) -> None:
    limit(api, per_key=5)
    other = api.as_user("other", roles=["viewer"])
    clock.turn(minutes=1)
    answers = [ask(api, f"192.0.2.{number}") for number in range(8)]
    assert [refused(answer, "key") for answer in answers] == [False] * 5 + [True] * 3
    assert [answer.headers["RateLimit"] for answer in answers[:2]] == ['"key";r=4;t=60', '"key";r=3;t=60']
    assert answers[0].headers["RateLimit-Policy"] == '"key";q=5;w=60'
    assert ask(other).status_code == 200, "another key has its own"
    clock.turn(seconds=59)
    assert refused(ask(api), "key")
    assert ask(api).headers["Retry-After"] == "1"
    clock.turn(seconds=1)
    assert ask(api).status_code == 200


@pytest.mark.only_on("sqlite")
def test_an_address_has_so_many_before_anything_is_known_of_it(api: Api) -> None:
    limit(api, per_address=6)
    paths = ("/labels", "/nothing", "/labels/nothing", "/docs", "/labels", "/version", "/labels", "/nothing")
    with recorded(api.desk) as statements:
        answers = [ask(api, path=path, key="dpk_000000000000_nonsense") for path in paths]
        asked = len(statements)
        assert refused(ask(api), "address"), "nor with a good key"
        assert refused(ask(api, path="/docs", key=None), "address")
        assert len(statements) == asked, "and that costs no look at the database"
    assert [refused(answer, "address") for answer in answers] == [False] * 6 + [True] * 2
    assert answers[1].headers["RateLimit"] == '"address";r=4;t=60'
    assert ask(api, "192.0.2.2").status_code == 200


@pytest.mark.only_on("sqlite")
def test_of_ipv6_a_network_counts_and_a_mapped_address_is_the_same(api: Api) -> None:
    limit(api, per_address=2)
    assert [ask(api, f"2001:db8:1:2::{number}").status_code for number in (1, 2, 3)] == [200, 200, 429]
    assert ask(api, "2001:db8:1:3::1").status_code == 200
    assert [ask(api, one).status_code for one in ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.1")] == [200, 200, 429]


@pytest.mark.only_on("sqlite")
def test_both_are_said_and_the_tighter_one_holds(api: Api) -> None:
    limit(api, per_address=9, per_key=2)
    first = ask(api)
    assert first.headers["RateLimit-Policy"] == '"address";q=9;w=60, "key";q=2;w=60'
    assert first.headers["RateLimit"] == '"address";r=8;t=60, "key";r=1;t=60'
    ask(api)
    assert refused(ask(api), "key")
    assert "key" not in ask(api, key=None).headers["RateLimit"], "who is not known has no key's"


@pytest.mark.only_on("sqlite")
def test_health_and_metrics_are_counted_on_their_own(api: Api) -> None:
    limit(api, per_address=3)
    for _ in range(3):
        ask(api)
    assert refused(ask(api), "address")
    assert [ask(api, path=path).status_code for path in ("/healthz", "/readyz", "/api/v1/metrics")] == [200, 200, 200]
    assert refused(ask(api, path="/healthz"), "address"), "and they are not for floods either"


@pytest.mark.only_on("sqlite")
def test_who_comes_by_a_socket_with_a_path_has_no_address_to_count_by(api: Api) -> None:
    limit(api, per_address=1)
    assert [ask(api, "").status_code for _ in range(3)] == [200, 200, 200]


@pytest.mark.only_on("sqlite")
def test_a_session_is_counted_as_a_key_is(api: Api, mia: str) -> None:
    browser, other = Browser(api), Browser(api)
    for one in (browser, other):
        one.log_in()
    limit(api, per_key=2)
    statuses = [browser.send("GET", "/session").status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
    assert refused(browser.send("GET", "/session"), "session")
    assert other.send("GET", "/session").status_code == 200


@pytest.mark.only_on("sqlite")
def test_without_limits_nothing_is_said(api: Api) -> None:
    answer = ask(api)
    assert not {"RateLimit", "RateLimit-Policy"} & set(answer.headers.keys())


@pytest.mark.only_on("sqlite")
def test_a_request_counts_once_however_often_its_transaction_is_begun(api: Api) -> None:
    limit(api, per_key=10)
    api.apply("labels", name="one")  # prepares, then writes
    number = api.call("POST", "/tickets", {"title": "x"}, 201)["number"]
    sent = {"Content-Disposition": "attachment; filename=a.txt"}
    answer = api.request("POST", f"/tickets/{number}/attachments", data=b"x", headers=sent)  # looks, then stores
    assert (answer.status_code, answer.headers["RateLimit"]) == (201, '"key";r=7;t=60')


@pytest.mark.only_on("sqlite")
def test_many_at_once_are_counted_one_by_one(clock: TurnedClock) -> None:
    found = Throttle(per_key=1000)
    with ThreadPoolExecutor(8) as pool:
        left = list(pool.map(lambda _: found.hit("one", 1000, clock).left, range(1500)))
    assert sorted(one for one in left if one >= 0) == list(range(1000))
    assert left.count(-1) == 500


@pytest.mark.only_on("sqlite")
def test_memory_is_bounded_and_those_who_ask_much_stay_known(
    clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttle, "MOST", 100)
    found = Throttle(per_address=64)
    for _ in range(64):
        found.hit("flood", 128, clock)
    for number in range(1000):
        found.hit(f"passer-by {number}", 128, clock)
        assert len(found._counts) <= 101
    assert found.hit("flood", 128, clock).left == 128 - 65


@contextmanager
def server_of(desk: Desk, **options: int) -> Iterator[tuple[Throttle, Api]]:
    """Another server on the same database, with limits from its settings."""
    url = desk.database.url.render_as_string(hide_password=False)
    other = make_desk(settings(url, **options), desk.clock)
    app = create_app(other)
    found: Throttle = app.extensions["deskplane"].throttle
    found._every = 3600  # told by hand, here
    try:
        yield found, Api(app.test_client(), None, other)
    finally:
        other.database.dispose()


def counted(api: Api) -> list[tuple[int, int]]:
    """What the database knows of: how many, until when."""
    rows = select(limits.RateCount.hits, limits.RateCount.until)
    return [tuple(row) for row in api.desk.database.run(lambda session: session.execute(rows).all(), write=False)]


def test_two_servers_count_together(api: Api, clock: TurnedClock) -> None:
    options = {"requests_per_minute_per_key": 200, "requests_per_minute_per_address": 0}
    with server_of(api.desk, **options) as (one, first), server_of(api.desk, **options) as (two, second):
        servers = [(one, first), (two, second)]
        good = 0
        for number in range(300):
            counting, server = servers[number % 2]
            server.key = api.key
            good += ask(server).status_code == 200
            if number % 20 > 17:
                counting.tell(clock)
        late = 200 // throttle.FEW + 20
        assert 200 <= good <= 200 + late, "what one let through since it told of it may be too many, and no more"
        for _, server in servers:
            assert refused(ask(server), "key")
        assert counted(api) == [(good, int(START.timestamp()) + 60)]
        clock.turn(minutes=1)
        assert ask(first).status_code == 200, "and the next minute begins anew"
        one.tell(clock)


def test_it_is_told_beside_the_requests_again_and_again(api: Api) -> None:
    with server_of(api.desk, requests_per_minute_per_key=64) as (counting, server):
        server.key, counting._every = api.key, 0.01
        for number in range(1, 4):
            ask(server)
            wait_for(lambda told=number: not counting._telling and [hits for hits, _ in counted(api)] == [told])


def test_who_asks_little_leaves_no_trace_in_the_database(api: Api, clock: TurnedClock) -> None:
    with server_of(api.desk, requests_per_minute_per_key=640) as (counting, server):
        server.key = api.key
        for _ in range(9):
            ask(server)
        with recorded(server.desk) as statements:
            counting.tell(clock)
        assert not statements
        ask(server)
        with recorded(server.desk) as statements:
            counting.tell(clock)
        assert len([one for one in statements if "rate_counts" in str(one)]) == 1


def test_without_the_database_each_server_holds_to_the_limit_by_itself(
    api: Api, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = limit(api, api.desk.database, per_key=4)
    counting._every = 3600
    run = api.desk.database.run

    def away(work: Any, *, write: bool, **more: Any) -> Any:
        if write:
            raise AssertionError("the database is away")
        return run(work, write=write, **more)

    monkeypatch.setattr(api.desk.database, "run", away)
    assert [ask(api).status_code for _ in range(5)] == [200] * 4 + [429]
    with pytest.raises(AssertionError):
        counting.tell(clock)
    assert ask(api).status_code == 429
