"""TLS to PostgreSQL: who is believed, and what is said of who is not."""

from __future__ import annotations

import glob
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from conftest import Postgres, settings
from deskplane.app import make_desk
from test_cli import Terminal
from tls_front import Authority, authority, tls_front

pytestmark = [
    pytest.mark.feature("F264"),
    pytest.mark.only_on("postgresql"),  # SQLite is no server
]


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Its certificate is for the name localhost, and for no address."""
    return authority(tmp_path_factory.mktemp("known"), "known", "localhost")


@pytest.fixture(scope="module")
def front(postgres: Postgres, known: Authority) -> Iterator[str]:
    """The address of the tests' database behind TLS, by the name that its certificate is for."""
    url = make_url(postgres.url)
    (behind,) = [path for path in glob.glob(f"{url.query['host']}/.s.PGSQL.*") if not path.endswith(".lock")]
    with tls_front(behind, known.certificate) as port:
        found = url.set(host="localhost", port=port, query={})
        yield found.render_as_string(hide_password=False)


@pytest.fixture(scope="module")
def terminal() -> Iterator[Terminal]:
    found = Terminal()
    yield found
    found.process.communicate(timeout=30)


def by_address(url: str) -> str:
    return url.replace("localhost", "127.0.0.1")


@pytest.mark.parametrize(("mode", "is_sealed"), [("verify-full", True), ("verify-ca", True), ("require", True)])
def test_a_connection_is_protected_as_the_settings_say(
    front: str, known: Authority, mode: str, is_sealed: bool
) -> None:
    root = {"database_tls_root_certificate": known.root} if mode != "require" else {}
    desk = make_desk(settings(front, database_tls=mode, **root))
    with desk.database.transaction(write=False) as session:
        assert session.execute(text("SELECT 1")).scalar_one() == 1
        driver = session.connection().connection.driver_connection
        assert driver.pgconn.ssl_in_use is is_sealed
    desk.database.dispose()


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"DESKPLANE_DATABASE_TLS": "verify-full"}, "certificate verify failed"),
        ({"DESKPLANE_DATABASE_TLS": "verify-full", "ROOT": "other"}, "certificate verify failed"),
        ({"DESKPLANE_DATABASE_TLS": "verify-ca", "ROOT": "other"}, "certificate verify failed"),
        ({"DESKPLANE_DATABASE_TLS": "verify-full", "ROOT": "known", "BY": "address"}, "does not match host name"),
    ],
)
def test_a_server_that_is_not_the_one_is_refused_in_one_line(
    front: str, known: Authority, tmp_path: Path, terminal: Terminal, values: dict[str, str], named: str
) -> None:
    values = dict(values)
    roots = {"known": known.root, "other": authority(tmp_path, "other", "localhost").root, None: None}
    root = roots[values.pop("ROOT", None)]
    if root is not None:
        values["DESKPLANE_DATABASE_TLS_ROOT_CERTIFICATE"] = str(root)
    url = by_address(front) if values.pop("BY", None) else front
    for command in ("check", "migrate"):
        done = terminal(command, url=url, **values)
        assert done.returncode == 1
        (line,) = (done.stdout + done.stderr).splitlines()
        assert line.removeprefix("deskplane: ").startswith("database: "), line
        assert named in line


def test_a_server_without_tls_is_refused_where_it_must_have_it(postgres: Postgres, terminal: Terminal) -> None:
    url = make_url(postgres.url)
    (behind,) = [path for path in glob.glob(f"{url.query['host']}/.s.PGSQL.*") if not path.endswith(".lock")]
    with tls_front(behind, None) as port:
        plain = url.set(host="127.0.0.1", port=port, query={}).render_as_string(hide_password=False)
        assert terminal("check", url=plain).returncode == 0, "on this machine what the server offers is enough"
        done = terminal("check", url=plain, DESKPLANE_DATABASE_TLS="require")
    assert (done.returncode, "server does not support SSL" in done.stdout) == (1, True), done.stdout
