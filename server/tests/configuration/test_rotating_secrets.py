"""New secret keys: everything that is sealed is sealed anew, while the desk works, and nothing is lost."""

from __future__ import annotations

import gzip
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from test_desk_secrets import CANARY, GIT, desk_of
from whole import Configuration, opened
from world import furnish

from conftest import SECRET, Api, TurnedClock
from conftest import settings as desk_settings
from deskplane.app import Desk, create_app, make_desk
from deskplane.audit import reading
from deskplane.backup import snapshot
from deskplane.cli import main
from deskplane.configuration import resealing
from deskplane.kernel.crypto import Vault
from dumps import text_of

NEW = "another secret key for tests, long enough as well: 9876543210"
TOKEN = re.compile(r"gAAAAA[\w=-]{60,}")


def desk_with(url: str, secret_key: str, *older: str) -> Desk:
    """The same desk as a process with these keys sees it."""
    changed = desk_settings(url).model_copy(update={"secret_key": secret_key, "old_secret_keys": list(older)})
    return make_desk(changed, TurnedClock())


@pytest.fixture
def document() -> Configuration:
    """An object for every secret field that there is."""
    return desk_of("one")


@pytest.fixture
def full(database_url: str, document: Configuration) -> Iterator[Api]:
    """A desk with a secret in every field that takes one, declared by a manager, and a webhook that had another one."""
    with opened(database_url) as api:
        furnish(api)
        api.call("POST", "/configuration/apply", {"configuration": document, **GIT})
        webhook = next(each for each in api.call("GET", "/webhooks")["items"] if each["secret"])
        api.call("POST", f"/webhooks/{webhook['id']}/rotate-secret", {})
        yield api


def rotate(desk: Desk, tell: Any = lambda _rows, _anew: None) -> int:
    return sum(
        resealing.rotate(desk.database, desk.command_line, column, tell) for column in resealing.columns(desk.registry)
    )


def counted(desk: Desk) -> tuple[int, int, int]:
    """Secrets, those under an older key, and those that no key opens."""
    with desk.database.transaction(write=False) as session:
        found = [resealing.count(session, desk.vault, column) for column in resealing.columns(desk.registry)]
    return sum(one.secrets for one in found), sum(one.older for one in found), sum(len(one.unreadable) for one in found)


def test_after_a_rotation_nothing_in_the_database_is_sealed_with_the_old_key(
    full: Api, document: Configuration, database_url: str
) -> None:
    tokens = TOKEN.findall(text_of(full.desk))
    drift = full.call("GET", "/configuration/drift")["items"]
    both = desk_with(database_url, NEW, SECRET)
    known = counted(both)
    assert known == (len(tokens), len(tokens), 0), "there is a secret in a column that a rotation does not know"
    assert rotate(both) == len(tokens)
    assert counted(both) == (len(tokens), 0, 0)
    assert rotate(both) == 0
    alone = Vault([NEW])
    assert {bool(alone.open(token)) for token in TOKEN.findall(text_of(both))} == {True}
    # a desk that knows the new key alone: the same secrets are no change, and can be read
    after = desk_with(database_url, NEW)
    client = Api(create_app(after).test_client(), full.key, after)
    assert client.call("GET", "/configuration/drift")["items"] == drift
    again = client.call("POST", "/configuration/apply", {"configuration": document, **GIT})
    # but the one that was another one meanwhile
    assert [change["label"].split(" ")[0] for change in again["changes"]] == ["webhook"]
    for desk in (both, after):
        desk.database.dispose()


def test_a_rotation_that_was_broken_off_goes_on_and_others_write_meanwhile(
    full: Api, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resealing, "AT_ONCE", 1)
    both = desk_with(database_url, NEW, SECRET)
    total = counted(both)[0]
    client = Api(create_app(both).test_client(), full.key, both)
    steps = 0

    def tell(_rows: int, _anew: int) -> None:
        nonlocal steps
        steps += 1
        client.apply("settings", key="smtp.password", secret=f"a new password {steps}")
        if steps == 4:
            raise RuntimeError("broken off")

    with pytest.raises(RuntimeError, match="broken off"):
        rotate(both, tell)
    secrets, older, unreadable = counted(both)
    assert (secrets, 0 < older < total, unreadable) == (total, True, 0)
    assert rotate(both) == older
    assert counted(both) == (total, 0, 0)
    both.database.dispose()


def test_an_answer_that_was_stored_under_the_old_key_is_given_again(full: Api, database_url: str) -> None:
    sent: dict[str, Any] = {"headers": {"Idempotency-Key": "once"}}
    made = full.call("POST", "/tickets", {"title": "a"}, status=201, **sent)
    both = desk_with(database_url, NEW, SECRET)
    client = Api(create_app(both).test_client(), full.key, both)
    assert client.call("POST", "/tickets", {"title": "a"}, status=201, **sent) == made
    client.call("POST", "/tickets", {"title": "b"}, status=422, **sent)
    both.database.dispose()


def test_the_command_rotates_and_says_when_the_old_key_can_go(
    full: Api, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tmp_path / "secret_key"
    monkeypatch.setenv("DESKPLANE_DATABASE_URL", database_url)
    monkeypatch.setenv("DESKPLANE_SECRET_KEY_FILE", str(keys))
    monkeypatch.setenv("DESKPLANE_ENVIRONMENT", "test")
    total = counted(full.desk)[0]

    def run(content: str, *words: str) -> Any:
        keys.write_text(content)
        return CliRunner().invoke(main, ["secrets", "rotate", *words])

    assert run(f"{NEW}\n", "--check").stderr.count("no key opens it") == total
    waiting = run(f"{NEW}\n{SECRET}\n", "--check")
    assert (waiting.exit_code, waiting.stdout) == (1, "")
    assert f"{total} of {total} secrets are sealed with an older key; run: deskplane secrets rotate" in waiting.stderr
    done = run(f"{NEW}\n{SECRET}\n")
    assert (done.exit_code, done.stdout) == (
        *(0, f"all {total} secrets are sealed with the present key; those of before can be dropped\n"),
    ), done.output
    assert "webhooks.secret: " in done.stderr
    assert run(f"{NEW}\n", "--check").exit_code == 0
    (entry,) = full.call("GET", "/audit?kind=desk")["items"]
    assert (entry["action"], entry["changes"][0]["after"], entry["who"]) == ("rotate", total, "command line")
    assert NEW not in done.output + waiting.output


def test_no_canary_is_in_a_backup_or_in_the_audit_log(full: Api) -> None:
    file = io.BytesIO()
    with full.desk.database.transaction(write=False) as session:
        snapshot.write(session, file, full.desk.clock, full.desk.vault, None)
        log = b"".join(reading.export(session)).decode()
    for text in (gzip.decompress(file.getvalue()).decode(), log, repr(full.call("GET", "/audit?limit=200"))):
        found = CANARY.search(text)
        assert found is None, text[max(0, found.start() - 300) :][:400]
    assert not TOKEN.search(log), "not even a sealed one is in the log"
    assert "(secret)" in log
