"""The whole desk in one file, and back."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO

import click
from sqlalchemy.orm import Session

from deskplane.cli.common import clean_errors, settings_of
from deskplane.settings import read_passphrase

_PASSPHRASE = click.option(
    "--passphrase-file",
    metavar="FILE",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File whose first line is the passphrase that the backup is sealed with.",
)


def _passphrase(file: Path | None) -> str | None:
    return None if file is None else read_passphrase(file)


def _told(table: str, rows: int) -> None:
    """How far it is, where somebody looks on."""
    if sys.stderr.isatty():
        click.echo(f"{table}: {rows:,} rows", err=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@_PASSPHRASE
@click.pass_obj
@clean_errors
def backup(config: str | None, file: Path, passphrase_file: Path | None) -> None:
    """Write the whole desk into FILE (a directory: a file named after the time in it; -: standard output).

    Others go on working meanwhile; what is in it is the desk at one moment. Secrets in it are sealed with the secret
    key, which is not part of it: keep that, too. The database of an older version is kept as it is.
    """
    from deskplane.app import make_desk
    from deskplane.backup import files, snapshot

    passphrase = _passphrase(passphrase_file)
    desk = make_desk(settings_of(config))
    if file.is_dir():
        file /= files.name_of(desk.clock.now(), sealed=passphrase is not None)
    with desk.database.transaction(write=False) as session:

        def write(out: IO[bytes]) -> dict[str, int]:
            return snapshot.write(session, out, desk.clock, desk.vault, passphrase, _told)

        if str(file) == "-":
            write(sys.stdout.buffer)
        else:
            files.put(file, write)
            click.echo(f"wrote {file} ({file.stat().st_size:,} bytes)", err=True)


@click.command()
@click.argument("file", type=click.File("rb"))
@_PASSPHRASE
@clean_errors
def verify(file: IO[bytes], passphrase_file: Path | None) -> None:
    """Read all of a backup, and say what it holds, or what is wrong with it. Needs no desk and no database."""
    from deskplane.backup import restore as restoring

    found = restoring.verify(file, _passphrase(passphrase_file))
    click.echo(f"whole: made {found.created_at} by version {found.version} (migration {found.migration})")
    for table, rows in found.rows.items():
        click.echo(f"{table}: {rows:,}")


@click.command()
@click.argument("file", type=click.File("rb"))
@_PASSPHRASE
@click.option("--overwrite", is_flag=True, help="Put it in place of the desk that is there, which is gone then.")
@click.option("--without-secrets", is_flag=True, help="Do it although secrets were sealed with another secret key.")
@click.pass_obj
@clean_errors
def restore(
    config: str | None, file: IO[bytes], passphrase_file: Path | None, overwrite: bool, without_secrets: bool
) -> None:
    """Make the desk that a backup holds. All of it is read and compared before the database is touched.

    Stop the server and the workers first, and start them again afterwards. An older backup is migrated.
    """
    from deskplane.app import make_desk, migrate
    from deskplane.audit.service import Head, Note, append
    from deskplane.backup import restore as restoring

    passphrase = _passphrase(passphrase_file)
    desk = make_desk(settings_of(config))
    if not file.seekable():
        raise ValueError("a backup is read twice, so that it must be a file")
    found = restoring.verify(file, passphrase, desk.vault)
    if not found.same_key and not without_secrets:
        raise ValueError(
            "its secrets were sealed with another secret key, and could not be read any more; set the key of the desk "
            "that it was made of, or add --without-secrets and set passwords of mailboxes, webhooks' secrets … anew"
        )
    if not overwrite and not restoring.is_empty(desk.database):
        raise ValueError("the database is not empty; to put the backup in place of what is there, add --overwrite")
    file.seek(0)

    def note(session: Session, replaced: Head | None) -> None:
        made = {"created_at": found.created_at, "version": found.version, "migration": found.migration}
        change = {"field": "backup", "before": str(replaced) if replaced else None, "after": made}
        append(desk.command_line(session), [Note("desk", "", (), "restore", [change])])

    rows = restoring.restore(desk.database, file, passphrase, _told, note)
    migrate(desk)
    click.echo(f"restored {sum(rows.values()):,} rows, {rows.get('tickets', 0):,} tickets among them", err=True)
