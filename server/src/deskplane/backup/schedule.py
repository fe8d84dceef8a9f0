"""Backups by schedule (settings `backup.schedule`, `backup.keep`), made by a worker that has a directory for them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from deskplane.alerts import service as alerts
from deskplane.backup import files, offsite, snapshot
from deskplane.desks.schedule import next_after
from deskplane.desks.settings import setting
from deskplane.kernel.crypto import Vault
from deskplane.kernel.db import Database
from deskplane.kernel.work import Work
from deskplane.outbox import service as outbox
from deskplane.outbox.models import Message
from deskplane.outbox.service import Claimed
from deskplane.outbox.worker import Finish
from deskplane.settings import read_passphrase

TOPIC, LANE, ALERT = "backup.make", "backup", "backup_failing"


class Backups:
    """What a worker does about backups. `directory` is null in one that makes none."""

    def __init__(
        self,
        database: Database,
        vault: Vault,
        automation: Callable[[Session], Work],
        directory: Path | None,
        passphrase_file: Path | None,
    ) -> None:
        self._database = database
        self._vault = vault
        self._automation = automation
        self._directory = directory
        self._passphrase_file = passphrase_file

    def ask_if_due(self, session: Session) -> None:
        """Has a backup made where the schedule's next time behind the newest one has come; the first one at once."""
        work = self._automation(session)
        schedule = setting(work, "backup.schedule")
        if schedule is None or self._directory is None:
            return
        if session.execute(select(Message.id).where(Message.lane == LANE).limit(1)).first() is not None:
            return
        made = files.there(self._directory)
        following = next_after(schedule, made[-1][0]) if made else work.clock.now()
        if following is not None and following <= work.clock.now():
            outbox.put(work, TOPIC, {}, lane=LANE)

    def make(self, _message: Claimed) -> Finish:
        """Makes one backup, and takes the oldest away. What fails is an alert until one succeeds."""
        try:
            with self._database.transaction(write=False) as session:
                path = self._write(self._automation(session))
        except Exception as error:
            detail = f"no backup could be made, and it is tried again: {error}"
            self._database.run(
                lambda session: alerts.raise_alert(self._automation(session), ALERT, LANE, detail), write=True
            )
            raise

        def finish(session: Session) -> None:
            work = self._automation(session)
            alerts.clear_alert(work, ALERT, LANE)
            offsite.ask(work, path.name)

        return finish

    def _write(self, work: Work) -> Path:
        if self._directory is None:
            raise ValueError("this worker has no backup_directory")
        passphrase = read_passphrase(self._passphrase_file) if self._passphrase_file is not None else None
        path = self._directory / files.name_of(work.clock.now(), sealed=passphrase is not None)
        files.put(path, lambda file: snapshot.write(work.session, file, work.clock, self._vault, passphrase))
        files.prune(self._directory, setting(work, "backup.keep"))
        return path
