"""Copies of backups elsewhere (setting `backup.offsite_url`): each file is sent with PUT to an address below that one.

A copy is a message of its own, with a lane of its own: it is tried again until it succeeds, and no backup waits for it.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.orm import Session

from deskplane.alerts import service as alerts
from deskplane.desks.settings import setting
from deskplane.kernel.db import Database
from deskplane.kernel.work import Work
from deskplane.outbox import service as outbox
from deskplane.outbox.service import Claimed
from deskplane.outbox.worker import Finish
from deskplane.settings import first_line

TOPIC, LANE, ALERT = "backup.copy", "backup copy", "backup_copy_failing"
SECONDS = 3600.0
"""How long one copy may take."""


def ask(work: Work, file: str) -> None:
    """Has a backup copied, where there is an address for copies."""
    if setting(work, "backup.offsite_url") is not None:
        outbox.put(work, TOPIC, {"file": file}, lane=LANE)


class Copies:
    """What a worker that has the directory of the backups does about copies of them."""

    def __init__(
        self,
        database: Database,
        automation: Callable[[Session], Work],
        directory: Path | None,
        authorization_file: Path | None,
    ) -> None:
        self._database = database
        self._automation = automation
        self._directory = directory
        self._authorization_file = authorization_file

    def send(self, message: Claimed) -> Finish:
        """Sends one backup. What fails is an alert until one succeeds."""
        try:
            self._send(str(message.payload["file"]))
        except Exception as error:
            detail = f"the backup {message.payload['file']} could not be copied, and it is tried again: {error}"
            self._database.run(
                lambda session: alerts.raise_alert(self._automation(session), ALERT, LANE, detail), write=True
            )
            raise
        return lambda session: alerts.clear_alert(self._automation(session), ALERT, LANE)

    def _send(self, name: str) -> None:
        def settled(session: Session) -> tuple[str | None, Any]:
            work = self._automation(session)
            return setting(work, "backup.offsite_url"), work.outside

        url, outside = self._database.run(settled, write=False)
        if url is None or self._directory is None:
            return
        path = self._directory / name
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return  # it had to go for newer ones, each of which has a copy asked for
        with file:
            digest = hashlib.file_digest(file, "sha256").digest()
            size = file.tell()
            file.seek(0)
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Length": str(size),
                "Repr-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:",
            }
            if self._authorization_file is not None:
                headers["Authorization"] = first_line(self._authorization_file, "the authorization for copies")
            answer = outside.send("PUT", below(url, name), headers, file, SECONDS)
        if not 200 <= answer.status < 300:
            raise ValueError(f"{urlsplit(url).hostname} answered {answer.status}")


def below(url: str, name: str) -> str:
    """The address of a file in the folder that an address names; what stands behind `?` stays there."""
    address, mark, query = url.partition("?")
    return f"{address.rstrip('/')}/{name}{mark}{query}"
