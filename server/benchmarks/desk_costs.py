"""What a whole desk of 1,000 objects costs: the first apply, the one that changes nothing, and the plan."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from figures import Row
from servers import BenchmarkError, Desk, Server, memory_megabytes

OBJECTS = 1000
REPEATED = 5
PATH = "/api/v1/configuration"


def document() -> dict[str, Any]:
    """A desk as a company of 300 people has it, every object with a handful of fields and its references."""
    customers = [
        {"name": f"Customer {n}", "address": f"Street {n}", "notes": "A note.", "sla_policy": f"policy-{n % 50}"}
        for n in range(200)
    ]
    policies = [
        {
            "name": f"policy-{n}",
            "response_minutes": "30m",
            "resolution_minutes": "4h",
            "priorities": ["high", "critical"],
            "position": n,
        }
        for n in range(50)
    ]
    users = [
        {
            "username": f"user{n}",
            "email": f"user{n}@example.org",
            "first_name": "Mia",
            "last_name": f"Nr. {n}",
            "roles": ["agent"],
            "memberships": [{"customer": f"Customer {n % 200}", "role": "member"}],
            "default_department": f"Department {n % 100}",
        }
        for n in range(300)
    ]
    departments = [
        {
            "name": f"Department {n}",
            "customer": f"Customer {n}",
            "members": [f"user{n}", f"user{n + 1}", f"user{n + 2}"],
            "imap": {"server": "imap.example.org", "username": f"desk{n}", "password": f"a password {n}"},
            "notifications": {"recipients": ["leads@example.org"], "events": ["sla_breached"]},
        }
        for n in range(100)
    ]
    labels = [{"name": f"label-{n}", "color": "#ff0000"} for n in range(200)]
    webhooks = [
        {
            "name": "chat" if n < 100 else "pager",
            "department": f"Department {n % 100}",
            "url": "https://hooks.example.org/desk",
            "body": {"text": "${event}: ${ticket_number} ${subject}"},
            "events": ["ticket_created", "ticket_closed"],
        }
        for n in range(150)
    ]
    found = {
        "webhooks": webhooks,
        "departments": departments,
        "users": users,
        "customers": customers,
        "sla_policies": policies,
        "labels": labels,
    }
    if sum(map(len, found.values())) != OBJECTS:
        raise BenchmarkError(f"the document should hold {OBJECTS} objects")
    return found


def _timed(server: Server, verb: str, body: Any, *, changed: bool) -> float:
    begun = time.perf_counter()
    answer = server.ask("POST", f"{PATH}/{verb}", body)
    seconds = time.perf_counter() - begun
    if answer["changed"] is not changed:
        raise BenchmarkError(f"{verb}: expected changed={changed}, got {answer['summary']}")
    return seconds


def measure(directory: Path, rounds: int) -> Iterator[Row]:
    """Each round on an empty desk and a server that was just started, with one worker."""
    body = {"manager": "git:bench", "revision": "1", "configuration": document()}
    first, nothing, in_full, plans, first_plans, megabytes = [], [], [], [], [], []
    for turn in range(rounds):
        desk = Desk(directory / f"whole-{turn}")
        server = desk.start(1, 4, desk.prepare())
        try:
            server.wait()
            first_plans.append(_timed(server, "plan", body, changed=True))
            first.append(_timed(server, "apply", body, changed=True))
            repeated, planned = [], []
            for _ in range(REPEATED):
                repeated.append(_timed(server, "apply", body, changed=False))
                planned.append(_timed(server, "plan", body, changed=False))
            in_full.append(repeated[0])
            nothing.append(statistics.median(repeated))
            plans.append(statistics.median(planned))
            megabytes.append(max(memory_megabytes(pid)["rss"] for pid in server.workers()))
        finally:
            server.stop()
    yield Row(f"first apply of {OBJECTS:,} objects", statistics.median(first), " s", at_most=3, rounds=first)
    ratios = [one / other for one, other in zip(nothing, first, strict=True)]
    detail = f"{statistics.median(nothing):.3f} s"
    yield Row(
        "apply without change / first apply", statistics.median(ratios), at_most=0.5, detail=detail, rounds=ratios
    )
    ratios = [one / other for one, other in zip(in_full, first, strict=True)]
    detail = f"{statistics.median(in_full):.3f} s: a process looks through a document once, and then knows it"
    yield Row("the first apply without change / first apply", statistics.median(ratios), detail=detail, rounds=ratios)
    ratios = [one / other for one, other in zip(plans, nothing, strict=True)]
    yield Row("plan / apply, nothing to change", statistics.median(ratios), at_most=1.05, rounds=ratios)
    ratios = [one / other for one, other in zip(first_plans, first, strict=True)]
    detail = "the plan is the server's first request of its sort"
    yield Row("plan / apply, everything new", statistics.median(ratios), detail=detail, rounds=ratios)
    yield Row("memory of the worker (resident)", max(megabytes), " MB", at_most=200, rounds=megabytes)
