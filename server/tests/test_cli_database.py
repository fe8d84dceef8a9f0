"""`check` and `migrate`: what an upgrade asks of a newer version before it lets it at the desk."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from conftest import settings
from deskplane import __version__, migrations
from deskplane.app import make_desk
from deskplane.settings import Settings
from terminal import Terminal, failure


@pytest.fixture(scope="module")
def run() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.process.communicate(timeout=30)


def migrated_to(url: str, revision: str) -> None:
    desk = make_desk(settings(url))
    migrations.upgrade(desk.database, revision)
    desk.database.dispose()


def test_a_newer_version_tells_what_it_would_do_to_an_older_database_and_does_nothing(
    run: Terminal, empty_url: str
) -> None:
    older, newest = migrations.known()[-3], migrations.head()
    migrated_to(empty_url, older)
    found = run("check", "--json", url=empty_url)
    told = json.loads(found.stdout)
    assert (found.returncode, told["ok"], told["version"], told["findings"]) == (3, False, __version__, [])
    steps = [{"revision": step.revision, "title": step.title} for step in migrations.steps()[-2:]]
    assert told["database"] == {"state": "pending", "revision": older, "head": newest, "pending": steps}
    line = f"database: is at migration {older}, this version needs {newest}; run: deskplane migrate\n"
    found = run("check", url=empty_url)
    assert (found.returncode, found.stdout) == (3, line)
    planned = run("migrate", "--plan", url=empty_url)
    assert planned.stdout.splitlines() == [f"{step['revision']} {step['title']}" for step in steps]
    refused = (
        f"the database is at migration {older}, and Deskplane {__version__} needs {newest}; run: deskplane migrate"
    )
    assert failure(run("worker", url=empty_url)) == refused
    assert failure(run("serve", url=empty_url, DESKPLANE_MIGRATE_ON_START="false")) == refused
    assert run("migrate", url=empty_url).stdout == f"migrated from {older} to {newest}\n"
    assert run("migrate", "--plan", url=empty_url).stdout == f"already at {newest}\n"
    found = run("check", "--json", url=empty_url)
    told = json.loads(found.stdout)
    assert (found.returncode, told["ok"], told["database"]["state"], told["database"]["pending"]) == (
        0,
        True,
        "current",
        [],
    )


def test_a_database_that_is_not_there_is_not_made_by_looking(run: Terminal, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'desk.db'}"
    found = run("check", "--json", url=url)
    told = json.loads(found.stdout)["database"]
    assert (found.returncode, told["state"], told["revision"]) == (3, "empty", None)
    assert len(told["pending"]) == len(migrations.known())
    assert len(run("migrate", "--plan", url=url).stdout.splitlines()) == len(migrations.known())
    assert list(tmp_path.iterdir()) == []
    found = run("check", "--json", url=f"sqlite:///{tmp_path / 'no' / 'desk.db'}")
    told = json.loads(found.stdout)
    assert (found.returncode, told["database"]["state"]) == (1, "unchecked")
    assert told["findings"][0]["detail"] == f"{tmp_path / 'no'}: is no directory that this user may write to"


def test_every_command_refuses_a_database_of_a_newer_version(run: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    url = f"sqlite:///{path}"
    assert run("migrate", url=url).returncode == 0
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE schema_floor SET migration = '9999'")
    refused = (
        f"the database is at migration 9999, which Deskplane {__version__} does not know (its newest is "
        f"{migrations.head()}): a newer version made it; "
        "run that version, or restore the backup from before its upgrade"
    )
    for command in (["serve"], ["worker"], ["migrate"], ["migrate", "--plan"], ["backup", "-"]):
        assert failure(run(*command, url=url)) == refused
    assert failure(run("serve", url=url, DESKPLANE_MIGRATE_ON_START="false")) == refused
    found = run("check", url=url)
    assert (found.returncode, found.stdout) == (4, f"database: {refused}\n")
    found = run("check", "--json", url=url)
    told = json.loads(found.stdout)["database"]
    assert (found.returncode, told["state"], told["revision"], told["pending"]) == (4, "newer", "9999", [])


def test_a_database_that_a_newer_version_only_added_to_is_good_enough(run: Terminal, tmp_path: Path) -> None:
    path = tmp_path / "desk.db"
    url = f"sqlite:///{path}"
    assert run("migrate", url=url).returncode == 0
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    found = run("check", "--json", url=url)
    told = json.loads(found.stdout)["database"]
    assert (found.returncode, told["state"], told["revision"], told["pending"]) == (0, "ahead", "9999", [])
    for command in (["migrate"], ["migrate", "--plan"]):
        assert run(*command, url=url).stdout == "already at 9999\n"
    assert "make it with the newer one" in failure(run("backup", "-", url=url))


def test_what_is_wrong_with_the_settings_is_told_to_machines_too(run: Terminal, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'desk.db'}"
    found = run("check", "--json", url=url, DESKPLANE_SECRET_KEY="short")
    told = json.loads(found.stdout)
    assert (found.returncode, [finding["setting"] for finding in told["findings"]]) == (1, ["secret_key"])
    assert told["findings"][0]["fix"] == "make one with: openssl rand -base64 48"
    found = run("check", "--json", url=url, DESKPLANE_WORKERS="many")
    told = json.loads(found.stdout)
    assert (found.returncode, told["findings"][0]["setting"], told["database"]["state"]) == (1, "workers", "unchecked")
    found = run("check", "--json", url="postgresql+psycopg://desk:canary-Xy7Qw2@127.0.0.1:1/desk")
    told = json.loads(found.stdout)
    assert (found.returncode, told["findings"][0]["setting"], told["database"]["state"]) == (1, "database", "unchecked")
    assert "canary" not in found.stdout


def test_the_example_of_a_configuration_has_every_setting_and_works(run: Terminal, tmp_path: Path) -> None:
    text = run("config-example", DESKPLANE_SECRET_KEY="", url="x").stdout
    assert set(yaml.safe_load(text)) == {"database_url", "secret_key_file"}
    names = "|".join(Settings.model_fields)
    whole = yaml.safe_load(re.sub(rf"^# (?=(?:{names}): )", "", text, flags=re.MULTILINE))
    assert set(whole) == set(Settings.model_fields)
    defaults = {name: part.get_default() for name, part in Settings.model_fields.items()}
    assert Settings(**whole).model_dump() == defaults | {
        "database_url": "sqlite:////var/lib/deskplane/deskplane.db",
        "secret_key_file": Path("/etc/deskplane/secret_key"),
    }
    file = tmp_path / "deskplane.yml"
    file.write_text(text)
    found = run("--config", str(file), "check", "--json", url=f"sqlite:///{tmp_path / 'desk.db'}")
    assert json.loads(found.stdout)["findings"] == []
