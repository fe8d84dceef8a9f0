"""Measures what counting requests costs: a server that counts them beside one without limits, on one SQLite.

With --code, a folder with another version's package `deskplane`, the other one runs that instead: what everything
costs that came since. Its migrations must be known here. The two take turns in short slices, as in machines.py.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from machines import WORK, beside
from seed import TICKETS
from servers import BenchmarkError, Desk, Generator, Server

NO_LIMITS = {"DESKPLANE_REQUESTS_PER_MINUTE_PER_ADDRESS": "0", "DESKPLANE_REQUESTS_PER_MINUTE_PER_KEY": "0"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15, help="how often each is measured (default: 15)")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a slice (default: 0.5)")
    parser.add_argument("--code", type=Path, help="folder with the package that the other one runs")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="deskplane-limits-") as folder, ExitStack() as stack:
        desk = Desk(Path(folder))
        key = desk.prepare()
        generators = [Generator()]
        stack.callback(generators[0].close)

        def started(**environment: str) -> list[Server]:
            counted = dict(desk.environment)
            desk.environment.update(environment)
            server = desk.start(1, 4, key)
            desk.environment = counted
            stack.callback(server.stop)
            server.wait()
            return [server]

        base = started(**({"PYTHONPATH": str(options.code.resolve())} if options.code else NO_LIMITS))
        counting = started()
        numbers = [base[0].ask("POST", TICKETS, {"title": f"t{index}"})["number"] for index in range(500)]
        print("| work | requests a second, beside the other | processor time of a request, beside it |")
        print("|---|---|---|")
        for work in WORK:
            ratio, cost = beside(generators, base, counting, work, numbers, options.rounds, options.seconds)
            print(f"| {work} | {ratio:.3f} | {cost:.3f} |", flush=True)


if __name__ == "__main__":
    try:
        main()
    except BenchmarkError as error:
        sys.exit(f"limits.py: {error}")
