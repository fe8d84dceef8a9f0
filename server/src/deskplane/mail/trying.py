"""Trying a server out: one mail, at once, and in plain words what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deskplane.kernel.work import Work
from deskplane.mail import message_ids, smtp
from deskplane.mail.mime import Letter
from deskplane.mail.sending import login_of
from deskplane.mail.servers import server_of
from deskplane.mail.smtp import Failure

LONGEST = 30.0
"""Seconds that somebody waits for the result."""
_TEXT = "This mail was sent to try out how {title} sends mail. Nothing else is to be done."


def prepared(work: Work, department_id: str | None, to: str) -> Callable[[], dict[str, Any]]:
    """Reads what it takes, in the caller's transaction, and answers what sends the mail, to be called after it."""
    server = server_of(work, department_id)
    where = f"{server.host}:{server.port}" if server.host is not None else None
    try:
        login = login_of(work, server)
    except Failure as failure:
        refused = _result(where, failure)
        return lambda: refused
    letter = Letter(
        message_id=message_ids.make(work.vault, None, "test", server.domain),
        purpose="test",
        automatic=True,
        from_address=server.from_address or "",
        from_name=server.from_name,
        to_address=to,
        to_name="",
        reply_to=server.reply_to,
        subject="A test of sending mail",
        text=_TEXT.format(title=server.title),
        html="",
        in_reply_to=None,
        thread=(),
        date=work.clock.now(),
    )

    def run() -> dict[str, Any]:
        try:
            said = smtp.hand_over(login, letter.from_address, letter.to_address, letter.to_bytes, longest=LONGEST)
        except Failure as failure:
            return _result(where, failure)
        return {"sent": True, "server": where, "failed_at": None, "detail": said}

    return run


def _result(where: str | None, failure: Failure) -> dict[str, Any]:
    return {"sent": False, "server": where, "failed_at": failure.step, "detail": failure.detail}
