"""Start-up safety: what is unsafe keeps the process from starting, and is named with the fix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deskplane.settings import SettingsError, findings, load, require_safe

SECRET = "vX3kq9Zt7Lw2Rb8Nc5Hd1Gf6Js4Kp0Ym-Qe"
REMOTE = "postgresql+psycopg://desk@db.example/desk"
CANARY = "canary-Xy7Qw2"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("DESKPLANE_"):
            monkeypatch.delenv(name)
    # registered, so that what `load` sets is taken back
    monkeypatch.setenv("DESKPLANE_CONFIG", "")
    monkeypatch.delenv("DESKPLANE_CONFIG")
    monkeypatch.chdir(tmp_path)


def _refusal(**values: Any) -> str:
    with pytest.raises(SettingsError) as caught:
        require_safe(load(**values))
    return str(caught.value)


def test_good_settings_have_no_finding() -> None:
    assert findings(load(secret_key=SECRET)) == []
    require_safe(load(secret_key=SECRET, database_url="postgresql+psycopg://desk@db.example/desk"))


@pytest.mark.feature("F262")
@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({}, "secret_key: is not set"),
        ({"secret_key": ""}, "secret_key: is not set"),
        ({"secret_key": "short"}, "secret_key: is shorter than 32"),
        ({"secret_key": "ab" * 40}, "secret_key: is shorter than 32 characters, or repeats"),
        ({"secret_key": f"{SECRET}changeme"}, "secret_key: is a default or a known word"),
        ({"secret_key": SECRET, "debug": True}, "debug: is on in production"),
        ({"secret_key": SECRET, "database_url": "mysql://desk"}, "database_url: "),
        ({"secret_key": SECRET, "database_url": "sqlite://"}, "database_url: "),
        ({"secret_key": SECRET, "database_url": "sqlite:///"}, "database_url: "),
        ({"secret_key": SECRET, "database_url": f"postgresql+psycopg://a:{CANARY}@h:x/d"}, "database_url: "),
        ({"secret_key": SECRET, "database_url": f"postgresql+psycopg://a:{CANARY}@h"}, "database_url: "),
        (
            {"secret_key": SECRET, "database_tls": "require"},
            "database_tls: is set, and SQLite is no server; take database_tls… out of the settings",
        ),
        (
            {"secret_key": SECRET, "database_url": f"{REMOTE}?sslmode=require", "database_tls": "verify-full"},
            "database_tls: is said in database_url, too; take what begins with ssl out of database_url",
        ),
        (
            {"secret_key": SECRET, "database_url": REMOTE, "database_tls": "verify-ca"},
            "database_tls: verify-ca believes whatever host the authority signed for; set database_tls_root_",
        ),
        (
            {
                "secret_key": SECRET,
                "database_url": REMOTE,
                "database_tls": "require",
                "database_tls_root_certificate": "/dev/null",
            },
            "database_tls_root_certificate: is set, and nothing would be compared with it; set database_tls to ver",
        ),
        (
            {"secret_key": SECRET, "database_url": REMOTE, "database_tls_root_certificate": "/no/such.pem"},
            "database_tls_root_certificate: /no/such.pem cannot be read; name a file with certificates in PEM",
        ),
        ({"secret_key": SECRET, "database_tls": "allow"}, "database_tls: "),
        ({"secret_key_file": "no/such/file"}, "secret_key_file: cannot be read"),
        ({"secret_key": SECRET, "workers": 0}, "workers: "),
        ({"secret_key": SECRET, "threads": "many"}, "threads: "),
        ({"secret_key": SECRET, "bind": "nonsense"}, "bind: "),
        ({"secret_key": SECRET, "bind": ":8080"}, "bind: "),
        ({"secret_key": SECRET, "webhook_networks": "10.0.0.0/8,10.0.0.1/8"}, "webhook_networks.1: "),
        ({"secret_key": SECRET, "log_level": "loud"}, "log_level: "),
        ({"secret_key": SECRET, "environment": "staging"}, "environment: "),
        ({"secret_key": SECRET, "no_such": 1}, "no_such: "),
    ],
)
def test_each_bad_setting_is_refused_by_its_name(values: dict[str, Any], named: str) -> None:
    text = _refusal(**values)
    assert named in text
    assert CANARY not in text
    assert "Traceback" not in text


def test_all_findings_are_named_at_once() -> None:
    lines = _refusal(secret_key="secret", debug=True, database_url="x").splitlines()
    assert [line.split(":")[0] for line in lines] == ["secret_key", "secret_key", "debug", "database_url"]


def test_a_secret_file_must_be_there_be_text_and_be_read_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    path.chmod(0o644)
    assert f"secret_key_file: {path} can be read by everyone; run: chmod o= {path}" in _refusal(secret_key_file=path)
    path.chmod(0o640)
    assert load(secret_key_file=path).secret() == SECRET
    require_safe(load(secret_key_file=path))
    path.write_bytes(b"\xff\xfe" * 40)
    assert "is not text" in _refusal(secret_key_file=path)
    path.write_text(" \n")
    for environment in ("production", "development"):
        assert "secret_key_file: is empty" in _refusal(secret_key_file=path, environment=environment)


@pytest.mark.parametrize(
    "text", [f"secret_key: {SECRET}\n", f"database_url: postgresql+psycopg://desk:{CANARY}@db.example/desk\n"]
)
def test_a_configuration_file_with_a_secret_must_not_be_readable_by_everyone(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deskplane.yml"
    path.write_text(text)
    if "secret_key" not in text:
        monkeypatch.setenv("DESKPLANE_SECRET_KEY", SECRET)
    path.chmod(0o644)
    assert f"configuration file: {path} can be read by everyone" in _refusal(config=str(path))
    path.chmod(0o600)
    require_safe(load(config=str(path)))


def test_a_configuration_file_that_is_missing_or_broken_is_one_line(tmp_path: Path) -> None:
    assert "does not exist" in _refusal(config=str(tmp_path / "none.yml"))
    path = tmp_path / "deskplane.yml"
    for text in ("a: [", "\x00", "- a\n- b\n", "workers: [1]\n", "just text"):
        path.write_text(text)
        assert str(_refusal(config=str(path))), text


def test_the_environment_goes_before_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "deskplane.yml"
    path.write_text(f"secret_key: {SECRET}\nworkers: 3\nthreads: 5\n")
    monkeypatch.setenv("DESKPLANE_WORKERS", "7")
    found = load(config=str(path))
    assert (found.workers, found.threads) == (7, 5)


def test_development_needs_a_secret_only_and_production_is_the_default() -> None:
    require_safe(load(secret_key="short", debug=True, environment="development"))
    assert load(secret_key=SECRET).environment == "production"
    assert "not set" in _refusal(environment="development")


SYSTEM = {"sslmode": "verify-full", "sslrootcert": "system"}


@pytest.mark.feature("F264")
@pytest.mark.parametrize(
    ("url", "values", "found"),
    [
        ("sqlite:////desk.db", {}, {}),
        (REMOTE, {}, SYSTEM),
        ("postgresql+psycopg://desk@10.0.0.7:5433/desk", {}, SYSTEM),
        ("postgresql+psycopg://desk@/desk?host=/run/postgresql", {}, {}),
        ("postgresql+psycopg://desk@/desk?host=db.example", {}, SYSTEM),
        ("postgresql+psycopg://desk@/desk?host=/run/postgresql&host=db.example", {}, SYSTEM),
        ("postgresql+psycopg://desk@localhost/desk", {}, {}),
        ("postgresql+psycopg://desk@127.0.0.1/desk", {}, {}),
        ("postgresql+psycopg://desk@[::1]/desk", {}, {}),
        (f"{REMOTE}?sslmode=require", {}, {}),
        (REMOTE, {"database_tls": "disable"}, {"sslmode": "disable"}),
        (REMOTE, {"database_tls": "require"}, {"sslmode": "require"}),
        (REMOTE, {"database_tls_root_certificate": "/ca.pem"}, {"sslmode": "verify-full", "sslrootcert": "/ca.pem"}),
        (
            "postgresql+psycopg://desk@localhost/desk",
            {"database_tls": "verify-ca", "database_tls_root_certificate": "/ca.pem"},
            {"sslmode": "verify-ca", "sslrootcert": "/ca.pem"},
        ),
    ],
)
def test_a_database_on_another_machine_must_show_who_it_is(
    url: str, values: dict[str, str], found: dict[str, str]
) -> None:
    assert load(secret_key=SECRET, database_url=url, **values).database_arguments() == found
