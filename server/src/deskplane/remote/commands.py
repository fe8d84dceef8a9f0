"""`deskplane configuration`: a desk as code from the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import click

from deskplane.client import whole_desk
from deskplane.client.desk import Desk, DeskFailure
from deskplane.client.desk_files import BadFiles, Declared, references_in
from deskplane.client.desk_yaml import dump, dump_json
from deskplane.remote import plan_file
from deskplane.remote.options import (
    Failure,
    PlainGroup,
    as_json,
    clean_errors,
    connection,
    declaration,
    detailed,
    manager,
    read_declared,
    read_secrets,
)

Connect = Callable[..., Desk]


@click.group(cls=PlainGroup)
def configuration() -> None:
    """A whole desk as code: plan, apply, export, drift, and the schema of its files.

    \b
    The address and the key come from the environment:
      export DESKPLANE_URL=https://desk.example.com DESKPLANE_API_KEY=dpk_...
      deskplane configuration export -o desk          # the desk as files
      deskplane configuration plan -f desk            # what the files would change
      deskplane configuration apply -f desk           # change it
      deskplane configuration drift                   # what was changed by hand
      deskplane configuration schema -o schema.json   # for editors
    """


@contextmanager
def _busy(what: str) -> Iterator[None]:
    """Says on a terminal that something takes its time."""
    from deskplane.remote.show import console

    out = console(stderr=True)
    if not out.is_terminal:
        yield
        return
    with out.status(what):
        yield


def _print_plan(answer: dict[str, Any], declared: Declared, *, as_json: bool, done: bool = False) -> None:
    if as_json:
        changes = []
        for change in answer.get("changes") or ():
            place = declared.place(str(change.get("pointer") or ""))
            changes.append({**change, "file": place.file if place else None, "line": place.line if place else None})
        click.echo(json.dumps({**answer, "changes": changes}, ensure_ascii=False, indent=2))
        return
    from deskplane.remote.show import console, show_plan

    show_plan(console(), answer, declared, done=done)


def _end(changed: bool, detailed: bool) -> None:
    if changed and detailed:
        sys.exit(2)


def _declared(
    connect: Connect,
    files: tuple[str, ...],
    overlays: tuple[str, ...],
    options: dict[str, Any],
    given: dict[str, str],
) -> tuple[Declared, Desk]:
    """What the files declare, and the desk. Raises Refused with all mistakes, those that only the desk finds too."""
    try:
        return read_declared(files, overlays), connect()
    except BadFiles as error:
        try:
            desk = connect()
        except Failure:
            raise error from None
        raise whole_desk.refused_files(desk, error, options, given) from error


def _what(declared: Declared, connected: Desk) -> str:
    return f"{declared.count} objects on {connected.url} …"


@configuration.command()
@declaration
@click.option("--out", metavar="FILE", help="Write the plan to a file, for `apply FILE`.")
@click.option("--allow-unresolved", is_flag=True, help="Report references to what is not there in place of refusing.")
@as_json
@detailed
@connection
@clean_errors
def plan(
    connect: Connect,
    files: tuple[str, ...],
    overlays: tuple[str, ...],
    secrets_file: str | None,
    out: str | None,
    allow_unresolved: bool,
    as_json: bool,
    detailed: bool,
    **options: Any,
) -> None:
    """Show what applying the files would change. Changes nothing; a key with configuration:plan is enough.

    \b
    Examples:
      deskplane configuration plan -f desk
      deskplane configuration plan -f desk --overlay environments/production
      deskplane configuration plan -f desk --manager git:helpdesk --prune --out plan.json --detailed-exitcode
    """
    given = read_secrets(secrets_file)
    declared, desk = _declared(connect, files, overlays, options, given)
    with _busy(f"Planning {_what(declared, desk)}"):
        answer = whole_desk.plan(desk, declared, options, given, allow_unresolved)
    if out:
        wanted = {name: value for name, value in options.items() if value is not None}
        used = sorted(references_in(declared.configuration) & set(given))
        plan_file.PlanFile(desk.url, declared, wanted, used, answer).write(out)
    _print_plan(answer, declared, as_json=as_json)
    if out and not as_json:
        click.echo(f"The plan is in {out}: deskplane configuration apply {out}", err=True)
    _end(bool(answer.get("changed")), detailed)


@configuration.command()
@click.argument("plan", required=False, metavar="[PLAN]")
@declaration
@click.option("--digest", metavar="DIGEST", help="Apply only if this is still the digest of the plan.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@as_json
@detailed
@connection
@clean_errors
def apply(
    connect: Connect,
    plan: str | None,
    files: tuple[str, ...],
    overlays: tuple[str, ...],
    secrets_file: str | None,
    digest: str | None,
    yes: bool,
    as_json: bool,
    detailed: bool,
    **options: Any,
) -> None:
    """Make the desk what the files declare, all of it or nothing.

    With -f, the plan is shown first, and carried out once you agree. With PLAN, a file of `plan --out`, what was
    planned is done, or nothing where the desk has changed since.

    \b
    Examples:
      deskplane configuration apply -f desk
      deskplane configuration apply -f desk --manager git:helpdesk --revision "$(git rev-parse HEAD)" --prune --yes
      deskplane configuration apply plan.json
    """
    given = read_secrets(secrets_file)
    if plan is not None:
        said = [name for name, value in options.items() if value is not None and name not in ("manager", "revision")]
        if files or overlays or digest or said:
            raise Failure("a plan holds files and options: give --secrets at most beside it")
        made = plan_file.read(plan)
        declared, options, digest = made.declared, made.options, made.digest
        missing = sorted(set(made.secrets) - set(given))
        if missing:
            raise Failure(
                f"the plan was made with the secret {missing[0]}, which it does not hold: give it by --secrets"
            )
        given = {name: value for name, value in given.items() if name in made.secrets}
        desk = connect()
    else:
        declared, desk = _declared(connect, files, overlays, options, given)
        if not yes:
            digest = _agreed(desk, declared, options, given, digest, as_json=as_json)
    try:
        with _busy(f"Applying {_what(declared, desk)}"):
            answer = whole_desk.apply(desk, declared, options, given, digest)
    except DeskFailure as failure:
        _show_new_plan(failure, declared, as_json=as_json)
        raise
    _print_plan(answer, declared, as_json=as_json, done=True)
    _end(bool(answer.get("changed")), detailed)


def _agreed(
    desk: Desk,
    declared: Declared,
    options: dict[str, Any],
    given: dict[str, str],
    digest: str | None,
    *,
    as_json: bool,
) -> str:
    """The digest of the plan that the person at the terminal agreed to; one without changes needs no answer."""
    with _busy(f"Planning {_what(declared, desk)}"):
        answer = whole_desk.plan(desk, declared, options, given)
    if not answer.get("changed"):
        return str(answer["digest"]) if digest is None else digest
    if as_json or not sys.stdin.isatty():
        raise Failure("nobody is here to agree to the plan: give --yes, or apply the file of plan --out")
    _print_plan(answer, declared, as_json=False)
    if not click.confirm(f"Apply this to {desk.url}?", err=True):
        raise Failure("nothing was changed")
    return str(answer["digest"]) if digest is None else digest


def _show_new_plan(failure: DeskFailure, declared: Declared, *, as_json: bool) -> None:
    new = (failure.problem or {}).get("plan")
    if isinstance(new, dict) and not as_json:
        click.echo("The desk, or what is declared, has changed since it was planned. The plan is now:")
        _print_plan(new, declared, as_json=False)


@configuration.command()
@manager
@click.option("--full", is_flag=True, help="Write the fields that have their default, too.")
@click.option(
    "-o",
    "--output",
    metavar="DIR|FILE",
    help="Directory for a file of each kind, or a file (.yml, .yaml, .json) for all; without it, standard output.",
)
@as_json
@detailed
@connection
@clean_errors
def export(
    connect: Connect, manager: str | None, full: bool, output: str | None, as_json: bool, detailed: bool
) -> None:
    """Write the desk as files that can be applied. Secrets are written as references.

    Files that are the same already are left alone; others are overwritten, and so are comments in them.

    \b
    Examples:
      deskplane configuration export -o desk
      deskplane configuration export --manager git:helpdesk -o desk.yml
      deskplane configuration export --full --json
    """
    desk = connect()
    with _busy(f"Reading {desk.url} …"):
        found = whole_desk.export(desk, manager, full)
    if output is None:
        click.echo(json.dumps(found, ensure_ascii=False, indent=2) if as_json else dump(found), nl=as_json)
        return
    files = whole_desk.files_for(found, output)
    differing = whole_desk.write_files(files)
    if as_json:
        click.echo(json.dumps({"changed": bool(differing), "files": sorted(files), "written": differing}, indent=2))
    else:
        for path in sorted(files):
            click.echo(f"{'written' if path in differing else 'the same'}: {path}")
    _end(bool(differing), detailed)


@configuration.command()
@manager
@as_json
@detailed
@connection
@clean_errors
def drift(connect: Connect, manager: str | None, as_json: bool, detailed: bool) -> None:
    """Show what was changed since it was last declared: field, declared, now, who and when.

    \b
    Examples:
      deskplane configuration drift
      deskplane configuration drift --manager git:helpdesk --detailed-exitcode
    """
    desk = connect()
    with _busy(f"Comparing {desk.url} …"):
        answer = whole_desk.drift(desk, manager)
    if as_json:
        click.echo(json.dumps(answer, ensure_ascii=False, indent=2))
    else:
        from deskplane.remote.show import console, show_drift

        show_drift(console(), answer)
    _end(bool(answer.get("drifted")), detailed)


@configuration.command()
@click.option("-o", "--output", metavar="FILE", help="Where to write it; without it, standard output.")
@connection
@clean_errors
def schema(connect: Connect, output: str | None) -> None:
    """Write the JSON Schema of a desk's files, for editors. Needs no key.

    \b
    Examples:
      deskplane configuration schema -o desk.schema.json
      # and at the top of each file:
      # yaml-language-server: $schema=../desk.schema.json
    """
    text = dump_json(whole_desk.schema(connect(keyless=True)))
    if output is None:
        click.echo(text, nl=False)
    else:
        whole_desk.write_files({output: text})
