"""`make run`: a desk on this machine, filled by the example playbooks, that serves until Ctrl-C.

Everything it makes lies below var/ and is used again by the next run.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import toolchain
from desk import Desk, usable_port
from toolchain import ROOT, ToolError, say

PLAYBOOKS = ("provision_service_levels.yml", "incident_on_failed_deployment.yml")
RECAP = re.compile(r"^\S+\s+: (?P<counts>ok=\d+ .*)$", re.MULTILINE)


class Stop(Exception):
    """Raised by Ctrl-C or SIGTERM wherever we are, so that one `finally` stops what was started."""


def stop_on_signal(_number: int, _frame: FrameType | None) -> None:
    # Once is enough: make passes on what the terminal has sent already.
    ignore_signals()
    raise Stop


def ignore_signals() -> None:
    """From here on nothing interrupts the stopping."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)


def collections_path() -> Path:
    """A collections folder in which this checkout stands as deskplane.helpdesk."""
    link = toolchain.CACHE / "collections" / "ansible_collections" / "deskplane" / "helpdesk"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not (link.is_symlink() and link.resolve() == ROOT):
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT, target_is_directory=True)
    return toolchain.CACHE / "collections"


def ansible_variables(desk: Desk) -> dict[str, str]:
    home = desk.home / "ansible"
    home.mkdir(exist_ok=True)
    return {
        **toolchain.tool_environment(desk.environment, home),
        "ANSIBLE_HOME": str(home),
        "ANSIBLE_COLLECTIONS_PATH": str(collections_path()),
        "ANSIBLE_LOCALHOST_WARNING": "false",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
        "ANSIBLE_RETRY_FILES_ENABLED": "false",
        "DESKPLANE_URL": desk.url,
        "DESKPLANE_API_KEY": desk.key,
    }


def counts_of(output: str) -> dict[str, int]:
    """The recap's numbers, summed over hosts."""
    total: dict[str, int] = {}
    for recap in RECAP.finditer(output):
        for pair in recap["counts"].split():
            name, _, number = pair.partition("=")
            total[name] = total.get(name, 0) + int(number)
    return total


def apply(playbook: str, desk: Desk) -> int:
    """Run one example playbook; returns how many tasks changed something."""
    done = subprocess.run(
        [desk.environment.command("ansible-playbook"), str(ROOT / "playbooks" / playbook)],
        env=ansible_variables(desk),
        cwd=desk.home,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    (desk.log / f"{Path(playbook).stem}.log").write_text(done.stdout)
    counts = counts_of(done.stdout)
    if done.returncode or not counts:
        say(done.stdout)
        raise ToolError(
            f"playbooks/{playbook} failed; what it said stands above (the server's log: {desk.log / 'server.log'})"
        )
    changed = counts.get("changed", 0)
    numbers = f"changed={changed} ok={counts.get('ok', 0)}"
    if counts.get("rescued"):
        numbers += f" rescued={counts['rescued']}"
    say(f"  playbooks/{playbook:<40} {numbers}")
    return changed


def moment(stamp: str | None) -> str:
    return stamp[:16].replace("T", " ") + " UTC" if stamp else "-"


def minutes(value: Any) -> str:
    if value is None:
        return "-"
    days, rest = divmod(int(value), 24 * 60)
    if days > 1 and not rest:
        return f"{days} d"
    hours, rest = divmod(int(value), 60)
    return f"{hours} h" + (f" {rest} min" if rest else "") if hours else f"{rest} min"


def table(title: str, rows: Sequence[tuple[str, ...]]) -> None:
    say(f"\n{title}")
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        say("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def plain(value: Any) -> str:
    """A reference may come as its name or as an object that has one."""
    if isinstance(value, dict):
        value = value.get("name") or value.get("id")
    return "-" if value in (None, "") else str(value)


def show(desk: Desk) -> None:
    """What the playbooks made, read back from the desk."""
    policies = desk.get("/api/v1/sla-policies")["items"]
    departments = desk.get("/api/v1/departments")["items"]
    webhooks = desk.get("/api/v1/webhooks")["items"]
    tickets = desk.get("/api/v1/tickets?limit=5")["items"]
    table(
        "SLA policies",
        [("name", "priorities", "answer within", "resolve within")]
        + [
            (
                plain(item["name"]),
                ", ".join(item.get("priorities") or ["every"]),
                minutes(item.get("response_minutes")),
                minutes(item.get("resolution_minutes")),
            )
            for item in policies
        ],
    )
    table(
        "Departments",
        [("name", "description")] + [(plain(item["name"]), plain(item.get("description"))) for item in departments],
    )
    table(
        "Webhooks",
        [("name", "department", "url")]
        + [(plain(item["name"]), plain(item.get("department")), plain(item.get("url"))) for item in webhooks],
    )
    rows: list[tuple[str, ...]] = [("number", "title", "priority", "status", "answer by", "resolve by")]
    for ticket in tickets:
        sla = ticket.get("sla") or {}
        response, resolution = sla.get("response") or {}, sla.get("resolution") or {}
        rows.append(
            (
                plain(ticket["number"]),
                textwrap.shorten(plain(ticket["title"]), 44, placeholder="…"),
                plain(ticket["priority"]),
                plain(ticket["status"]),
                moment(response.get("due_at")),
                moment(resolution.get("due_at")),
            )
        )
    table("Tickets", rows)


def serve(desk: Desk) -> None:
    started = time.monotonic()
    desk.open()
    say(f"Desk ready after {time.monotonic() - started:.1f} s; applying the example playbooks:")
    changed = sum(apply(playbook, desk) for playbook in PLAYBOOKS)
    if not changed:
        say("  Nothing to change: the desk is as the playbooks say.")
    show(desk)
    var = os.path.relpath(desk.home, Path.cwd())
    say(f"\nDeskplane serves on {desk.url}  (data, settings and logs: {var}/; administrator's key: {var}/admin.key)")
    say("Try next, in another terminal:")
    say(f'  curl -sH "Authorization: Bearer $(cat {var}/admin.key)" {desk.url}/api/v1/tickets | python3 -m json.tool')
    say("Stop with Ctrl-C.")
    while True:
        desk.require_alive()
        time.sleep(0.5)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", default="8080", help="port on 127.0.0.1 (default 8080)")
    parser.add_argument("--home", type=Path, default=ROOT / "var", help="where the desk keeps everything")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, stop_on_signal)
    signal.signal(signal.SIGINT, stop_on_signal)
    desk = Desk(options.home.resolve(), 0)
    try:
        desk.port = usable_port(options.port)
        if not (toolchain.RUN.bin / "deskplane").exists():
            say("Building the environment in .venv; this is done once and takes a minute or two …")
        toolchain.RUN.ensure()
        serve(desk)
    except Stop:
        print("\nStopping …", file=sys.stderr)
    except ToolError as error:
        print(f"make run: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # Whoever read our output has gone; nothing is served to nobody.
        return 1
    finally:
        ignore_signals()
        desk.stop()
    say("Stopped; the data stays, and `make run` goes on from there.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
