"""The secrets in the database, on the server's own machine."""

from __future__ import annotations

import sys
from functools import partial

import click

from deskplane.cli.common import clean_errors, settings_of


@click.group()
def secrets() -> None:
    """The secrets that are sealed in the database."""


def _told(column: str, rows: int, anew: int) -> None:
    click.echo(f"{column}: {rows:,} rows, {anew:,} secrets sealed anew", err=True)


@secrets.command()
@click.option("--check", "only_check", is_flag=True, help="Change nothing, and say how they are sealed.")
@click.pass_obj
@clean_errors
def rotate(config: str | None, only_check: bool) -> None:
    """Seal every secret with the present secret key, so that those of before can be dropped.

    Servers and workers go on meanwhile; all of them must know the present key already. Broken off, it goes on where it
    was. It ends with 0 once nothing is sealed with another key.
    """
    from deskplane.app import make_desk
    from deskplane.audit.service import Note, append
    from deskplane.configuration import resealing

    desk = make_desk(settings_of(config))
    columns = resealing.columns(desk.registry)
    total = 0
    for column in () if only_check else columns:
        name = f"{column.table.name}.{column.name}"
        total += resealing.rotate(desk.database, desk.command_line, column, partial(_told, name))
    if total:
        change = {"field": "secrets_sealed_anew", "before": None, "after": total}
        note = Note("desk", "", (), "rotate", [change])
        desk.database.run(lambda session: append(desk.command_line(session), [note]), write=True)
    with desk.database.transaction(write=False) as session:
        counts = [resealing.count(session, desk.vault, column) for column in columns]
    for place in (place for count in counts for place in count.unreadable):
        click.echo(f"{place}: no key opens it; give the secret anew, or the key that sealed it", err=True)
    older, known = sum(count.older for count in counts), sum(count.secrets for count in counts)
    if older:
        again = "run: deskplane secrets rotate"
        if not only_check:
            again = "a process that does not know the present key wrote meanwhile: restart it, and run this again"
        click.echo(f"{older:,} of {known:,} secrets are sealed with an older key; {again}", err=True)
    if older or any(count.unreadable for count in counts):
        sys.exit(1)
    click.echo(f"all {known:,} secrets are sealed with the present key; those of before can be dropped")
