"""What `deskplane check` warns of: unwise, and nothing that keeps a desk from starting."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from conftest import SECRET, Api
from deskplane.app import Desk
from deskplane.cli import advice
from deskplane.people import service
from deskplane.settings import Settings


def production(**fields: Any) -> Settings:
    url = fields.pop("database_url", "postgresql+psycopg://localhost/desk")
    return Settings(database_url=url, secret_key=SECRET, **fields)


def told(settings: Settings) -> list[str]:
    return [str(finding) for finding in advice.of_settings(settings)]


@pytest.fixture(autouse=True)
def no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DESKPLANE_CONFIG", raising=False)


def test_wise_settings_have_no_warning(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    wise = production(public_address="https://desk.example.org", trusted_proxies=1, backup_directory=tmp_path)
    assert told(wise) == []


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"public_address": "http://desk.example.org", "trusted_proxies": 1}, "public_address: is not https"),
        ({"public_address": "https://desk.example.org"}, "trusted_proxies: is 0"),
    ],
)
def test_each_unwise_setting_is_warned_of_in_production_alone(fields: dict[str, Any], named: str) -> None:
    (line,) = told(production(**fields))
    assert line.startswith(named)
    assert told(production(environment="development", **fields)) == []


def test_files_that_others_can_read_or_change_are_named_with_the_fix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = {name: tmp_path / name for name in ("desk.db", "backups", "passphrase", "deskplane.yml")}
    places["backups"].mkdir()
    for name in ("desk.db", "passphrase", "deskplane.yml"):
        places[name].touch()
    monkeypatch.setenv("DESKPLANE_CONFIG", str(places["deskplane.yml"]))
    fields = {"database_url": f"sqlite:///{places['desk.db']}", "backup_directory": places["backups"]}
    unwise = production(**fields, backup_passphrase_file=places["passphrase"])
    for mode in (0o700, 0o777):
        for place in places.values():
            place.chmod(mode)
        lines = [line for line in told(unwise) if str(tmp_path) in line]
        assert len(lines) == (0 if mode == 0o700 else 4), lines
    assert f"backup_directory: {places['backups']} can be read by everyone; run: chmod o= {places['backups']}" in lines


@pytest.mark.parametrize(
    ("mounts", "warned"),
    [
        ("/dev/sda1 / ext4 rw 0 0\nserver:/x {0} nfs4 rw 0 0\n", "(nfs4)"),
        ("server:/x / nfs rw 0 0\n/dev/sdb1 {0} xfs rw 0 0\n", ""),
        ("/dev/sda1 / ext4 rw 0 0\nme@host: {0} fuse.sshfs rw 0 0\n", "(fuse.sshfs)"),
        ("/dev/sda1 / ext4 rw 0 0\nserver:/x {0}other nfs rw 0 0\n", ""),
        ("/dev/sda1 / ext4 rw 0 0\n/dev/vda {0} fuse.mergerfs rw 0 0\n", ""),
    ],
)
def test_sqlite_on_a_network_file_system_is_warned_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: str, warned: str
) -> None:
    listed = tmp_path / "mounts"
    listed.write_text(mounts.format(tmp_path / "desks"))
    monkeypatch.setattr(advice, "MOUNTS", listed)
    lines = told(production(database_url=f"sqlite:///{tmp_path / 'desks' / 'desk.db'}"))
    assert [warned in line and "network file system" in line for line in lines] == ([True] if warned else [])


def of_database(desk: Desk) -> set[str]:
    return {
        finding.setting for finding in desk.database.run(lambda session: list(advice.of_database(session)), write=False)
    }


def test_a_desk_without_administrator_worker_or_protection_of_its_log_is_warned_of(api: Api) -> None:
    desk = api.desk
    assert of_database(desk) == {"worker"}

    def end(session: Session) -> None:
        session.execute(text("UPDATE users SET enabled = false"))
        on = "" if desk.database.is_sqlite else " ON audit_entries"
        session.execute(text(f"DROP TRIGGER audit_entries_kept{on}"))
        desk.command_line(session).change_configuration()
        values = {"name": "w1", "now": datetime.now(UTC).isoformat(timespec="microseconds")}
        session.execute(text("INSERT INTO workers (name, seen_at) VALUES (:name, :now)"), values)

    desk.database.run(end, write=True)
    assert of_database(desk) == {"administrator", "audit log"}
    desk.database.run(lambda session: service.promote(desk.command_line(session), "root"), write=True)
    assert of_database(desk) == {"audit log"}


@pytest.mark.feature("F201")
def test_administrators_with_a_password_alone_are_warned_of(api: Api) -> None:
    assert "mfa.required_for_admins" not in of_database(api.desk), "root works through keys only"
    api.apply("users", username="boss", roles=["admin"], password="correct horse battery")
    assert "mfa.required_for_admins" in of_database(api.desk)
    for key in ("mfa.required_for_admins", "mfa.required_for_everyone"):
        api.apply("settings", key=key, value=True)
        assert "mfa.required_for_admins" not in of_database(api.desk), key
        api.apply("settings", key=key, value=False)


def test_a_clock_far_off_the_databases_is_warned_of(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) - timedelta(minutes=1)

    monkeypatch.setattr(advice, "datetime", Late)
    # SQLite has no clock of its own
    assert ("clock" in of_database(api.desk)) is not api.desk.database.is_sqlite
