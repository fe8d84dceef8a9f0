"""Measures the server against the reference skeleton and against its bars; ends with 1 where a bar is missed.

Every figure is a ratio taken within one run: the two sides take turns in short slices (A B B A), five rounds, and the
median of the rounds' ratios counts. Absolute rates are printed beside it, they belong to this machine and this hour.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import signal
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import ansible_costs
import ansible_desk
import desk_costs
import seed
import webhook_costs
from figures import HEAD, Row, percentile, summary, table
from seed import TICKETS
from servers import HERE, BenchmarkError, Desk, Generator, Server, memory_megabytes, start_reference

WORKERS, THREADS = 2, 4
CONNECTIONS = 8
CORES = 2
TURNS = 4  # A B B A this often in a round: many short slices, because a neighbour's burst lasts about a second
SMALL, LARGE = 1_000, 100_000
Requests = list[list[Any]]


@dataclass
class Side:
    """One of the two that take turns."""

    server: Server
    requests: Requests
    seen: list[dict[str, Any]] = field(default_factory=list)

    def rate(self, last: int = 0) -> float:
        seen = self.seen[-last:]
        return float(sum(one["count"] for one in seen) / sum(one["seconds"] for one in seen))

    def processor_us(self) -> float:
        return float(sum(s["server_processor_seconds"] for s in self.seen) / sum(s["count"] for s in self.seen) * 1e6)

    def median_us(self) -> float:
        return statistics.median(percentile(one["latencies_us"], 0.5) for one in self.seen)


class Bench:
    """The servers, each started when the first measure asks for it."""

    def __init__(self, directory: Path, quick: bool) -> None:
        self.directory = directory
        self.quick = quick
        self.rounds = 3 if quick else 5
        self.slice = 0.1 if quick else 0.25
        self.started: list[Server] = []
        self.generator = Generator()
        self.generator_share: list[float] = []

    def close(self) -> None:
        self.generator.close()
        for server in self.started:
            server.stop()

    def keep(self, server: Server, target: str = "/healthz") -> Server:
        self.started.append(server)
        server.wait(target)
        return server

    @cached_property
    def reference(self) -> Server:
        key = seed.seed_reference(self.directory / "reference.db", SMALL)
        server = self.keep(start_reference(self.directory, WORKERS, THREADS))
        server.key = key
        return server

    @cached_property
    def seeded(self) -> tuple[Desk, str]:
        """A desk of SMALL tickets, made through its own API, and not running."""
        desk = Desk(self.directory / "small")
        key = desk.prepare()
        server = desk.start(WORKERS, THREADS, key)
        try:
            server.wait()
            seed.seed_desk(server, SMALL)
        finally:
            server.stop()
        return desk, key

    @cached_property
    def desk(self) -> Server:
        desk, key = self.seeded
        return self.keep(desk.start(WORKERS, THREADS, key))

    @cached_property
    def large(self) -> Server:
        small, key = self.seeded
        if "desk" in self.__dict__:
            raise AssertionError("the large desk is copied from the small one before that one runs")
        desk = Desk(self.directory / "large")
        seed.grow(small.database, desk.database, LARGE)
        desk.environment["DESKPLANE_SECRET_KEY_FILE"] = small.environment["DESKPLANE_SECRET_KEY_FILE"]
        return self.keep(desk.start(WORKERS, THREADS, key))

    def slice_of(self, side: Side, connections: int, expect: int, seconds: float) -> None:
        seen = self.generator.run(side.server, side.requests, seconds=seconds, connections=connections, expect=expect)
        self.generator_share.append(seen["processor_seconds"] / seen["seconds"] / CORES)
        side.seen.append(seen)

    def turns(self, ours: Side, theirs: Side, *, connections: int = CONNECTIONS, expect: int = 200) -> list[float]:
        """Our rate divided by theirs, one ratio a round."""
        for side in (ours, theirs):  # connections, prepared statements and caches: once before anything counts
            self.slice_of(side, connections, expect, 0.5)
            side.seen.clear()
        ratios = []
        for _ in range(self.rounds):
            for side in (theirs, ours, ours, theirs) * TURNS:
                self.slice_of(side, connections, expect, self.slice)
            ratios.append(ours.rate(2 * TURNS) / theirs.rate(2 * TURNS))
        return ratios


def reads(server: Server) -> Requests:
    """So many different tickets that no answer can be a remembered one; the same on every side."""
    random.seed(2)
    return [["GET", f"{TICKETS}/TKT-{n:06d}", None] for n in random.sample(range(1, SMALL + 1), 500)]


def listing(server: Server) -> Requests:
    return [["GET", f"{TICKETS}?status=open&limit=50", None]]


def creations(server: Server) -> Requests:
    return [["POST", TICKETS, seed.created(n)] for n in range(4)]


def pings(server: Server) -> Requests:
    return [["GET", "/healthz", None]]


def beside_reference(bench: Bench, what: str, requests: Callable[[Server], Requests], bar: float | None) -> Row:
    ours, theirs = (Side(server, requests(server)) for server in (bench.desk, bench.reference))
    ratios = bench.turns(ours, theirs, expect=201 if requests is creations else 200)
    detail = (
        f"{ours.rate():,.0f}/s against {theirs.rate():,.0f}/s; processor "
        f"{ours.processor_us():,.0f} against {theirs.processor_us():,.0f} us a request "
        f"(ratio {theirs.processor_us() / ours.processor_us():.2f})"
    )
    return Row(what, statistics.median(ratios), at_least=bar, detail=detail, rounds=ratios)


def skeleton_reads(bench: Bench) -> Iterator[Row]:
    same_shape(bench)
    yield beside_reference(bench, "ping / skeleton", pings, None)
    yield beside_reference(bench, "get a ticket / skeleton", reads, 0.35)
    yield beside_reference(bench, "list of 50 with a filter / skeleton", listing, 0.25)


def skeleton_create(bench: Bench) -> Iterator[Row]:
    yield beside_reference(bench, "create (synchronous=FULL) / skeleton", creations, 0.30)


def same_shape(bench: Bench) -> None:
    """A ratio means nothing unless both answer the same: the fields of a ticket, fifty to a page."""
    servers = (bench.desk, bench.reference)
    pages = [server.ask("GET", listing(server)[0][1])["items"] for server in servers]
    if [len(page) for page in pages] != [50, 50]:
        raise BenchmarkError(f"a page should hold 50 tickets, they hold {[len(page) for page in pages]}")
    singles = [server.ask("GET", reads(server)[0][1]) for server in servers]
    for ours, theirs in ((pages[0][0], pages[1][0]), singles):
        if set(ours) != set(theirs):
            raise BenchmarkError(f"desk and reference differ in {', '.join(sorted(set(ours) ^ set(theirs)))}")


def scale(bench: Bench) -> Iterator[Row]:
    large, small = bench.large, bench.desk
    wanted = {"get": reads(small), **{name: [["GET", target, None]] for name, target in seed.LISTINGS.items()}}
    for name, requests in wanted.items():
        for server in (large, small):
            if name != "get" and len(server.ask("GET", requests[0][1])["items"]) != 50:
                raise BenchmarkError(f"{requests[0][1]}: not 50 tickets on the {server.log.parent.name} desk")
        if name == "get":
            random.seed(3)
            spread = [["GET", f"{TICKETS}/TKT-{n:06d}", None] for n in random.sample(range(1, LARGE + 1), 5000)]
        ours, theirs = Side(large, spread if name == "get" else requests), Side(small, requests)
        costs = [1 / ratio for ratio in bench.turns(ours, theirs, connections=2)]
        detail = f"median {ours.median_us() / 1000:.2f} ms against {theirs.median_us() / 1000:.2f} ms, 2 connections"
        yield Row(
            f"{name}: 100,000 / 1,000 tickets", statistics.median(costs), at_most=1.5, detail=detail, rounds=costs
        )


def tail(bench: Bench) -> Iterator[Row]:
    side, ratios = Side(bench.desk, creations(bench.desk)), []
    bench.slice_of(side, 16, 201, 0.5)
    for _ in range(bench.rounds):
        bench.slice_of(side, 16, 201, 1.0 if bench.quick else 3.0)
        ordered = side.seen[-1]["latencies_us"]
        ratios.append(percentile(ordered, 0.99) / percentile(ordered, 0.5))
    ordered = sorted(one for seen in side.seen[1:] for one in seen["latencies_us"])
    half, high = percentile(ordered, 0.5) / 1000, percentile(ordered, 0.99) / 1000
    detail = f"p50 {half:.1f} ms, p99 {high:.1f} ms over {len(ordered):,} creations"
    yield Row("create, 16 clients: p99 / p50", statistics.median(ratios), at_most=8, detail=detail, rounds=ratios)


def memory(bench: Bench) -> Iterator[Row]:
    """After load of every kind on each worker; the worst worker counts."""
    for requests, expect in ((reads, 200), (listing, 200), (creations, 201)):
        bench.slice_of(Side(bench.desk, requests(bench.desk)), 16, expect, 1.0)
    measured = [memory_megabytes(pid) for pid in bench.desk.workers()]
    detail = "; ".join(f"resident {one['rss']:.0f}, proportional {one['pss']:.0f}" for one in measured)
    yield Row("memory of a worker (resident)", max(one["rss"] for one in measured), " MB", at_most=150, detail=detail)


def start(bench: Bench) -> Iterator[Row]:
    small, key = bench.seeded
    if bench.started and "desk" in bench.__dict__:
        bench.desk.stop()
    healthy, answered, fresh = [], [], []
    for turn in range(bench.rounds):
        server = small.start(WORKERS, THREADS, key)
        try:
            healthy.append(server.wait("/healthz"))
            answered.append(server.wait(f"{TICKETS}/TKT-000001"))
        finally:
            server.stop()
        server = Desk(bench.directory / f"fresh-{turn}").start(WORKERS, THREADS)
        try:
            fresh.append(server.wait("/healthz"))
        finally:
            server.stop()
    yield Row("start to the first /healthz", statistics.median(healthy), " s", at_most=2, rounds=healthy)
    yield Row("start to the first ticket, with a key", statistics.median(answered), " s", at_most=2, rounds=answered)
    yield Row("start on no database (migrations included)", statistics.median(fresh), " s", at_most=2, rounds=fresh)


def ansible(bench: Bench) -> Iterator[Row]:
    yield from ansible_costs.measure(bench.desk, bench.directory, 1 if bench.quick else 5)


def webhooks(bench: Bench) -> Iterator[Row]:
    yield from webhook_costs.measure(bench.directory, bench.rounds)


def whole_desk(bench: Bench) -> Iterator[Row]:
    yield from desk_costs.measure(bench.directory, bench.rounds)
    yield from ansible_desk.measure(bench.directory, 1 if bench.quick else 3)


# In this order: the large desk is a copy of the small one before it runs, and what writes comes after what reads.
MEASURES: dict[str, Callable[[Bench], Iterator[Row]]] = {
    "scale": scale,
    "read": skeleton_reads,
    "create": skeleton_create,
    "tail": tail,
    "memory": memory,
    "webhooks": webhooks,
    "ansible": ansible,
    "desk": whole_desk,
    "start": start,
}


@contextmanager
def working_directory(keep: str | None) -> Iterator[Path]:
    directory = Path(keep).resolve() if keep else Path(tempfile.mkdtemp(prefix="deskplane-bench-"))
    directory.mkdir(parents=True, exist_ok=True)
    try:
        yield directory
    finally:
        if not keep:
            shutil.rmtree(directory, ignore_errors=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="short slices, three rounds: a smoke test")
    parser.add_argument("--only", action="append", choices=list(MEASURES), help="this measure only; may be given again")
    parser.add_argument("--write-docs", action="store_true", help="put the table into docs/performance.md")
    parser.add_argument("--json", action="store_true", help="print one JSON document instead of the table")
    parser.add_argument("--directory", help="keep databases and logs in this (empty) directory")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped then, too
    measured: dict[str, list[Row]] = {}
    with working_directory(options.directory) as directory:
        bench = Bench(directory, options.quick)
        if not options.json:
            print(HEAD)
        try:
            for name, measure in MEASURES.items():
                if not options.only or name in options.only:
                    for row in measure(bench):
                        measured.setdefault(name, []).append(row)
                        if not options.json:
                            print(row, flush=True)
        except BenchmarkError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
        finally:
            bench.close()
    rows = [row for some in measured.values() for row in some]
    share = statistics.median(bench.generator_share) if bench.generator_share else 0.0
    circumstances = (
        f"The load generator took {share:.0%} of {CORES} cores; {CONNECTIONS} connections unless said otherwise; each "
        f"server had {WORKERS} workers with {THREADS} threads."
    )
    if options.json:
        made = [{**asdict(row), "bar": row.bar, "ok": row.ok} for row in rows]
        print(json.dumps({"rows": made, "generator_share": share, "workers": WORKERS, "threads": THREADS}, indent=2))
    else:
        print(f"\n{circumstances}\n{summary(rows)}")
    if options.write_docs:
        desk = measured.pop("desk", [])
        others = [row for some in measured.values() for row in some]
        if desk:
            write_docs("desk figures", [table(desk), f"{summary(desk)}."])
        if others:
            write_docs("figures", [table(others), circumstances, f"{summary(others)}."])
    return 0 if all(row.ok for row in rows) else 1


def write_docs(what: str, paragraphs: list[str]) -> None:
    """Puts figures between their two marks in docs/performance.md."""
    page = HERE.parents[1] / "docs" / "performance.md"
    text = page.read_text()
    begin, end = f"<!-- {what}: written by run.py --write-docs -->\n", f"<!-- end of {what} -->"
    before, after = text.split(begin)[0], text.split(end)[1]
    page.write_text(before + begin + "\n" + "\n\n".join(paragraphs) + "\n\n" + end + after)


if __name__ == "__main__":
    sys.exit(main())
