"""Copies of backups at an address outside (setting `backup.offsite_url`)."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Api, TurnedClock
from deskplane.app import Desk, make_worker
from deskplane.backup import files, offsite
from deskplane.backup import restore as restoring
from receivers import Script, receiver
from webhook_help import Receivers, receivers

TOKEN = "Bearer canary-Xy7Qw2"


@pytest.fixture
def hooks(desk: Desk, api: Api, clock: TurnedClock) -> Iterator[Receivers]:
    """The desk may call the test network."""
    with receivers(desk, api, clock) as found:
        yield found


@pytest.fixture
def directory(desk: Desk, tmp_path: Path) -> Path:
    found = tmp_path / "backups"
    found.mkdir()
    desk.settings.backup_directory = found
    make_worker(desk)._schedules.run_due()  # a job that is new waits for one period
    return found


def backed_up(desk: Desk, clock: TurnedClock) -> None:
    """What a worker does when the time of a backup has come."""
    clock.turn(days=1)
    worker = make_worker(desk)
    worker._schedules.run_due()
    while worker.drain_once():
        pass


def alerts(api: Api) -> list[str]:
    return [entry["text"] for entry in api.call("GET", "/alerts?open=true")["items"]]


@pytest.mark.feature("F269")
def test_each_backup_is_put_elsewhere_whole(
    hooks: Receivers, api: Api, desk: Desk, clock: TurnedClock, directory: Path
) -> None:
    (directory.parent / "authorization").write_text(f"{TOKEN}\n")
    desk.settings.backup_offsite_authorization_file = directory.parent / "authorization"
    script = Script(((201, {}, b""),))
    with receiver(script) as (address, port):
        api.apply("settings", key="backup.offsite_url", value=f"http://{address}:{port}/copies/?vault=7")
        api.apply("settings", key="backup.schedule", value="30 2 * * *")
        for _ in range(2):
            backed_up(desk, clock)
    names = [path.name for _made, path in files.there(directory)]
    assert [(got.method, got.path) for got in script.got] == [("PUT", f"/copies/{name}?vault=7") for name in names]
    for got, name in zip(script.got, names, strict=True):
        assert got.body == (directory / name).read_bytes()
        assert got.headers["authorization"] == TOKEN
        digest = base64.b64encode(hashlib.sha256(got.body).digest()).decode()
        assert got.headers["repr-digest"] == f"sha-256=:{digest}:"
        assert restoring.verify(io.BytesIO(got.body)).rows["users"] == 1
    assert alerts(api) == []


def test_a_copy_that_is_refused_is_tried_again_and_an_alert_that_holds_no_secret(
    hooks: Receivers, api: Api, desk: Desk, clock: TurnedClock, directory: Path
) -> None:
    script = Script(((507, {}, b""), (507, {}, b""), (200, {}, b"")))
    with receiver(script) as (address, port):
        api.apply("settings", key="backup.offsite_url", value=f"http://{address}:{port}/x?signature=canary-Xy7Qw2")
        api.apply("settings", key="backup.schedule", value="30 2 * * *")
        backed_up(desk, clock)
        (name,) = [path.name for _made, path in files.there(directory)]
        text = f"the backup {name} could not be copied, and it is tried again: {address} answered 507"
        assert alerts(api) == [text]
        for number in (2, 3):
            clock.turn(minutes=1)
            make_worker(desk).drain_once()
            assert len(script.got) == number
    assert {got.body for got in script.got} == {(directory / name).read_bytes()}
    assert alerts(api) == []


def test_a_copy_goes_where_the_desk_may_call_only(
    hooks: Receivers, api: Api, desk: Desk, clock: TurnedClock, directory: Path
) -> None:
    api.apply("settings", key="backup.offsite_url", value="http://169.254.169.254/latest")
    api.apply("settings", key="backup.schedule", value="30 2 * * *")
    backed_up(desk, clock)
    (found,) = alerts(api)
    assert "169.254.169.254 is not on the public internet" in found


def test_a_copy_whose_backup_is_gone_is_none(
    hooks: Receivers, api: Api, desk: Desk, clock: TurnedClock, directory: Path
) -> None:
    script = Script(((500, {}, b""),))
    with receiver(script) as (address, port):
        api.apply("settings", key="backup.offsite_url", value=f"http://{address}:{port}/x")
        api.apply("settings", key="backup.schedule", value="30 2 * * *")
        backed_up(desk, clock)
        for _made, path in files.there(directory):
            path.unlink()
        clock.turn(minutes=1)
        make_worker(desk).drain_once()
    assert (len(script.got), alerts(api)) == (1, [])


def test_a_worker_without_the_directory_leaves_backups_to_one_that_has_it(
    hooks: Receivers, api: Api, desk: Desk, clock: TurnedClock, directory: Path
) -> None:
    api.apply("settings", key="backup.schedule", value="30 2 * * *")
    clock.turn(days=1)
    make_worker(desk)._schedules.run_due()
    desk.settings.backup_directory = None
    elsewhere = make_worker(desk)
    while elsewhere.drain_once():
        pass
    assert (files.there(directory), alerts(api)) == ([], [])
    desk.settings.backup_directory = directory
    make_worker(desk).drain_once()
    assert len(files.there(directory)) == 1


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("https://c.example", "https://c.example/a.gz"),
        ("https://c.example/desk/", "https://c.example/desk/a.gz"),
        ("https://c.example/desk?sig=x/y", "https://c.example/desk/a.gz?sig=x/y"),
    ],
)
def test_the_address_of_a_copy(url: str, found: str) -> None:
    assert offsite.below(url, "a.gz") == found
