"""What made-up bytes are given to: each target returns, or raises where the server has a fault.

Hypothesis gives them a few in every run of the tests, `make fuzz` as many as there is time for.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any

from flask.testing import FlaskClient

from deskplane.app import create_app, make_desk, make_registry, migrate
from deskplane.mail import bodies, headers
from deskplane.mail.parsing import Parsed, Unreadable, parse
from deskplane.people import keys, service
from deskplane.settings import Settings

Target = Callable[[bytes], object]
EXPECTED = {200, 400, 403, 409, 413, 422}
"""What a document may be answered with, whatever is in it."""


def mail(raw: bytes) -> None:
    """A mail is taken apart, or refused; and what is found can be written down."""
    try:
        found: Parsed = parse(raw)
    except Unreadable:
        return
    words = [found.subject, found.text, found.message_id, *found.answered, bodies.shown(found, answer=True)]
    words += [file.name for file in found.files] + [file.content_type for file in found.files]
    words += [found.sender.name if found.sender else ""]
    for text in words:
        text.encode()
        assert "\x00" not in text
    headers.text_of(found.header, "x-anything")


class Documents:
    """A desk to which bytes are sent as its document; it is planned, so that nothing of it stays."""

    def __init__(self, client: FlaskClient, key: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def __call__(self, raw: bytes) -> int:
        """Answers the status."""
        answer = self._client.post("/api/v1/configuration/plan", data=raw, headers=self._headers)
        found = answer.get_json()
        assert answer.status_code in EXPECTED, (answer.status_code, found)
        assert answer.status_code == 200 or found["detail"], "who is refused is told why"
        assert answer.status_code != 422 or found["errors"] or "plan" in found, "and where"
        json.dumps(found).encode()
        return answer.status_code


@contextmanager
def documents() -> Iterator[Documents]:
    """A desk of its own, on an empty database."""
    with tempfile.TemporaryDirectory() as place:
        settings = Settings(
            environment="test",
            database_url=f"sqlite:///{place}/desk.db",
            secret_key="a key for fuzzing: 0123456789ab",
            # in a minute more is tried than a key may send
            requests_per_minute_per_address=0,
            requests_per_minute_per_key=0,
        )
        desk = make_desk(settings)
        migrate(desk)

        def administrator(session: Any) -> str:
            work = desk.command_line(session)
            service.create_admin(work, "root", None)
            return keys.make(work, service.find_user(session, "root").id, {"name": "fuzz"})

        key = desk.database.run(administrator, write=True)
        try:
            yield Documents(create_app(desk).test_client(), key)
        finally:
            desk.database.dispose()


def seeds_of_mails() -> list[bytes]:
    """Mails to begin with, one of every sort."""
    found = EmailMessage(policy=SMTP)
    found["From"], found["To"], found["Subject"] = "Kïm <kim@acme.example>", "desk@example.org", "Grüße"
    found["Message-ID"], found["In-Reply-To"] = "<1@acme.example>", "<2@desk.example>"
    found.set_content("Wörter\n\nOn Monday Kim wrote:\n> before\n")
    plain = bytes(found)
    found.add_alternative("<p>Wörter <img src=cid:1></p><blockquote>before</blockquote>", subtype="html")
    found.add_attachment(b"data", maintype="application", subtype="pdf", filename="über.pdf")
    inner = EmailMessage(policy=SMTP)
    inner["Subject"] = "Forwarded"
    inner.add_attachment(found)
    bounce = (
        b"From: <>\r\nSubject: failed\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
        b"Content-Type: multipart/report; report-type=delivery-status; boundary=e\r\n\r\n--e\r\n\r\nnot delivered\r\n"
        b"--e\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; x\r\n\r\nAction: failed\r\n--e--\r\n"
    )
    odd = (
        b'From: "a" <a@b>, (c\r\nSubject: =?utf-8?b?R3LDvMOfZQ==?= =?x?q?=\r\n'
        b"Content-Type: text/plain; charset=utf-7\r\nContent-Transfer-Encoding: quoted-printable\r\n"
        b"Content-Disposition: inline; filename*0*=utf-8''%ff\r\n\r\n=C3=BC"
    )
    encoded = b"Subject: x\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin 644 x\r\n#86)C\r\n`\r\nend\r\n"
    return [plain, bytes(found), bytes(inner), bounce, odd, encoded]


def seeds_of_documents() -> list[bytes]:
    """Of every kind the example of its page, alone and all together."""
    examples = {
        kind.plural: [
            {name: value for name, value in example["options"].items() if value is not None}
            for example in kind.examples
        ]
        for kind in make_registry()
    }
    found: list[Any] = [{"configuration": {plural: items}} for plural, items in examples.items()]
    found.append({"configuration": examples, "manager": "git:fuzz", "prune": True, "max_deletions": 1})
    return [json.dumps(one).encode() for one in found]


def words_of_documents() -> list[str]:
    """The names that a document may have in it: what no mutation would find by itself."""
    found = {"configuration", "manager", "prune", "state", "absent", "present", "renamed_from", "$secret"}
    for kind in make_registry():
        found |= {kind.plural, *kind.written}
    return sorted(found)


def write_seeds(place: Path, seeds: list[bytes]) -> None:
    """One file for each."""
    place.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (place / f"seed-{number}").write_bytes(seed)
