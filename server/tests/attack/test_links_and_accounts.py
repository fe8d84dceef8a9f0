"""Links in mails, mails to strangers, and the race for the first administrator.

Shown by taking the defence out: with `tokens.use` that does not delete, the first fails; with answers that differ, the
second; without `accounts.lock` in `register`, the last, on PostgreSQL with as many tokens as there are callers.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import delete, select

from conftest import Api, TurnedClock
from deskplane.kernel.revision import raise_revision
from deskplane.login import attempts, hashing, registration_api
from deskplane.outbox.models import Message
from deskplane.people.models import User
from login_help import WORD, Browser, mails, set_up_mail, token_in, work_off
from statements import recorded


def test_a_link_works_once_and_for_what_it_was_sent_for_only(api: Api, mia: str) -> None:
    set_up_mail(api)
    browser = Browser(api)
    browser.call("POST", "/password/forgotten", {"email": "mia@example.org"}, status=204)
    work_off(api)
    token = token_in(api, mails(api)[0])
    for path in ("/account/email/confirm", "/registration/confirm"):
        body = {"token": token} if "email" in path else {"token": token, "password": WORD}
        assert browser.call("POST", path, body, status=422)["errors"][0]["code"] == "bad_token"
    bodies = []
    for bad in ("x" * 43, token[:-1], token.swapcase(), ""):
        refused = browser.call("POST", "/password/reset", {"token": bad, "password": "a new password"}, status=422)
        bodies.append({**refused, "request_id": ""})
    assert all(body == bodies[0] for body in bodies)
    for status in (204, 422):
        browser.call("POST", "/password/reset", {"token": token, "password": "a new password"}, status=status)
    browser.log_in(password="a new password")
    wanted = {"email": "mia@new.example.org", "password": "a new password"}
    browser.call("POST", "/account/email", wanted, status=204)
    (link,) = mails(api, "mia@new.example.org")
    for status in (204, 422):  # nothing but its use ends this one
        browser.call("POST", "/account/email/confirm", {"token": token_in(api, link)}, status=status)


def test_asking_for_a_link_tells_nobody_who_has_an_account(api: Api, mia: str) -> None:
    """The answer is the same, and so is the work: the very same statements, whoever it is. A worker looks later."""
    set_up_mail(api)
    answers, statements = [], []
    for address in ("nobody@example.org", "mia@example.org"):
        with recorded(api.desk) as seen:
            answer = Browser(api).send("POST", "/password/forgotten", {"email": address})
        answers.append((answer.status_code, answer.data, sorted(set(answer.headers.keys()))))
        statements.append(list(seen))
    assert answers[0] == answers[1]
    assert statements[0] == statements[1]
    assert mails(api) == []
    work_off(api)
    assert len(mails(api)) == 1


def test_nobodys_mailbox_is_filled(api: Api, mia: str, clock: TurnedClock) -> None:
    set_up_mail(api)
    limit = attempts.MAILS_PER_ADDRESS[0].limit

    def ask(number: int, address: str) -> int:
        return Browser(api, f"198.51.100.{number}").send("POST", "/password/forgotten", {"email": address}).status_code

    for address in ("mia@example.org", "nobody@example.org"):
        assert [ask(number, address) for number in range(1, limit + 3)] == [204] * limit + [429] * 2
    assert ask(99, "MIA@EXAMPLE.ORG") == 429
    work_off(api)
    assert len(mails(api)) == limit
    clock.turn(hours=1)
    assert ask(99, "mia@example.org") == 204
    statuses = [ask(7, f"u{number}@example.org") for number in range(attempts.MAILS_PER_CALLER[0].limit + 2)]
    assert statuses[-2:] == [429, 429]


def test_of_many_first_registrations_at_once_one_makes_the_administrator(
    api: Api, cheap: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "KNOWN", hashing.Gate(20, 20))
    desk = api.desk

    def work(session: Any) -> list[str]:
        raise_revision(session)
        session.execute(delete(User).where(User.username == "root"))
        return [registration_api.make_setup_token(desk.command_line(session)) for _ in range(20)]

    tokens = desk.database.run(work, write=True)
    browsers = [Browser(api, f"198.51.100.{number}") for number in range(20)]

    def register(number: int) -> int:
        body = {"username": f"boss{number}", "password": WORD, "setup_token": tokens[number]}
        return browsers[number].send("POST", "/registration", body).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(register, range(20)))
    assert statuses == [201] + [409] * 19
    with desk.database.transaction(write=False) as session:
        assert len(session.execute(select(User.id)).all()) == 1


def test_nobody_names_rights_for_himself(api: Api, cheap: None) -> None:
    set_up_mail(api)
    api.apply("settings", key="registration.enabled", value=True)
    wanted = {"username": "ann", "email": "ann@example.org"}
    browser = Browser(api)
    for more in ({"roles": ["admin"]}, {"enabled": True}, {"memberships": []}, {"id": "x"}):
        browser.call("POST", "/registration", {**wanted, **more}, status=422)
    with api.desk.database.transaction(write=False) as session:
        assert session.execute(select(Message.id).where(Message.topic == "login.asked")).all() == []
