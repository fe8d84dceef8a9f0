"""The command line: as its users meet it, in a process of its own."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Api, settings
from deskplane.app import create_app, make_desk
from deskplane.migrations import head
from terminal import SECRET, Terminal, failure


@pytest.fixture(scope="module")
def run() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.process.communicate(timeout=30)


def test_a_desk_is_backed_up_and_restored(run: Terminal, tmp_path: Path) -> None:
    url, copy = f"sqlite:///{tmp_path / 'desk.db'}", f"sqlite:///{tmp_path / 'copy.db'}"
    assert run("migrate", url=url).returncode == 0
    assert run("user", "create-admin", "root", url=url).returncode == 0
    made = run("backup", str(tmp_path), url=url)
    assert made.returncode == 0, made.stderr
    (file,) = tmp_path.glob("deskplane-*.tar.gz")
    assert made.stderr.startswith(f"wrote {file} (")
    assert oct(file.stat().st_mode)[-3:] == "600"
    assert run("verify", str(file)).stdout.splitlines()[0].startswith("whole: made 20")
    other_key = {"DESKPLANE_SECRET_KEY": SECRET[::-1]}
    assert "were sealed with another secret key" in failure(run("restore", str(file), url=copy, **other_key))
    assert run("restore", str(file), url=copy).stderr.startswith("restored ")
    refused = "the database is not empty; to put the backup in place of what is there, add --overwrite"
    assert failure(run("restore", str(file), url=copy)) == refused
    assert run("restore", str(file), "--overwrite", url=copy).returncode == 0
    assert failure(run("user", "create-admin", "root", url=copy)) == "the administrator root exists already"
    file.write_bytes(file.read_bytes()[:-1])
    assert failure(run("verify", str(file))) == "it is damaged, or its end is missing"
    assert failure(run("restore", str(file), "--overwrite", url=copy)) == "it is damaged, or its end is missing"
    assert failure(run("backup", str(tmp_path / "no" / "where"), url=url)).endswith("No such file or directory")


def test_every_command_explains_itself() -> None:
    from click import Group, Option
    from click.testing import CliRunner

    from deskplane.cli import main

    def walk(command: Group, path: list[str]) -> None:
        for name, inner in command.commands.items():
            shown = CliRunner().invoke(main, [*path, name, "--help"])
            assert shown.exit_code == 0
            assert inner.help, name
            assert inner.help.splitlines()[0] in " ".join(shown.output.split())
            for parameter in inner.params:
                if isinstance(parameter, Option) and not parameter.hidden:
                    assert parameter.help, (name, parameter.name)
            if isinstance(inner, Group):
                walk(inner, [*path, name])

    assert isinstance(main, Group)
    walk(main, [])
    local = {"serve", "worker", "migrate", "check", "user", "key", "openapi", "describe-kinds", "seed"}
    local |= {"backup", "verify", "restore", "config-example", "audit", "secrets", "setup-token"}
    assert set(main.commands) == local | {"configuration"}


@pytest.mark.feature("F190", "F258")
def test_a_fresh_desk_is_set_up_step_by_step_and_each_step_can_be_repeated(run: Terminal, database_url: str) -> None:
    assert run("migrate", url=database_url).stdout == "already at " + head() + "\n"
    checked = run("check", url=database_url)
    assert (checked.returncode, checked.stdout) == (0, "nothing else is wrong\n")
    assert "administrator: there is none; run: deskplane user create-admin NAME" in checked.stderr
    token = run("setup-token", url=database_url)
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}\n", token.stdout)
    made = run("user", "create-admin", "boss", "--password-stdin", url=database_url, text="long enough\n")
    assert "there is an administrator already" in failure(run("setup-token", url=database_url))
    assert (made.returncode, made.stdout) == (0, "")
    again = run("user", "create-admin", "boss", "--if-missing", url=database_url)
    assert (again.returncode, "is an administrator already" in again.stderr) == (0, True)
    assert "exists already" in failure(run("user", "create-admin", "boss", url=database_url))
    key = run("key", "create", "--user", "boss", "--name", "ci", "--scope", "labels:manage", url=database_url)
    assert key.returncode == 0
    assert key.stdout.startswith("dpk_")
    assert key.stdout.count("\n") == 1
    quiet = run("key", "create", "--user", "boss", "--name", "ci", "--if-missing", url=database_url)
    assert (quiet.returncode, quiet.stdout) == (0, "")
    assert "already" in failure(run("key", "create", "--user", "boss", "--name", "ci", url=database_url))
    assert run("user", "promote", "boss", url=database_url).returncode == 0
    assert _works(database_url, key.stdout.strip())
    anew = run(
        "key", "create", "--user", "boss", "--name", "ci", "--scope", "labels:manage", "--replace", url=database_url
    )
    assert anew.returncode == 0
    assert _works(database_url, anew.stdout.strip(), label="y")
    assert _status(database_url, key.stdout.strip()) == 401, "the one that was there before still works"


def _status(url: str, key: str) -> int:
    desk = make_desk(settings(url))
    found = Api(create_app(desk).test_client(), key, desk).request("GET", "/labels").status_code
    desk.database.dispose()
    return found


def _works(url: str, key: str, label: str = "x") -> bool:
    desk = make_desk(settings(url))
    api = Api(create_app(desk).test_client(), key, desk)
    found = [
        api.request("POST", "/labels/apply", {"name": label}).status_code,
        api.request("GET", "/users").status_code,
    ]
    desk.database.dispose()
    return found == [201, 403]


@pytest.mark.feature("F191")
def test_promote_recovers_an_account_that_was_disabled_and_deleted(
    run: Terminal, api: object, database_url: str
) -> None:
    from conftest import Api

    assert isinstance(api, Api)
    api.apply("users", username="mia", enabled=False)
    api.apply("users", username="mia", state="absent")
    assert run("user", "promote", "mia", url=database_url).returncode == 0
    found = api.call("GET", "/users?username=mia")["items"][0]
    assert (found["enabled"], found["roles"]) == (True, ["admin"])


@pytest.mark.feature("F191", "F195")
def test_who_lost_his_second_factor_gets_in_again(run: Terminal, api: object, mia: str, database_url: str) -> None:
    from conftest import Api
    from factors.factor_help import set_up
    from login_help import Browser

    assert isinstance(api, Api)
    browser = Browser(api)
    browser.log_in()
    set_up(browser, api)
    Browser(api).log_in(status=202)
    done = run("user", "reset-factors", "mia", url=database_url)
    assert (done.returncode, done.stderr) == (0, "mia has no second factor\n")
    browser.call("GET", "/session", status=401)
    Browser(api).log_in()
    line = api.call("GET", "/logins?username=mia&event=mfa_reset")["items"][0]
    assert (line["actor"], line["address"].startswith("local:")) == ("command line", True)
    assert "no user named nobody" in failure(run("user", "reset-factors", "nobody", url=database_url))


def test_bad_names_are_refused_before_anything_is_made(run: Terminal, database_url: str) -> None:
    for name in ("", "a b", "x" * 121, "-", "a\nb"):
        assert failure(run("user", "create-admin", "--", name, url=database_url))
    assert "8 characters" in failure(
        run("user", "create-admin", "mia", "--password-stdin", url=database_url, text="short\n")
    )
    assert "no user named nobody" in failure(run("user", "promote", "nobody", url=database_url))
    assert "no user named nobody" in failure(run("key", "create", "--user", "nobody", "--name", "x", url=database_url))
    for name in ("", "x" * 121, "a\nb"):
        assert failure(run("key", "create", "--user", "nobody", "--name", name, url=database_url))
    wrong = failure(run("key", "create", "--user", "nobody", "--name", "x", "--scope", "everything", url=database_url))
    assert "there is no permission everything" in wrong


def test_a_database_that_is_not_there_or_not_ready_is_one_line(run: Terminal, tmp_path: Path) -> None:
    empty = f"sqlite:///{tmp_path / 'empty.db'}"
    for arguments in (["user", "create-admin", "root"], ["user", "promote", "root"]):
        assert failure(run(*arguments, url=empty)) == "database: has no tables yet; run: deskplane migrate"
    assert "run: deskplane migrate" in failure(run("worker", url=empty))
    checked = run("check", url=empty)
    assert (checked.returncode, "run: deskplane migrate" in checked.stdout) == (3, True)
    (tmp_path / "text.db").write_text("this is no database, " * 100)
    assert "not a database" in failure(run("migrate", url=f"sqlite:///{tmp_path / 'text.db'}"))
    assert "No such file" in failure(run("migrate", url=f"sqlite:///{tmp_path / 'no' / 'desk.db'}"))
    refused = failure(run("migrate", url="postgresql+psycopg://desk:canary-Xy7Qw2@127.0.0.1:1/desk"))
    assert refused.startswith("database: ")
    assert "canary" not in refused


def test_a_database_of_a_newer_version_is_left_alone(run: Terminal, tmp_path: Path) -> None:
    import sqlite3

    path = tmp_path / "desk.db"
    assert run("migrate", url=f"sqlite:///{path}").stdout == f"migrated from nothing to {head()}\n"
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
        connection.execute("UPDATE schema_floor SET migration = '9999'")
    for command in ("migrate", "serve"):
        assert "does not know" in failure(run(command, url=f"sqlite:///{path}"))


def test_an_address_where_nobody_can_listen_is_one_line(run: Terminal, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'desk.db'}"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert (
            failure(run("serve", "--bind", address, url=url))
            == f"bind: cannot listen on {address}: Address already in use"
        )
    assert "no port" in failure(run("serve", "--bind", "127.0.0.1:99999", url=url))
    assert failure(run("serve", "--bind", "nonsense", url=url)).startswith("bind: ")
    assert failure(run("serve", "--bind", "198.51.100.1:8080", url=url)).startswith("bind: cannot listen")


def test_unsafe_settings_keep_every_command_from_working(run: Terminal) -> None:
    for arguments in (["serve"], ["worker"], ["migrate"], ["user", "promote", "x"]):
        assert failure(run(*arguments, DESKPLANE_SECRET_KEY="short")).startswith("secret_key: ")
    assert "does not exist" in failure(run("--config", "none.yml", "migrate"))


def test_documents_need_neither_settings_nor_a_database(run: Terminal) -> None:
    document = json.loads(run("openapi", DESKPLANE_SECRET_KEY="", DESKPLANE_DATABASE_URL="x").stdout)
    assert document["openapi"] == "3.1.0"
    kinds = json.loads(run("describe-kinds", DESKPLANE_SECRET_KEY="", DESKPLANE_DATABASE_URL="x").stdout)["kinds"]
    assert {"customer", "department", "sla_policy", "webhook", "user", "role"} <= {kind["name"] for kind in kinds}
