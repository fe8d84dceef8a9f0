"""The audit log: what is in it, and what it takes to be found out."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import insert, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from conftest import SECRET, Api, TurnedClock
from deskplane.app import Desk, migrate
from deskplane.audit import purging, reading, triggers, verifying
from deskplane.audit.models import OlderChange
from deskplane.audit.service import Head, Note, append, head
from deskplane.backup import restore, snapshot
from deskplane.cli import main

DOCS = Path(__file__).parents[3] / "docs"
FIELDS = ("kind", "action", "label", "who", "manager", "revision")


def entries(api: Api, query: str = "") -> list[dict[str, Any]]:
    """What the log says, the newest first."""
    found: list[dict[str, Any]] = api.call("GET", f"/audit?limit=200{query}")["items"]
    return found


def verified(desk: Desk, kept: Head | None = None) -> list[str]:
    """What is wrong with the log."""
    with desk.database.transaction(write=False) as session:
        return verifying.verify(session, kept).troubles


def head_of(desk: Desk) -> Head:
    with desk.database.transaction(write=False) as session:
        return head(session)


def tamper(desk: Desk, *statements: str) -> None:
    """Writes past the database's own protection, as someone with every right on it may."""
    with desk.database.writing.begin() as connection:
        sqlite = desk.database.is_sqlite
        names = triggers.SQLITE if sqlite else triggers.POSTGRESQL
        for name in names:
            connection.execute(text(f"DROP TRIGGER {name}" + ("" if sqlite else " ON audit_entries")))
        for statement in statements:
            connection.execute(text(statement))
        triggers.install(connection)


@pytest.mark.feature("F197")
def test_rights_and_configuration_are_in_it_with_who_from_where_for_whom(api: Api) -> None:
    document = {
        "roles": [{"name": "clerk", "permissions": ["users:manage"]}],
        "settings": [{"key": "registration.enabled", "value": True}],
    }
    body = {"manager": "git:helpdesk", "revision": "4f95fd0", "configuration": document}
    api.call("POST", "/configuration/apply", body)
    api.apply("customers", name="ACME", features={"public_api": True})
    mia = api.as_user("mia", roles=["agent"], memberships=[{"customer": "ACME"}])
    api.apply("groups", name="Second level", members=["mia"], roles=["viewer"])
    there = api.call("GET", "/users?username=mia")["items"][0]["id"]
    api.apply("users", username="mia", api_keys=[{"name": "test", "allowed_ips": ["192.0.2.1"], "regenerate": True}])
    api.apply("users", username="mia", api_keys=[{"name": "test", "state": "absent"}, {"name": "other"}])
    api.call("DELETE", f"/users/{there}", status=204)
    mia.call("GET", "/labels", status=401)
    found = entries(api)
    assert [tuple(entry[name] for name in FIELDS) for entry in reversed(found)][2:] == [
        ("role", "create", "role clerk", "root", "git:helpdesk", "4f95fd0"),
        ("setting", "update", "setting registration.enabled", "root", "git:helpdesk", "4f95fd0"),
        ("customer", "create", "customer ACME", "root", None, None),
        ("user", "create", "user mia", "root", None, None),
        ("api_key", "create", "api_key mia/test", "root", None, None),
        ("group", "create", "group Second level", "root", None, None),
        ("api_key", "update", "api_key mia/test", "root", None, None),
        ("api_key", "delete", "api_key mia/test", "root", None, None),
        ("api_key", "create", "api_key mia/other", "root", None, None),
        ("api_key", "delete", "api_key mia/other", "root", None, None),
        ("user", "delete", "user mia", "root", None, None),
    ]
    assert {entry["address"] for entry in found[:-2]} == {"127.0.0.1"}
    assert {entry["key_id"] for entry in found[:-2]} == {api.key.split("_")[1]} if api.key else False
    changed = {entry["action"]: entry["changes"] for entry in found if entry["label"] == "api_key mia/test"}
    assert changed["update"] == [
        {"field": "allowed_ips", "before": [], "after": ["192.0.2.1"]},
        {"field": "secret", "before": "(secret)", "after": "(secret)"},
    ]
    (gone,) = (entry for entry in found if entry["label"] == "user mia" and entry["action"] == "delete")
    was = {change["field"]: (change["before"], change["after"]) for change in gone["changes"]}
    assert was["roles"] == (["agent"], None)
    assert was["memberships"] == ([{"customer": "ACME", "role": "member"}], None)
    command_line = found[-1]
    assert (command_line["who"], command_line["label"], command_line["user_id"]) == ("command line", "user root", None)
    assert command_line["address"].startswith("local:")
    assert verified(api.desk) == []


def test_what_changes_nothing_and_what_is_only_tried_is_not_in_it(api: Api) -> None:
    api.apply("labels", name="outage")
    before = head_of(api.desk)
    api.apply("labels", name="outage")
    api.apply("labels", name="noise", dry_run=True)
    api.apply("labels", status=422, name="outage", color="nocolor")
    assert head_of(api.desk) == before


def test_it_is_read_in_pages_by_filters_and_only_with_the_right_to(api: Api, clock: TurnedClock) -> None:
    for number in range(5):
        clock.turn(hours=1)
        api.apply("labels", name=f"label {number}", manager="git:a" if number % 2 else None)
    page = api.call("GET", "/audit?kind=label&limit=2")
    following = api.call("GET", f"/audit?kind=label&limit=2&cursor={page['next_cursor']}")
    labels = [entry["label"] for entry in page["items"] + following["items"]]
    assert labels == [f"label label {number}" for number in (4, 3, 2, 1)]
    numbers = [entry["sequence"] for entry in page["items"] + following["items"]]
    assert numbers == sorted(numbers, reverse=True)
    assert [entry["label"] for entry in entries(api, "&manager=git:a")] == ["label label 3", "label label 1"]
    two = entries(api, "&since=2026-03-02T11:00:00Z&until=2026-03-02T13:00:00Z")
    assert [entry["label"] for entry in two] == ["label label 2", "label label 1"]
    object_id = page["items"][0]["object_id"]
    assert len(entries(api, f"&object_id={object_id}")) == 1
    assert entries(api, "&who=nobody") == entries(api, "&address=192.0.2.9") == []
    assert len(entries(api, "&who=root&action=create&kind=label")) == 5
    api.call("GET", "/audit?kind=label&cursor=x", status=400)
    api.as_user("mia", roles=["agent"]).call("GET", "/audit", status=403)


def test_the_database_itself_refuses_to_change_or_delete_an_entry(api: Api) -> None:
    api.apply("labels", name="outage")
    statements = [
        "UPDATE audit_entries SET username = 'nobody'",
        "DELETE FROM audit_entries WHERE id = 1",
        "DELETE FROM audit_entries",
    ]
    one = "INTO audit_entries SELECT * FROM audit_entries WHERE id = 1"
    statements.append(f"REPLACE {one}" if api.desk.database.is_sqlite else "TRUNCATE audit_entries")
    before = head_of(api.desk)
    for statement in statements:
        with pytest.raises(DBAPIError, match="only grows"), api.desk.database.writing.begin() as connection:
            connection.execute(text(statement))
    assert (verified(api.desk), head_of(api.desk)) == ([], before)


@pytest.fixture
def ten(api: Api) -> Desk:
    """A desk with ten entries: two from its making."""
    for number in range(8):
        api.apply("labels", name=f"label {number}")
    assert head_of(api.desk).sequence == 10
    return api.desk


MOVE = "UPDATE audit_entries SET id = {1} WHERE id = {0}"


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        (["UPDATE audit_entries SET username = 'nobody' WHERE id = 4"], ["entry 4 was changed"]),
        (["UPDATE audit_entries SET changes = '[]' WHERE id = 4"], ["entry 4 was changed"]),
        (["UPDATE audit_entries SET address = NULL WHERE id = 7"], ["entry 7 was changed"]),
        (["DELETE FROM audit_entries WHERE id = 4"], ["entry 4 is missing"]),
        (["DELETE FROM audit_entries WHERE id IN (4, 5, 6)"], ["entries 4 to 6 are missing"]),
        (["DELETE FROM audit_entries WHERE id = 1"], ["entry 1 is missing"]),
        (
            [MOVE.format(5, 50), MOVE.format(6, 5), MOVE.format(50, 6)],
            [
                "entry 5 was moved: it was written right behind what is now entry 6",
                "entry 6 was moved",
                "entry 7 was moved",
            ],
        ),
        (
            ["DELETE FROM audit_entries WHERE id = 9", MOVE.format(10, 9)],
            ["entry 9 was changed, or what stood before it was taken away"],
        ),
    ],
    ids=["name", "changes", "address", "one gone", "three gone", "first gone", "swapped", "renumbered"],
)
def test_what_was_tampered_with_is_named_with_its_place(ten: Desk, statements: list[str], told: list[str]) -> None:
    assert verified(ten) == []
    tamper(ten, *statements)
    found = verified(ten)
    assert len(found) == len(told), found
    for line, beginning in zip(found, told, strict=True):
        assert line.startswith(beginning)


def test_an_end_that_was_cut_off_and_a_log_written_anew_are_found_out_by_a_head_kept_elsewhere(ten: Desk) -> None:
    kept = head_of(ten)
    tamper(ten, "DELETE FROM audit_entries WHERE id > 8")
    assert verified(ten) == []
    assert verified(ten, kept) == ["entry 10, whose head was kept, is missing: the log ends at entry 8"]

    def note(session: Session) -> None:
        append(ten.command_line(session), [Note("label", "x", ("a",), "create"), Note("label", "x", ("a",), "delete")])

    ten.database.run(note, write=True)
    assert verified(ten) == []
    (line,) = verified(ten, kept)
    assert line.startswith("entry 10 is not the one whose head was kept")
    assert verified(ten, head_of(ten)) == []


def test_protection_that_was_taken_away_is_told_and_put_back_by_a_migration(ten: Desk) -> None:
    with ten.database.writing.begin() as connection:
        where = "" if ten.database.is_sqlite else " ON audit_entries"
        connection.execute(text(f"DROP TRIGGER audit_entries_stay{where}"))
    (line,) = verified(ten)
    assert "audit_entries_stay is missing; run: deskplane migrate" in line
    migrate(ten)
    assert verified(ten) == []


def test_a_purge_leaves_its_trace_and_takes_nothing_else(api: Api, clock: TurnedClock) -> None:
    desk = api.desk
    for number in range(4):
        api.apply("labels", name=f"label {number}")
    clock.turn(days=10)
    api.apply("labels", name="late")
    kept = head_of(desk)
    before = clock.now()
    clock.turn(days=1)

    def purge() -> int:
        through = desk.database.run(lambda session: purging.announce(desk.command_line(session), before), write=True)
        found = 0
        while gone := desk.database.run(lambda session: purging.delete_some(session, through), write=True):
            found += gone
        return found

    assert purge() == 6
    assert verified(desk, kept) == []
    assert [entry["label"] for entry in entries(api)] == ["audit", "label late"]
    (taken,) = entries(api, "&kind=audit")[0]["changes"]
    assert (taken["before"]["first"], taken["before"]["through"]) == (1, 6)
    assert purge() == 0
    (line,) = verified(desk, Head(3, "0" * 64))
    assert "is not in it any more: it begins behind entry 6" in line
    # what no purge tells of cannot go, nor is it taken for purged
    with pytest.raises(DBAPIError, match="only grows"), desk.database.writing.begin() as connection:
        connection.execute(text("DELETE FROM audit_entries WHERE id = 7"))
    tamper(desk, "DELETE FROM audit_entries WHERE id = 7")
    assert verified(desk) == ["entry 7 is missing"]


def test_a_purge_that_was_broken_off_is_whole_and_is_ended_by_the_next(
    ten: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(purging, "AT_ONCE", 4)
    later = ten.clock.now().replace(year=2030)

    def announce(session: Session) -> int:
        return purging.announce(ten.command_line(session), later)

    through = ten.database.run(announce, write=True)
    assert ten.database.run(lambda session: purging.delete_some(session, through), write=True) == 4
    assert verified(ten) == []
    assert ten.database.run(announce, write=True) == through == 10
    assert [ten.database.run(lambda session: purging.delete_some(session, 10), write=True) for _ in range(3)] == [
        4,
        2,
        0,
    ]
    assert verified(ten) == []


def test_what_versions_before_wrote_is_moved_into_it(ten: Desk) -> None:
    row = {
        **{"at": ten.clock.now(), "kind": "label", "object_id": "x", "key": ["older"], "action": "update"},
        **{"changes": [{"field": "color", "before": None, "after": "#123456"}], "user_id": None, "username": "mia"},
        **{"manager": "git:helpdesk", "revision": None, "request_id": None},
    }
    ten.database.run(lambda session: session.execute(insert(OlderChange), [row, row]), write=True)
    migrate(ten)
    assert head_of(ten).sequence == 12
    assert verified(ten) == []
    with ten.database.transaction(write=False) as session:
        moved = [entry.content for entry in reading.stored(session, 10)]
        assert session.execute(select(OlderChange)).all() == []
    given = {name: value for name, value in row.items() if value is not None and name != "at"}
    assert [{name: one[name] for name in given} for one in moved] == [given, given]


def test_an_export_is_verified_by_itself_also_of_a_part_and_by_the_program_of_the_docs(
    ten: Desk, tmp_path: Path
) -> None:
    with ten.database.transaction(write=False) as session:
        whole = b"".join(reading.export(session))
    lines = whole.splitlines(keepends=True)
    assert (len(lines), json.loads(lines[-1])["sequence"]) == (10, 10)
    kept = head_of(ten)
    assert verifying.verify_export(io.BytesIO(whole), kept).troubles == []
    assert verifying.verify_export(io.BytesIO(b"".join(lines[4:])), kept).troubles == []
    changed = whole.replace(b"label 3", b"label X")
    (line,) = verifying.verify_export(io.BytesIO(changed)).troubles
    assert line.startswith("entry 6 was changed")
    assert verifying.verify_export(io.BytesIO(b"".join(lines[:3] + lines[4:]))).troubles == ["entry 4 is missing"]
    program = re.findall(r"```python\n(.*?)```", (DOCS / "audit.md").read_text(), re.DOTALL)[0]
    for content, complaint in ((whole, ""), (changed, "entry 6 is not as it was written\n")):
        (tmp_path / "log").write_bytes(content)
        done = subprocess.run([sys.executable, "-c", program, tmp_path / "log"], stderr=subprocess.PIPE, text=True)
        assert (done.returncode, done.stderr) == (bool(complaint), complaint)
    with pytest.raises(ValueError, match="line 2 is no entry"):
        verifying.verify_export(io.BytesIO(lines[0] + b"[]\n"))


def test_a_backup_carries_it_and_a_restore_notes_itself(ten: Desk, tmp_path: Path) -> None:
    file = io.BytesIO()
    with ten.database.transaction(write=False) as session:
        snapshot.write(session, file, ten.clock, ten.vault, None)
    kept = head_of(ten)
    ten.database.run(lambda session: append(ten.command_line(session), [Note("desk", "", (), "rotate")]), write=True)
    replaced: list[Head | None] = []

    def note(session: Session, found: Head | None) -> None:
        replaced.append(found)
        append(ten.command_line(session), [Note("desk", "", (), "restore")])

    last = head_of(ten)
    file.seek(0)
    restore.restore(ten.database, file, None, lambda _table, _rows: None, note)
    assert replaced == [last]
    assert verified(ten, kept) == []
    assert head_of(ten).sequence == 11


def test_the_command_line_verifies_exports_and_purges(
    api: Api, database_url: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("DESKPLANE_DATABASE_URL", database_url)
    monkeypatch.setenv("DESKPLANE_SECRET_KEY", SECRET)
    monkeypatch.setenv("DESKPLANE_ENVIRONMENT", "test")

    def run(*words: str) -> Any:
        return CliRunner().invoke(main, ["audit", *words])

    api.apply("labels", name="outage")
    found = run("verify")
    assert (found.exit_code, found.stdout) == (0, f"{head_of(api.desk)}\n"), found.output
    assert "whole: 3 entries, from 1 to 3" in found.stderr
    assert run("verify", "--head", found.stdout.strip()).exit_code == 0
    assert "is no head; it looks like 1234:" in run("verify", "--head", "x").stderr
    file = tmp_path / "log.jsonl"
    assert run("export", str(file)).exit_code == 0
    assert run("verify", "--file", str(file)).stdout == found.stdout
    assert (
        run("export", "--since", "2026-03-02T00:00:00Z", "--until", "2026-03-03T00:00:00Z").stdout == file.read_text()
    )
    assert run("export", "--since", "yesterday").exit_code == 2
    assert "exists already" in run("purge", "--older-than-days", "1", "--export", str(file)).stderr
    gone = tmp_path / "gone.jsonl"
    purged = run("purge", "--older-than-days", "1", "--export", str(gone))
    assert (purged.exit_code, "purged 3 entries" in purged.stderr) == (0, True), purged.output
    assert gone.read_text() == file.read_text()
    assert run("verify").exit_code == 0
    tamper(api.desk, "UPDATE audit_entries SET username = 'nobody'")
    broken = run("verify")
    assert (broken.exit_code, broken.stdout) == (1, "")
    assert "entry 4 was changed" in broken.stderr
