"""The audit log, on the server's own machine."""

from __future__ import annotations

import sys
from datetime import timedelta
from pathlib import Path
from typing import IO, Any

import click

from deskplane.cli.common import checked, clean_errors, settings_of
from deskplane.kernel.fields import Moment


@click.group()
def audit() -> None:
    """Who changed what of the configuration and of people's rights."""


@audit.command()
@click.option("--head", metavar="HEAD", help="A head that was kept elsewhere; everything up to it must be as it was.")
@click.option("--file", "file", type=click.File("rb"), help="Verify an export instead; needs no desk.")
@click.pass_obj
@clean_errors
def verify(config: str | None, head: str | None, file: IO[bytes] | None) -> None:
    """Say whether the log is as it was written, or name each entry that was changed, moved or taken away.

    Prints the head. Keep it where nobody who can write to the database can write: who rewrote all of the log is found
    out by that alone.
    """
    from deskplane.app import make_desk
    from deskplane.audit import verifying

    kept = verifying.parsed_head(head) if head is not None else None
    if file is not None:
        report = verifying.verify_export(file, kept)
    else:
        with make_desk(settings_of(config)).database.transaction(write=False) as session:
            report = verifying.verify(session, kept)
    for trouble in report.troubles:
        click.echo(trouble, err=True)
    if report.troubles:
        sys.exit(1)
    which = f"{report.count:,} entries, from {report.first} to {report.head.sequence}" if report.count else "no entry"
    click.echo(f"whole: {which}", err=True)
    click.echo(str(report.head))


_TIME = Moment("An instant.")


def _moment(_context: Any, _parameter: Any, value: str | None) -> Any:
    if value is None:
        return None
    try:
        return checked(_TIME, value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@audit.command()
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), default="-")
@click.option("--since", callback=_moment, metavar="TIME", help="Only from this time on, such as 2026-03-01T00:00:00Z.")
@click.option("--until", callback=_moment, metavar="TIME", help="Only before this time.")
@click.pass_obj
@clean_errors
def export(config: str | None, file: Path, since: Any, until: Any) -> None:
    """Write the log into FILE (-: standard output), the oldest entry first, a JSON object a line.

    `deskplane audit verify --file` reads it.
    """
    from deskplane.app import make_desk
    from deskplane.audit import reading
    from deskplane.backup import files

    with make_desk(settings_of(config)).database.transaction(write=False) as session:
        lines = reading.export(session, since, until)
        if str(file) == "-":
            sys.stdout.buffer.writelines(lines)
            sys.stdout.buffer.flush()
        else:
            files.put(file, lambda out: out.writelines(lines))


@audit.command()
@click.option(
    "--older-than-days", "days", type=click.IntRange(min=1), required=True, help="What is older than this goes."
)
@click.option(
    "--export", "file", type=click.Path(path_type=Path), required=True, help="File to write what goes to, first."
)
@click.pass_obj
@clean_errors
def purge(config: str | None, days: int, file: Path) -> None:
    """End what is older than it has to be kept, and say so in the log: how much went, and the hash of its end.

    The database lets entries go only behind such an entry. Run again, it ends what was broken off.
    """
    from deskplane.app import make_desk
    from deskplane.audit import purging, reading
    from deskplane.backup import files

    desk = make_desk(settings_of(config))
    if file.exists():
        raise ValueError(f"{file} exists already; name another file")
    before = desk.clock.now() - timedelta(days=days)
    with desk.database.transaction(write=False) as session:
        files.put(file, lambda out: out.writelines(reading.export(session, until=before)))
    through = desk.database.run(lambda session: purging.announce(desk.command_line(session), before), write=True)
    total = 0
    while gone := desk.database.run(lambda session: purging.delete_some(session, through), write=True):
        total += gone
    click.echo(f"purged {total:,} entries; they are in {file}", err=True)
