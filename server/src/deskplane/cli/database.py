"""The database's tables: whether they fit this version, and bringing them up to date."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError

from deskplane import __version__, migrations
from deskplane.cli import advice
from deskplane.cli.common import clean_errors, first_line, settings_of
from deskplane.kernel.db import Database
from deskplane.settings import Finding, Settings, SettingsError, findings, load

WRONG, TO_MIGRATE, TOO_NEW = 1, 3, 4
"""Exit codes of `check`; 2 is click's own, for options that there are not."""


@click.command()
@click.option("--plan", is_flag=True, help="Only print what would be done, a line for each migration.")
@click.pass_obj
@clean_errors
def migrate(config: str | None, plan: bool) -> None:
    """Bring the database up to date. One that a newer version made is left as it is, and refused where this one cannot
    work on it."""
    from deskplane.app import make_desk
    from deskplane.app import migrate as run

    settings = settings_of(config)
    if plan:
        found = _standing(settings)
        for step in found.pending():
            click.echo(f"{step.revision} {step.title}")
        if not found.pending():
            click.echo(f"already at {found.at}")
        return
    before, after = run(make_desk(settings))
    click.echo(f"already at {after}" if before == after else f"migrated from {before or 'nothing'} to {after}")


@dataclass(frozen=True)
class _Standing:
    """The migration that a database is at, None for one that is empty or not there; and whether it is one that a newer
    version made, which this one can work on all the same."""

    at: str | None
    is_ahead: bool = False
    warnings: tuple[Finding, ...] = ()

    def pending(self) -> tuple[migrations.Step, ...]:
        """What is to be done. Raises ValueError where a newer version made it, and this one cannot work on it."""
        return () if self.is_ahead else migrations.pending(self.at)


def _standing(settings: Settings) -> _Standing:
    """Where the database stands. Makes no file."""
    database = Database(
        settings.database_url,
        busy_seconds=settings.busy_seconds,
        pool_size=1,
        arguments=settings.database_arguments(),
    )
    try:
        if database.is_sqlite:
            path = Path(database.url.database or "")
            if not path.exists():
                if not os.access(path.absolute().parent, os.W_OK | os.X_OK):
                    raise OSError(0, "is no directory that this user may write to", str(path.absolute().parent))
                return _Standing(None)
        with database.transaction(write=False) as session:
            connection = session.connection()
            at = migrations.revision_of(connection)
            warnings = tuple(advice.of_database(session)) if at == migrations.head() else ()
            return _Standing(at, migrations.is_ahead(connection, at), warnings)
    finally:
        database.dispose()


@dataclass
class Report:
    """What `check` found: the settings' findings, and where the database stands. `state` is `unchecked` where settings
    or the database itself keep it from being looked at, else `empty`, `current`, `pending`, `ahead` (a newer version
    made it, and this one can work on it) or `newer` (it cannot)."""

    findings: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)
    state: str = "unchecked"
    revision: str | None = None
    pending: tuple[migrations.Step, ...] = ()
    trouble: str = ""

    @property
    def code(self) -> int:
        """The exit code."""
        if self.findings:
            return WRONG
        return {"newer": TOO_NEW, "empty": TO_MIGRATE, "pending": TO_MIGRATE}.get(self.state, 0)

    def as_json(self) -> dict[str, Any]:
        """For machines."""
        return {
            "version": __version__,
            "ok": self.code == 0,
            "findings": [asdict(finding) for finding in self.findings],
            "warnings": [asdict(finding) for finding in self.warnings],
            "database": {
                "state": self.state,
                "revision": self.revision,
                "head": migrations.head(),
                "pending": [asdict(step) for step in self.pending],
            },
        }

    def lines(self) -> list[str]:
        """For people."""
        found = [str(finding) for finding in self.findings]
        if self.state == "newer":
            found.append(f"database: {self.trouble}")
        elif self.pending:
            at, needed = self.revision or "none", migrations.head()
            found.append(f"database: is at migration {at}, this version needs {needed}; run: deskplane migrate")
        if found:
            return found
        return ["nothing else is wrong" if self.warnings else "nothing is wrong"]


def _look(config: str | None) -> Report:
    report = Report()
    try:
        settings = load(config)
    except SettingsError as error:
        for line in str(error).splitlines():
            name, _, detail = line.partition(": ")
            report.findings.append(
                Finding(name, detail, "correct it") if detail else Finding("settings", line, "correct it")
            )
        return report
    report.findings = findings(settings)
    report.warnings = list(advice.of_settings(settings))
    if any(finding.setting == "database_url" for finding in report.findings):
        return report
    try:
        standing = _standing(settings)
    except SQLAlchemyError as error:
        report.findings.append(Finding("database", first_line(error), "correct database_url, or start the database"))
        return report
    except OSError as error:
        report.findings.append(Finding("database", f"{error.filename}: {error.strerror}", "correct database_url"))
        return report
    report.revision = standing.at
    try:
        report.pending = standing.pending()
    except ValueError as error:
        report.state, report.trouble = "newer", str(error)
        return report
    if standing.is_ahead:
        report.state = "ahead"
    else:
        report.state = "empty" if standing.at is None else "pending" if report.pending else "current"
    if report.state == "current":
        report.warnings += standing.warnings
    return report


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print all of it as one JSON document.")
@click.pass_obj
@clean_errors
def check(config: str | None, as_json: bool) -> None:
    """Check the settings and the database, and print everything that is wrong, with the fix.

    Warnings are about what keeps nothing from starting, and change no exit code. It reads only: a newer version can
    say so before it is let at the desk that an older one serves. Exit codes: 0, all is well; 1, settings are unsafe
    or the database cannot be read; 3, migrations are to be run; 4, a newer version made the database, and this one
    cannot work on it.
    """
    report = _look(config)
    if as_json:
        click.echo(json.dumps(report.as_json(), indent=2))
    else:
        for warning in report.warnings:
            click.echo(f"warning: {warning}", err=True)
        for line in report.lines():
            click.echo(line)
    sys.exit(report.code)
