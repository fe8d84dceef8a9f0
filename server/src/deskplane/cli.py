"""The command `deskplane`.

Rooms are imported by the commands that need them: `serve` must name the directory of the metrics before their
library is imported, which looks for it then and never again.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import IO, Any

import click
from marshmallow import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from deskplane import __version__, migrations
from deskplane.kernel import logging as logs
from deskplane.kernel import openapi as openapi_document
from deskplane.kernel.permissions import BUNDLES, PERMISSIONS
from deskplane.kernel.problem import Problem
from deskplane.remote.commands import configuration
from deskplane.settings import Settings, SettingsError, findings, load, read_passphrase, require_safe


def _fail(message: str) -> None:
    for line in message.splitlines():
        click.echo(f"deskplane: {line}", err=True)
    sys.exit(1)


def _checked(part: Any, value: str) -> Any:
    """A value by the rules of its field. Raises ValueError."""
    try:
        return part.deserialize(value)
    except ValidationError as error:
        raise ValueError(f"{value!r} {error.messages[0]}") from None


def clean_errors(function: Callable[..., Any]) -> Callable[..., Any]:
    """Ends a command with one readable line instead of a traceback."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except (SettingsError, ValueError) as error:
            _fail(str(error))
        except Problem as problem:
            lines = [f"{entry.pointer}: {entry.detail}" for entry in problem.errors]
            _fail("\n".join(lines) or problem.detail)
        except SQLAlchemyError as error:
            text = str(getattr(error, "orig", error)).strip().splitlines()[0]
            if "no such table" in text or getattr(getattr(error, "orig", None), "sqlstate", None) == "42P01":
                text = "has no tables yet; run: deskplane migrate"
            _fail(f"database: {text}")
        except BrokenPipeError:  # who read it has seen enough; what the interpreter writes at its end goes nowhere
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except OSError as error:
            _fail(f"{error.filename or 'system'}: {error.strerror}")

    return wrapped


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="deskplane")
@click.option("--config", metavar="FILE", help="YAML file with the settings. [env: DESKPLANE_CONFIG]")
@click.pass_context
def main(context: click.Context, config: str | None) -> None:
    """Deskplane: a helpdesk whose whole configuration lives in Git.

    Settings come from a YAML file and from the environment (DESKPLANE_DATABASE_URL, DESKPLANE_SECRET_KEY …).
    """
    context.obj = config


def _settings(config: str | None, **overrides: Any) -> Settings:
    settings = load(config, **{name: value for name, value in overrides.items() if value is not None})
    require_safe(settings)
    logs.configure(settings.log_format, settings.log_level)
    return settings


@main.command()
@click.option("--bind", metavar="ADDRESS:PORT", help="Where to listen.")
@click.option("--workers", type=click.IntRange(1, 64), help="Server processes.")
@click.option("--threads", type=click.IntRange(1, 64), help="Requests that each process serves at once.")
@click.pass_obj
@clean_errors
def serve(config: str | None, bind: str | None, workers: int | None, threads: int | None) -> None:
    """Serve the API. Brings the database up to date first, unless migrate_on_start is off.

    SIGTERM lets requests in flight end, then stops.
    """
    settings = _settings(config, bind=bind, workers=workers, threads=threads)
    directory, leader = tempfile.mkdtemp(prefix="deskplane-metrics-"), os.getpid()
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    from deskplane.app import make_desk, migrate
    from deskplane.serving import require_free, run

    try:
        require_free(settings.bind)
        desk = make_desk(settings)
        if settings.migrate_on_start:
            migrate(desk)
        desk.database.dispose()
        run(settings)
    finally:
        # each process that gunicorn forks comes by here too as it ends, and must not take the folder from the others
        if os.getpid() == leader:
            shutil.rmtree(directory, ignore_errors=True)


@main.command()
@click.pass_obj
@clean_errors
def worker(config: str | None) -> None:
    """Do what waits in the outbox, and the periodic jobs. Any number of workers may run.

    SIGTERM lets the work in hand end, then stops.
    """
    from deskplane.app import make_desk, make_worker

    settings = _settings(config)
    desk = make_desk(settings)
    with desk.database.transaction(write=False) as session:
        found = migrations.revision_of(session.connection())
    if found != migrations.head():
        raise SettingsError(f"the database is at migration {found}; run: deskplane migrate")
    working = make_worker(desk)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: working.stop())
    working.run()


@main.command()
@click.pass_obj
@clean_errors
def migrate(config: str | None) -> None:
    """Bring the database up to date."""
    from deskplane.app import make_desk
    from deskplane.app import migrate as run

    before, after = run(make_desk(_settings(config)))
    click.echo(f"already at {after}" if before == after else f"migrated from {before or 'nothing'} to {after}")


@main.command()
@click.pass_obj
@clean_errors
def check(config: str | None) -> None:
    """Check the settings and the database, and print everything that is wrong, with the fix."""
    from deskplane.app import make_desk

    settings = load(config)
    found = [str(finding) for finding in findings(settings)]
    if not any(line.startswith(("secret_key", "database_url")) for line in found):
        with make_desk(settings).database.transaction(write=False) as session:
            at = migrations.revision_of(session.connection())
        if at != migrations.head():
            found.append(f"database: is at migration {at or 'none'}, needs {migrations.head()}; run: deskplane migrate")
    for line in found:
        click.echo(line)
    if found:
        sys.exit(1)
    click.echo("nothing is wrong")


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


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@_PASSPHRASE
@click.pass_obj
@clean_errors
def backup(config: str | None, file: Path, passphrase_file: Path | None) -> None:
    """Write the whole desk into FILE (a directory: a file named after the time in it; -: standard output).

    Others go on working meanwhile; what is in it is the desk at one moment. Secrets in it are sealed with the secret
    key, which is not part of it: keep that, too.
    """
    from deskplane.app import make_desk
    from deskplane.backup import files, snapshot

    passphrase = _passphrase(passphrase_file)
    desk = make_desk(_settings(config))
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


@main.command()
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


@main.command()
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
    from deskplane.backup import restore as restoring

    passphrase = _passphrase(passphrase_file)
    desk = make_desk(_settings(config))
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
    rows = restoring.restore(desk.database, file, passphrase, _told)
    migrate(desk)
    click.echo(f"restored {sum(rows.values()):,} rows, {rows.get('tickets', 0):,} tickets among them", err=True)


@main.group()
def user() -> None:
    """Accounts, on the server's own machine."""


@user.command("create-admin")
@click.argument("username")
@click.option("--password-stdin", is_flag=True, help="Read the password from standard input.")
@click.option("--if-missing", is_flag=True, help="It is no error if the administrator is there already.")
@click.pass_obj
@clean_errors
def create_admin(config: str | None, username: str, password_stdin: bool, if_missing: bool) -> None:
    """Make an administrator. Without a password he works through API keys only."""
    from deskplane.app import make_desk
    from deskplane.people import service
    from deskplane.people.schemas import UserSchema

    username = _checked(UserSchema().fields["username"], username)
    password = sys.stdin.readline().rstrip("\n") if password_stdin else None
    if password is not None and len(password) < 8:
        raise ValueError("the password must have at least 8 characters")
    hashed = service.hash_password(password) if password is not None else None
    desk = make_desk(_settings(config))
    made = desk.database.run(
        lambda session: service.create_admin(desk.command_line(session), username, hashed), write=True
    )
    if not made and not if_missing:
        raise ValueError(f"the administrator {username} exists already")
    click.echo(f"made the administrator {username}" if made else f"{username} is an administrator already", err=True)


@user.command()
@click.argument("username")
@click.pass_obj
@clean_errors
def promote(config: str | None, username: str) -> None:
    """Make an account an administrator, enabled: the recovery when nobody can log in."""
    from deskplane.app import make_desk
    from deskplane.people import service

    desk = make_desk(_settings(config))
    desk.database.run(lambda session: service.promote(desk.command_line(session), username), write=True)
    click.echo(f"{username} is an administrator", err=True)


@main.group()
def key() -> None:
    """API keys, on the server's own machine."""


@key.command("create")
@click.option("--user", "username", required=True, help="Whose key it is.")
@click.option("--name", required=True, help="Name of the key.")
@click.option("--scope", "scopes", multiple=True, help="Limit the key to this permission; may be repeated.")
@click.option("--if-missing", is_flag=True, help="Print nothing, and end well, if the user has a key of that name.")
@click.pass_obj
@clean_errors
def create_key(config: str | None, username: str, name: str, scopes: tuple[str, ...], if_missing: bool) -> None:
    """Make an API key and print it, alone, on standard output. It is shown once."""
    from deskplane.app import make_desk
    from deskplane.people import keys, service
    from deskplane.people.schemas import ApiKeyOptions

    unknown = sorted(set(scopes) - set(PERMISSIONS) - set(BUNDLES))
    if unknown:
        raise ValueError(f"there is no permission {', '.join(unknown)}; there are: {', '.join(sorted(PERMISSIONS))}")
    name = _checked(ApiKeyOptions().fields["name"], name)
    desk = make_desk(_settings(config))
    wanted = {"name": name, "scopes": sorted(set(scopes)) or None}

    def work(session: Any) -> str | None:
        owner = service.find_user(session, username)
        made = desk.command_line(session)
        if keys.exists(session, owner.id, name):
            return None
        found = keys.make(made, owner.id, wanted)
        made.change_configuration()
        return found

    made = desk.database.run(work, write=True)
    if made is not None:
        click.echo(made)
    elif not if_missing:
        raise ValueError(f"{username} has a key named {name} already; its secret cannot be shown again")


@main.command()
def openapi() -> None:
    """Print the OpenAPI document."""
    from deskplane.app import make_operations, make_registry

    click.echo(json.dumps(openapi_document.document(make_operations(make_registry())), indent=2))


@main.command("describe-kinds")
def describe_kinds() -> None:
    """Print everything that generators need to know of all kinds, as JSON."""
    from deskplane.app import make_registry
    from deskplane.tickets.describe import describe

    click.echo(json.dumps({"kinds": [kind.describe() for kind in make_registry()], "ticket": describe()}, indent=2))


@main.command()
@click.option("--tickets", type=click.IntRange(0, 10_000_000), required=True, help="How many there shall be.")
@click.option("--messages", type=click.IntRange(0, 100), default=3, show_default=True, help="Messages on each of them.")
@click.option("--yes", is_flag=True, help="Do it on a desk in production, too.")
@click.pass_obj
@clean_errors
def seed(config: str | None, tickets: int, messages: int, yes: bool) -> None:
    """Fill a desk with tickets that are made up, to see how it does with many.

    They are the same on every desk, and have numbers that begin with SEED. Run again, it goes on until there are as
    many as asked for.
    """
    from deskplane.app import make_desk
    from deskplane.app import migrate as run
    from deskplane.seeding import seed as make

    settings = _settings(config)
    if settings.environment == "production" and not yes:
        raise ValueError("environment is production; to make up tickets on a desk that people work on, add --yes")
    desk = make_desk(settings)
    run(desk)
    made = make(desk, tickets, messages, lambda line: click.echo(line, err=True))
    click.echo(f"made {made:,} tickets", err=True)


main.add_command(configuration)
