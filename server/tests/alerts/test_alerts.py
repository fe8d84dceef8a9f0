"""Alerts: one for a trouble however often it is seen, told once, until it is over."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from conftest import Api, TurnedClock
from deskplane.alerts import service
from deskplane.app import Desk, make_worker
from deskplane.kernel.work import Work
from deskplane.outbox.models import Message

KIND = "agent_quota"


def do(desk: Desk, act: Callable[[Work], Any]) -> Any:
    return desk.database.run(lambda session: act(desk.automation(session)), write=True)


def raise_(desk: Desk, key: str = "acme", text: str = "too many") -> bool:
    found: bool = do(desk, lambda work: service.raise_alert(work, KIND, key, text))
    return found


def told(desk: Desk) -> list[dict[str, Any]]:
    with desk.database.transaction(write=False) as session:
        rows = session.execute(select(Message.payload).where(Message.topic == service.TOPIC).order_by(Message.id))
        return list(rows.scalars())


def alerts(api: Api, query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = api.call("GET", f"/alerts{query}")["items"]
    return found


def test_a_trouble_that_is_seen_again_is_the_same_alert_and_is_told_once(
    api: Api, desk: Desk, clock: TurnedClock
) -> None:
    assert raise_(desk, text="3 agents, 2 allowed") is True
    clock.turn(hours=1)
    assert raise_(desk, text="4 agents, 2 allowed") is False
    assert raise_(desk, key="other") is True
    newest, first = alerts(api, "?open=true")
    assert (newest["key"], newest["count"]) == ("other", 1)
    assert (first["kind"], first["key"], first["text"], first["count"]) == (KIND, "acme", "4 agents, 2 allowed", 2)
    assert (first["first_seen_at"], first["last_seen_at"]) == ("2026-03-02T09:00:00Z", "2026-03-02T10:00:00Z")
    assert (first["open"], first["cleared_at"]) == (True, None)
    messages = told(desk)
    assert [message["key"] for message in messages] == ["acme", "other"]
    assert messages[0] == {
        "id": first["id"],
        "kind": KIND,
        "key": "acme",
        "text": "3 agents, 2 allowed",
        "at": "2026-03-02T09:00:00Z",
    }


def test_one_that_is_over_opens_anew_when_it_comes_back(api: Api, desk: Desk, clock: TurnedClock) -> None:
    raise_(desk)
    clock.turn(hours=1)
    assert do(desk, lambda work: service.clear_alert(work, KIND, "acme")) is True
    assert do(desk, lambda work: service.clear_alert(work, KIND, "acme")) is False
    (over,) = alerts(api, "?open=false")
    assert (over["open"], over["cleared_at"]) == (False, "2026-03-02T10:00:00Z")
    assert alerts(api, "?open=true") == []
    clock.turn(hours=1)
    assert raise_(desk) is True
    assert [(alert["open"], alert["count"]) for alert in alerts(api)] == [(True, 1), (False, 1)]
    assert len(told(desk)) == 2


def test_several_at_once_raise_one(api: Api, desk: Desk) -> None:
    results: list[bool] = []
    threads = [threading.Thread(target=lambda: results.append(raise_(desk))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(results) == [False] * 7 + [True]
    assert [alert["count"] for alert in alerts(api)] == [8]
    assert len(told(desk)) == 1


def test_a_transaction_that_fails_raises_none(api: Api, desk: Desk) -> None:
    def fail(work: Work) -> None:
        service.raise_alert(work, KIND, "acme", "x")
        raise RuntimeError("something else went wrong")

    with pytest.raises(RuntimeError):
        do(desk, fail)
    assert (alerts(api), told(desk)) == ([], [])


def test_a_kind_that_nobody_declared_is_refused(desk: Desk) -> None:
    with pytest.raises(KeyError, match="no kind of alert: nonsense"):
        do(desk, lambda work: service.raise_alert(work, "nonsense", "x", "y"))


def test_whatever_a_mail_server_said_can_be_stored(api: Api, desk: Desk) -> None:
    raise_(desk, text="said \0 and \udc80" + "x" * 3000)
    (alert,) = alerts(api)
    assert alert["text"].startswith("said ? and ?x")
    assert len(alert["text"]) == service.LONGEST


def test_who_noticed_an_alert_first_stays_on_it(api: Api, desk: Desk, clock: TurnedClock) -> None:
    raise_(desk)
    (alert,) = alerts(api)
    assert alert["acknowledged_by"] is None
    other = api.as_user("mia", roles=["admin"])
    path = f"/alerts/{alert['id']}/acknowledge"
    found = other.call("POST", path)
    assert (found["acknowledged_by"], found["acknowledged_at"]) == ("mia", "2026-03-02T09:00:00Z")
    clock.turn(hours=1)
    assert api.call("POST", path) == found
    assert alerts(api) == [found]
    assert found["open"] is True
    api.call("POST", "/alerts/nothing/acknowledge", status=404)


def test_alerts_come_in_pages_and_by_kind(api: Api, desk: Desk, clock: TurnedClock) -> None:
    for index in range(5):
        raise_(desk, key=f"number {index}")
        clock.turn(seconds=index % 2)
    seen: list[str] = []
    cursor = ""
    while True:
        page = api.call("GET", f"/alerts?limit=2&kind={KIND}{cursor}")
        seen += [alert["key"] for alert in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == [f"number {index}" for index in (4, 3, 2, 1, 0)]
    assert api.call("GET", "/alerts?kind=nonsense", status=422)["errors"][0]["pointer"] == "#/kind"


def test_open_alerts_are_a_metric(api: Api, desk: Desk) -> None:
    def gauge() -> str:
        text = api.request("GET", "/metrics").get_data(as_text=True)
        return next(line for line in text.splitlines() if line.startswith(f'deskplane_alerts{{kind="{KIND}"'))

    assert gauge().endswith(" 0.0")
    raise_(desk)
    raise_(desk, key="other")
    assert gauge().endswith(" 2.0")
    do(desk, lambda work: service.clear_alert(work, KIND, "acme"))
    assert gauge().endswith(" 1.0")


def test_the_worker_takes_them_out_of_the_outbox_and_forgets_those_of_long_ago(
    api: Api, desk: Desk, clock: TurnedClock
) -> None:
    raise_(desk)
    make_worker(desk).drain_once()
    assert told(desk) == []
    do(desk, lambda work: service.clear_alert(work, KIND, "acme"))
    raise_(desk, key="lasts")

    def forget(session: Session) -> None:
        service.forget_old(session, clock.now())

    clock.turn(days=365)
    desk.database.run(forget, write=True)
    assert len(alerts(api)) == 2
    clock.turn(seconds=1)
    desk.database.run(forget, write=True)
    assert [alert["key"] for alert in alerts(api)] == ["lasts"]


def test_the_documentation_tells_of_every_kind_and_every_job(desk: Desk) -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "background-work.md").read_text()
    told = set(re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE))
    jobs = {job.name for job in make_worker(desk)._schedules._jobs}
    assert set(service.KINDS) <= told, "docs/background-work.md says what each kind of alert means"
    assert jobs <= told, "docs/background-work.md says what each job does"
