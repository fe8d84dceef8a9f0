"""Backups over the API and by schedule."""

from __future__ import annotations

import base64
import hashlib
import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from backup_help import opened

from conftest import Api, TurnedClock
from deskplane.app import Desk, make_worker
from deskplane.backup import files
from deskplane.backup import restore as restoring
from deskplane.desks.schedule import next_after


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.feature("F267")
@pytest.mark.feature("F270")
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_key_for_backups_makes_one_and_can_do_nothing_else(api: Api, method: str) -> None:
    opened(api, "Printer")
    keeper = api.as_user("keeper", roles=["backup"])
    answer = keeper.request(method, "/admin/backup")
    assert (answer.status_code, answer.content_type) == (200, "application/gzip")
    assert answer.headers["Content-Disposition"] == 'attachment; filename="deskplane-20260302T090000Z.tar.gz"'
    digest = base64.b64encode(hashlib.sha256(answer.data).digest()).decode()
    assert answer.headers["Repr-Digest"] == f"sha-256=:{digest}:"
    assert restoring.verify(io.BytesIO(answer.data), vault=api.desk.vault).rows["tickets"] == 1
    assert keeper.request("GET", "/tickets").status_code == 403
    assert api.as_user("agent", roles=["agent"]).request(method, "/admin/backup").status_code == 403


@pytest.mark.parametrize(
    ("schedule", "after", "following"),
    [
        ("30 2 * * *", "2026-03-02T02:29:59", "2026-03-02T02:30:00"),
        ("30 2 * * *", "2026-03-02T02:30:00", "2026-03-03T02:30:00"),
        ("*/20 * * * *", "2026-12-31T23:45:00", "2027-01-01T00:00:00"),
        ("0 0 29 2 *", "2026-03-01T00:00:00", "2028-02-29T00:00:00"),
        ("0 4 * * sun", "2026-11-21T00:00:00", "2026-11-22T04:00:00"),
        ("0 4 * * 7", "2026-11-21T00:00:00", "2026-11-22T04:00:00"),
        ("0 4 1 * mon", "2026-11-21T00:00:00", "2026-11-23T04:00:00"),
        ("0 4 1 * mon", "2026-11-30T05:00:00", "2026-12-01T04:00:00"),
        ("15,45 8-9 * jan-mar *", "2026-01-05T08:45:00", "2026-01-05T09:15:00"),
        ("0 8-18/4 * * *", "2026-01-05T12:00:00", "2026-01-05T16:00:00"),
        ("0 0 30 2 *", "2026-01-01T00:00:00", None),
    ],
)
def test_the_next_time_of_a_schedule(schedule: str, after: str, following: str | None) -> None:
    assert next_after(schedule, at(after)) == (None if following is None else at(following))


@pytest.fixture
def directory(desk: Desk, tmp_path: Path) -> Path:
    found = tmp_path / "backups"
    found.mkdir()
    desk.settings.backup_directory = found
    return found


def work(desk: Desk) -> None:
    """What a worker does when its time has come."""
    worker = make_worker(desk)
    worker._schedules.run_due()
    worker.drain_once()


@pytest.mark.feature("F269")
def test_backups_are_made_on_time_and_the_oldest_go(api: Api, clock: TurnedClock, directory: Path) -> None:
    for key, value in (("backup.schedule", "30 2 * * *"), ("backup.keep", 2)):
        api.apply("settings", key=key, value=value)
    (directory / "something else.tar.gz").write_text("of somebody else")
    seen = []
    for _hour in range(24 * 3):
        clock.turn(hours=1)
        work(api.desk)
        seen.append([path.name for _made, path in files.there(directory)])
    made = sorted({name for names in seen for name in names})
    # the first one at once (a job that is new waits for one period), then each night
    assert [name[10:21] for name in made] == ["20260302T11", "20260303T03", "20260304T03", "20260305T03"]
    assert seen[-1] == made[-2:]
    assert (directory / "something else.tar.gz").exists()
    assert oct((directory / made[-1]).stat().st_mode)[-3:] == "600"
    with (directory / made[-1]).open("rb") as file:
        assert restoring.verify(file).rows["users"] == 1


def test_a_backup_that_cannot_be_made_is_an_alert_until_one_is(api: Api, clock: TurnedClock, directory: Path) -> None:
    api.apply("settings", key="backup.schedule", value="30 2 * * *")
    passphrase = directory.parent / "passphrase"
    api.desk.settings.backup_passphrase_file = passphrase
    for _ in range(2):
        clock.turn(minutes=10)
        work(api.desk)
    (alert,) = api.call("GET", "/alerts?open=true")["items"]
    assert (alert["kind"], alert["text"]) == (
        "backup_failing",
        f"no backup could be made, and it is tried again: the passphrase cannot be read: No such file or directory: "
        f"{passphrase}",
    )
    assert list(directory.iterdir()) == []
    passphrase.write_text("a long passphrase\n")
    clock.turn(minutes=10)
    work(api.desk)
    (made,) = files.there(directory)
    assert made[1].name.endswith(".tar.gz.sealed")
    with made[1].open("rb") as file:
        restoring.verify(file, "a long passphrase")
    assert api.call("GET", "/alerts?open=true")["items"] == []
