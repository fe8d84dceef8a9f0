"""Workers that die with kill -9 between a server's yes and the note of it: no mail is lost, and one that goes out again
is known by its Message-ID."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from smtp_help import drain, mails, plain, smtp_server
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from conftest import Api, TurnedClock
from crash.crash_servers import Process, environment
from deskplane.app import Desk
from deskplane.outbox.models import Message
from tickets.ticket_help import opened

MAILS = 8
KILLS = 2


def expire(session: Session) -> None:
    """Ends every lease."""
    held = update(Message).where(Message.lease_owner.is_not(None))
    session.execute(held.values(available_at=datetime.now(UTC) - timedelta(seconds=1)))


@pytest.mark.feature("F096")
def test_a_mail_that_was_taken_by_a_dying_worker_goes_out_again_under_its_message_id(
    api: Api, desk: Desk, clock: TurnedClock, database_url: str, tmp_path: Path
) -> None:
    with smtp_server() as box:
        api.apply("departments", name="Desk", smtp=plain(box))
        for index in range(MAILS):
            ticket = opened(api, contact=f"a{index}@example.net", department="Desk")
            path = f"/tickets/{ticket['number']}/messages"
            api.call("POST", path, {"body": "Please try again."}, status=201)
        for round_ in range(KILLS):
            worker = Process(["worker"], environment(database_url, tmp_path), tmp_path / "worker.log")
            seen = len(box.taken)

            def kill(worker: Process = worker, last: int = seen + 1 + round_) -> None:
                if len(box.taken) > last:
                    worker.kill()

            box.before = kill
            worker.popen.wait(60)
            assert worker.popen.returncode == -9, worker.log.read_text()[-4000:]
            # the lease of what it had in hand ends, as far as those who come after it know
            desk.database.run(expire, write=True)
        box.before = None
        clock.time = datetime.now(UTC) + timedelta(minutes=2)
        drain(desk)
    times = Counter(taken.mail["Message-ID"] for taken in box.taken)
    assert len(times) == MAILS, "every mail arrived"
    assert sorted(times.values()) == [1] * (MAILS - KILLS) + [2] * KILLS, "those in hand, again, under the same id"
    assert {mail["message_id"] for mail in mails(api)} == set(times)
    assert {mail["state"] for mail in mails(api)} == {"sent"}
    with desk.database.transaction(write=False) as session:
        assert session.execute(select(Message)).all() == [], "nothing is left in a dead worker's hands"
