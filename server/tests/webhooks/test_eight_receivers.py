"""Eight receivers at once, each of another kind: exactly as many attempts as the schedule has, nothing inside is ever
called, and the healthy one waits for none of the others."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from conftest import Api, TurnedClock
from deskplane.app import Desk, make_worker
from faults import BLACK_HOLE, RESET, Fault, FaultProxy
from receivers import Script, receiver
from webhook_help import Receivers, receivers
from worker_help import running, wait_for

EVERY = 10
"""Attempts where all of them fail."""


@pytest.fixture
def hooks(desk: Desk, api: Api, clock: TurnedClock) -> Iterator[Receivers]:
    with receivers(desk, api, clock) as found:
        yield found


def test_eight_receivers_get_what_the_schedule_says(hooks: Receivers, monkeypatch: pytest.MonkeyPatch) -> None:
    trap, rebound = Script(), Script()
    ok = Script()
    with ExitStack() as stack:
        own, trapped = stack.enter_context(receiver(trap, "127.0.0.1"))
        address, port = stack.enter_context(receiver(rebound, "127.77.9.9"))
        slow_target = stack.enter_context(receiver(Script()))
        dripping = stack.enter_context(FaultProxy(slow_target, Fault(drip=0.05), "127.77.9.1"))
        resetting = stack.enter_context(FaultProxy(slow_target, RESET, "127.77.9.1"))
        looked_up = iter([[address]])

        def resolve(name: str, _port: int) -> list[str]:
            assert name == "twice.example"
            return next(looked_up, ["127.0.0.1"])

        hooks.outside(seconds=0.4, resolve=resolve)
        scripts = {
            "ok": ok,
            "redirect": Script([(302, {"Location": f"http://{own}:{trapped}/"}, b"")]),
            "thrice": Script([(500, {}, b"")] * 3 + [(200, {}, b"")]),
            "gone": Script([(410, {}, b"")]),
            "busy": Script([(429, {"Retry-After": "3600"}, b"")] * 2 + [(200, {}, b"")]),
        }
        ids = {name: hooks.hook(name, script) for name, script in scripts.items()}
        ids["drip"] = hooks.hook("drip", url=f"http://127.77.9.1:{dripping.port}/")
        ids["reset"] = hooks.hook("reset", url=f"http://127.77.9.1:{resetting.port}/")
        # a name that is first what it should be; from the second look-up on it is the machine itself
        rebound.answers = [(500, {}, b"")]
        ids["twice"] = hooks.hook("twice", url=f"http://twice.example:{port}/")
        hooks.ticket()
        for _ in range(120):
            hooks.drain()
            waiting = [entry for one in ids.values() for entry in hooks.deliveries(one, "?state=pending")]
            if not waiting:
                break
            hooks.turn_to(min(entry["next_at"] for entry in waiting))
        assert trap.got == [], "nothing ever reaches loopback"
        found = {name: hooks.one(one) for name, one in ids.items()}
    assert {name: (one["state"], one["attempts"]) for name, one in found.items()} == {
        "ok": ("succeeded", 1),
        "drip": ("failed", EVERY),
        "redirect": ("failed", EVERY),
        "reset": ("failed", EVERY),
        "thrice": ("succeeded", 4),
        "gone": ("failed", 1),
        "busy": ("succeeded", 3),
        "twice": ("failed", EVERY),
    }
    assert {name: len(script.got) for name, script in scripts.items()} == {
        "ok": 1, "redirect": EVERY, "thrice": 4, "gone": 1, "busy": 3,
    }  # fmt: skip
    assert (dripping.connections, resetting.connections, len(rebound.got)) == (EVERY, EVERY, 1)
    assert [entry["error"].partition(":")[0] for entry in found["twice"]["log"]] == (
        ["answered"] + ["refused_address"] * (EVERY - 1)
    )
    assert {entry["error"].partition(":")[0] for entry in found["drip"]["log"]} == {"timeout"}
    assert {entry["error"].partition(":")[0] for entry in found["reset"]["log"]} == {"connection"}
    assert hooks.api.call("GET", f"/webhooks/{ids['gone']}")["enabled"] is False


def latencies(hooks: Receivers, script: Script, count: int) -> list[float]:
    """Seconds from an event's message to its arrival, for so many tickets one after the other."""
    found = []
    for _ in range(count):
        before = len(script.got)
        begun = time.perf_counter()
        hooks.ticket()
        wait_for(lambda before=before: len(script.got) > before, 30)  # type: ignore[misc]
        found.append(time.perf_counter() - begun)
    return found


def test_black_holes_do_not_make_a_healthy_receiver_wait(hooks: Receivers) -> None:
    """Its latency with seven black holes is that without them; the bounds leave room for a machine that is busy."""
    hooks.outside(seconds=3.0)
    script = Script()
    hooks.hook("healthy", script)
    worker = make_worker(hooks.desk)
    worker._idle_seconds = 0.02
    with ExitStack() as stack, running(worker):
        target = stack.enter_context(receiver(Script()))
        latencies(hooks, script, 3)
        without = latencies(hooks, script, 12)
        for index in range(7):
            proxy = stack.enter_context(FaultProxy(target, BLACK_HOLE, "127.77.9.2"))
            hooks.hook(f"hole{index}", url=f"http://127.77.9.2:{proxy.port}/")
        hooks.ticket()
        time.sleep(0.3)  # until all of them are in flight
        with_holes = latencies(hooks, script, 12)
        stop(hooks)
    ratio = statistics.median(with_holes) / statistics.median(without)
    print(f"\nmedian latency alone {statistics.median(without):.4f} s; with black holes {ratio:.2f} of that")
    assert max(with_holes) < 2.5, "none of them waited for a black hole"
    assert ratio < 3


def stop(hooks: Receivers) -> None:
    """So that the worker has nothing in hand when it ends."""
    for entry in hooks.api.call("GET", "/webhooks")["items"]:
        hooks.api.apply("webhooks", name=entry["name"], enabled=False)
