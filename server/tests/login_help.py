"""Browsers for tests: each with its own cookies and address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from argon2 import PasswordHasher
from sqlalchemy import select
from werkzeug.test import TestResponse

from deskplane.app import make_worker
from deskplane.login import hashing
from deskplane.mail.models import Mail
from deskplane.people import service
from worker_help import drain

if TYPE_CHECKING:
    from conftest import Api

WORD = "correct horse battery"
"""Mia's password."""
PUBLIC_URL = "https://desk.example.org"


class Browser:
    """Somebody's browser, or a program that behaves like one."""

    def __init__(self, api: Api, address: str = "192.0.2.1") -> None:
        self.client = api.client.application.test_client()
        self.address = address
        self.csrf = ""

    def send(self, method: str, path: str, body: Any = None, **headers: str) -> TestResponse:
        """Sends as a page of ours does; headers with _ for -."""
        given = {"User-Agent": "Firefox", "Sec-Fetch-Site": "same-origin", "X-CSRF-Token": self.csrf}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.client.open(
            f"/api/v1{path}",
            method=method,
            json=body,
            headers={name: value for name, value in given.items() if value},
            environ_base={"REMOTE_ADDR": self.address},
        )

    def call(self, method: str, path: str, body: Any = None, status: int = 200, **headers: str) -> Any:
        """Sends, asserts the status, and answers the JSON."""
        answer = self.send(method, path, body, **headers)
        assert answer.status_code == status, f"{method} {path}: {answer.status_code} {answer.get_data(as_text=True)}"
        return answer.get_json() if answer.data else None

    def log_in(self, username: str = "mia", password: str = WORD, status: int = 201) -> Any:
        """Logs in; keeps what changes need."""
        found = self.call("POST", "/session", {"username": username, "password": password}, status=status)
        self.csrf = found.get("csrf_token", self.csrf)
        return found


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Argon2 as it is, with less of it."""
    monkeypatch.setattr(service, "_hasher", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    hashing._nobodys.cache_clear()


@pytest.fixture
def mia(api: Api, cheap: None) -> str:
    """An agent with a password; answers her id."""
    made = api.apply("users", username="mia", roles=["agent"], password=WORD, email="mia@example.org")
    return str(made["after"]["id"])


def set_up_mail(api: Api) -> None:
    """A desk that can send links."""
    for key, value in {
        "public_url": PUBLIC_URL,
        "smtp.host": "mail.example.org",
        "smtp.from": "desk@example.org",
    }.items():
        api.apply("settings", key=key, value=value)


def work_off(api: Api) -> None:
    """Lets a worker do what was asked for; mails stay where they are, since nothing listens."""
    worker = make_worker(api.desk)
    worker._handlers = {**worker._handlers}
    worker._handlers.pop("mail.send")
    drain(worker)


def mails(api: Api, recipient: str | None = None) -> list[Mail]:
    """The mails about accounts, the newest last."""
    with api.desk.database.transaction(write=False) as session:
        statement = select(Mail).where(Mail.purpose == "account").order_by(Mail.created_at, Mail.id)
        found = [mail for mail in session.execute(statement).scalars() if recipient in (None, mail.recipient)]
        session.expunge_all()
        return found


def link_in(api: Api, mail: Mail) -> str:
    """The link that a mail will have in it."""
    assert mail.hidden is not None
    return api.desk.vault.open(mail.hidden)


def token_in(api: Api, mail: Mail) -> str:
    """The token in that."""
    return link_in(api, mail).partition("#token=")[2]


def events(api: Api, username: str | None = "mia") -> list[str]:
    """The events of somebody's login history, the oldest first."""
    path = "/logins?limit=200" + (f"&username={username}" if username else "")
    return [entry["event"] for entry in api.call("GET", path)["items"]][::-1]
