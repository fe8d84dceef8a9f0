"""Try the example playbooks on a desk of their own: the check changes nothing, shows what the real run then does, and a
second run changes nothing.

Every table is dumped before and after each check; the two must be equal. The desk runs without a worker, and the
moment of a key's last use is left out, since both have nothing to do with what was asked.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import run
from desk import Desk, free_port
from toolchain import ROOT, ToolError, say

PLAYBOOKS = ("provision_service_levels.yml", "incident_on_failed_deployment.yml")
NOT_COMPARED = {"api_keys": {"last_used_at"}}
# What only the server gives, and so no check can know.
GIVEN_BY_SERVER = re.compile(
    r"TKT-[0-9]{6}|\(a new number\)|https?://[^ \"]*|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z| due -"
)


def dump(database: Path) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        connection.row_factory = sqlite3.Row
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: sorted(
                (
                    tuple(row[column] for column in row.keys() if column not in NOT_COMPARED.get(name, ()))  # noqa: SIM118
                    for row in connection.execute(f'SELECT * FROM "{name}"')  # noqa: S608 - a name from the database itself
                ),
                key=repr,
            )
            for name in names
        }


def play(desk: Desk, playbook: str, *options: str) -> tuple[str, int]:
    """What a playbook prints, and how many of its tasks changed something."""
    done = subprocess.run(
        [desk.environment.command("ansible-playbook"), str(ROOT / "playbooks" / playbook), *options],
        env={**run.ansible_variables(desk), "ANSIBLE_NOCOLOR": "1"},
        cwd=desk.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ToolError(f"playbooks/{playbook} {' '.join(options)} failed:\n{done.stdout}")
    return done.stdout, run.counts_of(done.stdout).get("changed", 0)


def differences(output: str) -> list[str]:
    """The lines that show a field before and after."""
    lines = [line for line in output.splitlines() if re.match(r"[+-](?!\+\+|--)", line)]
    return [GIVEN_BY_SERVER.sub("…", line).rstrip() for line in lines]


def require(holds: bool, what: str) -> None:
    if not holds:
        raise ToolError(what)


def check_like_run(desk: Desk, playbook: str) -> None:
    """One playbook: check, run, check again, run again."""
    before = dump(desk.database)
    checked, would = play(desk, playbook, "--check", "--diff")
    after = dump(desk.database)
    changed = [name for name in before if before[name] != after[name]]
    require(not changed, f"playbooks/{playbook} --check wrote into {', '.join(changed)}")
    ran, did = play(desk, playbook, "--diff")
    require(would == did, f"playbooks/{playbook}: the check promised {would} changes, the run made {did}")
    require(did > 0, f"playbooks/{playbook} changed nothing on an empty desk")
    require(
        differences(checked) == differences(ran),
        f"playbooks/{playbook}: the check showed\n{differences(checked)}\nthe run did\n{differences(ran)}",
    )
    for options in (["--check", "--diff"], ["--diff"]):
        settled = dump(desk.database)
        again, changes = play(desk, playbook, *options)
        require(changes == 0 and not differences(again), f"playbooks/{playbook} {options} changes something again")
        require(dump(desk.database) == settled, f"playbooks/{playbook} {options} said none and wrote all the same")
    say(f"playbooks/{playbook}: {did} changes, {len(differences(ran))} lines of difference, checked and run alike")


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--home", type=Path, required=True, help="folder for the desk; it is made anew")
    home: Path = options.parse_args().home.resolve()
    shutil.rmtree(home, ignore_errors=True)
    desk = Desk(home, free_port())
    try:
        desk.open(worker=False)
        for playbook in PLAYBOOKS:
            check_like_run(desk, playbook)
        desk.require_alive()
        desk.require_no_faults()
        with sqlite3.connect(desk.database) as connection:
            tickets = connection.execute("SELECT count(*) FROM tickets").fetchone()[0]
        require(tickets == 1, f"there is one incident, and the desk has {tickets} tickets")
    except ToolError as error:
        say(str(error))
        return 1
    finally:
        desk.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
