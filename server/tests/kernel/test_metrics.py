"""The metrics: what Prometheus' own checker says of them, what they count, and what they cost."""

from __future__ import annotations

import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from conftest import Api, TurnedClock
from deskplane.app import Desk, make_worker
from deskplane.outbox.schedules import Job
from deskplane.tickets import sla_counts
from statements import recorded

TOOLS = Path(__file__).resolve().parents[3] / "tools"


def promtool() -> str:
    """Prometheus' checker, from the system's packages."""
    if shutil.which("promtool") is None:
        sys.path.insert(0, str(TOOLS))
        from toolchain import require_program

        require_program("promtool", "prometheus")
    found = shutil.which("promtool")
    assert found is not None, "apt-get install prometheus"
    return found


def scraped(api: Api) -> str:
    return api.request("GET", "/metrics").get_data(as_text=True)


def samples(api: Api, name: str) -> dict[tuple[str, ...], float]:
    """The values of one metric, by the values of its labels."""
    return {
        tuple(sample.labels.values()): sample.value
        for family in text_string_to_metric_families(scraped(api))
        for sample in family.samples
        if sample.name == name
    }


def value(api: Api, name: str) -> float:
    (found,) = samples(api, name).values()
    return found


@pytest.mark.feature("F273", "F274")
def test_prometheus_finds_nothing_to_say_against_them(api: Api, desk: Desk, clock: TurnedClock) -> None:
    api.apply("sla-policies", name="gold", response_minutes=60)
    api.call("POST", "/tickets", {"title": "One"}, 201)
    jobs = make_worker(desk)._schedules
    jobs.run_due()
    clock.turn(hours=1)
    jobs.run_due()
    done = subprocess.run([promtool(), "check", "metrics"], input=scraped(api), capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    broken = scraped(api).replace("# HELP deskplane_workers ", "# HELP deskplane_others ")
    assert subprocess.run([promtool(), "check", "metrics"], input=broken, capture_output=True, text=True).returncode


@pytest.mark.feature("F274")
def test_they_say_how_the_scrape_before_ended(api: Api, clock: TurnedClock) -> None:
    scraper = api.as_user("scraper", roles=["metrics"])
    scraped(scraper)
    assert value(scraper, "deskplane_metrics_last_access_success") == 1
    at = clock.now().timestamp()
    clock.turn(minutes=1)
    assert value(scraper, "deskplane_metrics_last_access_timestamp_seconds") == at
    assert value(scraper, "deskplane_metrics_last_access_timestamp_seconds") == at + 60
    clock.turn(minutes=1)
    for stranger in (Api(api.client, None, api.desk), Api(api.client, "dpk_000000000000_x", api.desk)):
        assert stranger.request("GET", "/metrics").status_code == 401
        assert value(scraper, "deskplane_metrics_last_access_success") == 0
    clock.turn(minutes=-1)
    scraped(scraper)
    api.as_user("nobody").request("GET", "/metrics")
    last = "deskplane_metrics_last_access_timestamp_seconds"
    families = {
        sample.name: sample.value
        for family in text_string_to_metric_families(scraped(scraper))
        for sample in family.samples
    }
    assert (families["deskplane_metrics_last_access_success"], families[last]) == (0, at + 60)


NEVER = """
import os, tempfile
os.environ["PROMETHEUS_MULTIPROC_DIR"] = tempfile.mkdtemp()
from datetime import UTC, datetime
from deskplane.kernel import metrics

def shown():
    lines = metrics.exposition(list).decode().splitlines()
    return [line for line in lines if line.startswith("deskplane_metrics")]

print(shown())
metrics.note_scrape(True, datetime.fromtimestamp(100, UTC))
child = os.fork()
if not child:
    metrics.note_scrape(False, datetime.fromtimestamp(200, UTC))
    os._exit(0)
os.waitpid(child, 0)
print(shown())
"""


@pytest.mark.feature("F274")
def test_before_the_first_scrape_they_say_so_and_processes_agree() -> None:
    done = subprocess.run([sys.executable, "-c", NEVER], capture_output=True, text=True, check=True, timeout=60)
    never, failed = done.stdout.splitlines()
    stamp, success = "deskplane_metrics_last_access_timestamp_seconds", "deskplane_metrics_last_access_success"
    assert never == str([f"{stamp} 0.0", f"{success} -1.0"])
    assert failed == str([f"{stamp} 100.0", f"{success} 0.0"])


def count_clocks(desk: Desk) -> None:
    found = desk.database.run(lambda session: sla_counts.count(session, desk.clock.now()), write=False)
    desk.database.run(lambda session: sla_counts.store(session, found), write=True)


def test_states_of_clocks_are_those_that_the_tickets_show(
    api: Api, desk: Desk, clock: TurnedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sla_counts, "STEP", 4)
    api.apply(
        "sla-policies",
        name="gold",
        priorities=["critical", "high"],
        response_minutes=60,
        resolution_minutes=300,
        warn_minutes=30,
        critical_minutes=10,
    )
    assert set(samples(api, "deskplane_sla_clocks").values()) == {0}
    for minutes in (0, 45, 20, 1, 25, 10):
        for status in ("open", "waiting", "closed"):
            body = {"title": f"{minutes}", "status": status, "priority": "high" if minutes else "low"}
            number = api.call("POST", "/tickets", body, 201)["number"]
            if minutes == 25:
                hello = {"body": "Hello", "direction": "outbound"}
                api.call("POST", f"/tickets/{number}/messages", hello, 201)
        clock.turn(minutes=minutes)
    shown: dict[tuple[str, ...], float] = {}
    for ticket in api.call("GET", "/tickets?limit=200&open=true")["items"]:
        for name in ("response", "resolution"):
            state = ticket["sla"][name]["state"]
            if state != "none":
                shown[name, state] = shown.get((name, state), 0) + 1
    assert {state for _name, state in shown} == set(sla_counts.STATES)
    assert set(samples(api, "deskplane_sla_clocks").values()) == {0}, "a scrape counts nothing"
    count_clocks(desk)
    found = samples(api, "deskplane_sla_clocks")
    assert {key: number for key, number in found.items() if number} == shown
    assert value(api, "deskplane_sla_counted_timestamp_seconds") == clock.now().timestamp()
    count_clocks(desk)
    assert samples(api, "deskplane_sla_clocks") == found


def test_a_worker_counts_them_every_minute(api: Api, desk: Desk, clock: TurnedClock) -> None:
    jobs = make_worker(desk)._schedules
    jobs.run_due()
    clock.turn(minutes=1)
    assert "counts of clocks" in jobs.run_due()
    assert value(api, "deskplane_sla_counted_timestamp_seconds") == clock.now().timestamp()


def test_a_scrape_reads_no_ticket(api: Api, desk: Desk) -> None:
    api.call("POST", "/tickets", {"title": "One"}, 201)
    with recorded(desk) as statements:
        assert samples(api, "deskplane_tickets")["open",] == 1
    assert len(statements) > 5
    assert not [statement for statement in statements if "FROM tickets" in statement]


@pytest.mark.provokes("a periodic job failed")
def test_readyz_says_which_job_is_late_and_which_fails(api: Api, desk: Desk, clock: TurnedClock) -> None:
    found = make_worker(desk)._schedules
    found.run_due()

    def warnings() -> list[Any]:
        return [text for text in api.call("GET", "/readyz")["warnings"] if "periodic job" in text]

    assert warnings() == []
    clock.turn(minutes=12)
    assert "the periodic job 'service levels' has been due for 11 minutes" in warnings()
    assert not [text for text in warnings() if "clean-up" in text], "its hour is not over"
    found.run_due()
    assert warnings() == []
    jobs = found._jobs

    def broken(session: Any) -> None:
        raise RuntimeError("no luck")

    found._jobs = [Job("clean-up", timedelta(hours=1), broken)]
    clock.turn(hours=1)
    found.run_due()
    assert "the periodic job 'clean-up' failed; the alerts and the worker's log say why" in warnings()
    found._jobs = jobs
    clock.turn(minutes=2)
    found.run_due()
    assert warnings() == []
