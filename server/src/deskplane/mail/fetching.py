"""Reading the departments' mailboxes: what is new is stored, then marked as seen, in this order.

A connection may break anywhere: what was stored and not marked is known by its number, and what is new again is known
by what it says (`incoming.py`). One worker at a time reads a mailbox, under a lease that fences every mail it stores.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

from sqlalchemy import Table, insert, or_, select, update
from sqlalchemy.orm import Session

from deskplane.alerts import service as alerts
from deskplane.desks.models import Department
from deskplane.desks.settings import setting
from deskplane.kernel.db import Database
from deskplane.kernel.ids import new_id
from deskplane.kernel.secrets import SECRET_WANTED
from deskplane.kernel.work import Work
from deskplane.mail import incoming
from deskplane.mail.incoming import Arrival
from deskplane.mail.incoming_models import Mailbox
from deskplane.mail.reading import Failure, Login, Reading, reading
from deskplane.mail.servers import may_be_unprotected
from deskplane.outbox import service as outbox
from deskplane.outbox.service import Claimed

TOPIC = "mail.fetch"
"""Of the message by which a mailbox is read; its payload has the department's id as `department`."""
EVERY = timedelta(minutes=1)
LEASE = timedelta(seconds=50)
"""Shorter than the outbox's: who takes a dead worker's message over finds the mailbox free."""
RENEWED = timedelta(seconds=15)
"""After how long a lease is renewed."""
LOST = timedelta(minutes=10)
"""After how long a mailbox is read although the message that should have done it never came back."""
SECONDS = 30.0
"""After how many seconds no further mail is begun in one turn."""
LONGEST = 240.0
"""Seconds after which a connection is cut, whatever the server is doing."""
PATIENCE = 3
"""Failures in a row after which there is an alert."""
LONGEST_PAUSE = timedelta(minutes=15)
LARGEST = 50 * 1024 * 1024
"""Bytes of the largest mail that is stored whole, unless attachments may be larger than half of that."""
ALERT = "mailbox"
_AT_ONCE = 500
_MAILBOXES = cast(Table, Mailbox.__table__)
_B = _MAILBOXES.c


class _LostLease(Exception):
    """Another worker reads the mailbox by now."""


@dataclass(frozen=True)
class Turn:
    """What a worker needs for reading a mailbox once."""

    department_id: str
    owner: str
    login: Login
    most: int
    uid_validity: int | None
    next_uid: int | None
    last_success_at: datetime | None


def login_of(work: Work, imap: dict[str, Any]) -> Login | None:
    """How a department's mailbox is reached; None where its settings do not say."""
    server, username, password = imap.get("server"), imap.get("username"), imap.get("password")
    if not server or not username or password in (None, SECRET_WANTED):
        return None
    return Login(
        host=server,
        port=imap["port"],
        tls=imap["tls"],
        username=username,
        password=work.vault.open(password),
        folder=imap["folder"],
        unprotected=may_be_unprotected(work, server),
        token=imap.get("authentication") == "oauth2",
    )


def queue(work: Work) -> None:
    """Has every mailbox that is due read; what the periodic job does."""
    now = work.clock.now()
    known = {row.department_id: row for row in work.session.execute(select(_B.department_id, _B.due_at))}
    departments = work.session.execute(select(Department.id, Department.imap).where(Department.enabled))
    for department_id, imap in departments.all():
        row = known.get(department_id)
        if not imap.get("server") or (row is not None and row.due_at is not None and row.due_at > now):
            continue
        if row is None:
            fresh = {"department_id": department_id, "address": "", "failures": 0, "due_at": now + LOST}
            work.session.execute(insert(_MAILBOXES).values(**fresh))
        else:
            work.session.execute(update(_MAILBOXES).where(_B.department_id == department_id).values(due_at=now + LOST))
        _put(work, department_id)


def _put(work: Work, department_id: str) -> None:
    outbox.put(work, TOPIC, {"department": department_id}, lane=f"mailbox:{department_id}")


def begin(work: Work, department_id: str) -> Turn | None:
    """Takes the lease of a mailbox; None where another has it, or there is nothing to read."""
    now = work.clock.now()
    department = work.session.execute(
        select(Department.imap).where(Department.id == department_id, Department.enabled)
    ).scalar_one_or_none()
    login = login_of(work, department) if department is not None else None
    if login is None:
        return None
    owner = new_id()
    free = or_(_B.lease_owner.is_(None), _B.leased_until <= now)
    taken = work.session.execute(
        update(_MAILBOXES)
        .where(_B.department_id == department_id, free)
        .values(lease_owner=owner, leased_until=now + LEASE)
        .returning(_B.address, _B.uid_validity, _B.next_uid, _B.last_success_at)
    ).first()
    if taken is None:
        return None
    most = max(LARGEST, 2 * setting(work, "attachments.max_bytes"))
    cursor = taken[1:] if taken.address == login.address else (None, None, None)
    return Turn(department_id, owner, login, most, *cursor)


class Fetching:
    """Reads mailboxes."""

    def __init__(self, database: Database, work_of: Callable[[Session], Work]) -> None:
        self.database = database
        self._work_of = work_of

    def __call__(self, message: Claimed) -> None:
        """What the worker does with `TOPIC`."""
        self.fetch(message.payload["department"])

    def fetch(self, department_id: str) -> None:
        """Reads a mailbox once. What goes wrong with it is written down, and not raised."""
        turn = self.do(lambda work: begin(work, department_id))
        if turn is None:
            return
        session: _Session | None = None
        try:
            with reading(turn.login, longest=LONGEST) as box:
                session = _Session(self, turn, box)
                session.run()
            done = session
        except _LostLease:
            return
        except Failure as failure:
            said = failure  # the name of an exception ends with its clause
            got_on = session is not None and session.stored > 0
            self.do(lambda work: _failed(work, turn, said, got_on=got_on))
        else:
            self.do(lambda work: _succeeded(work, turn, done))

    def do(self, do: Callable[[Work], Any]) -> Any:
        """Does something in a transaction."""
        return self.database.run(lambda session: do(self._work_of(session)), write=True)


class _Session:
    """One connection: which mails there are, and storing them one by one."""

    def __init__(self, fetching: Fetching, turn: Turn, box: Reading) -> None:
        self._fetching = fetching
        self._turn = turn
        self._box = box
        self._renewed_at: datetime | None = None
        self._may_mark = True
        self.stored = 0
        self.left: list[int] = []
        self.refused: dict[int, Failure] = {}
        self.following = box.folder.next_uid or 0

    @property
    def uid_validity(self) -> int:
        return self._box.folder.uid_validity

    @property
    def next_uid(self) -> int:
        """From where on mails are new: not beyond one that was not stored."""
        return min([self.following, *self.left, *self.refused])

    def run(self) -> None:
        """Stores what is new, as far as the time goes. Raises Failure and _LostLease."""
        turn, box = self._turn, self._box
        if turn.uid_validity is None:
            self._fetching.do(self._note_beginning)
        unseen = box.unseen()
        found = set(unseen)
        if turn.uid_validity == self.uid_validity and turn.next_uid is not None:
            # also what somebody looked at in another program meanwhile
            found.update(box.since(turn.next_uid))
        elif turn.uid_validity is not None and turn.last_success_at is not None:
            # the numbers begin anew: what is not new is known by what it says
            found.update(box.received_since((turn.last_success_at - timedelta(days=1)).date()))
        uids = sorted(found)
        known = self._known(uids)
        self._mark([uid for uid in unseen if uid in known])
        wanted = [uid for uid in uids if uid not in known]
        self.following = max([self.following, *(uid + 1 for uid in uids)])
        end = time.monotonic() + SECONDS
        for index, uid in enumerate(wanted):
            if time.monotonic() > end:
                self.left = wanted[index:]
                return
            self._take(uid)

    def _note_beginning(self, work: Work) -> None:
        """Of a mailbox that was never read, what is unseen is new, and from now on everything that comes in."""
        values = {"address": self._turn.login.address, "uid_validity": self.uid_validity}
        following = self._box.folder.next_uid
        work.session.execute(update(_MAILBOXES).where(_mine(self._turn)).values(next_uid=following, **values))

    def _known(self, uids: Sequence[int]) -> set[int]:
        turn = self._turn

        found: set[int] = set()
        with self._fetching.database.transaction(write=False) as session:
            for start in range(0, len(uids), _AT_ONCE):
                statement = select(incoming.M.uid).where(
                    incoming.M.department_id == turn.department_id,
                    incoming.M.mailbox == turn.login.address,
                    incoming.M.uid_validity == self.uid_validity,
                    incoming.M.uid.in_(uids[start : start + _AT_ONCE]),
                )
                found.update(session.execute(statement).scalars())
        return found

    def _take(self, uid: int) -> None:
        turn = self._turn
        try:
            fetched = self._box.fetch(uid, turn.most, self._renew)
        except Failure as failure:
            if not failure.is_refusal:
                raise
            self.refused[uid] = failure  # this one only: the others are read all the same
            return
        if fetched is None:
            return
        size, file = fetched
        with file:
            arrival = Arrival(
                turn.department_id, turn.login.address, self.uid_validity, uid, size, size <= turn.most, file
            )

            def store(work: Work) -> None:
                _hold(work, turn)
                incoming.store(work, arrival)
                self._move_on(work, uid)

            self._fetching.do(store)
        self.stored += 1
        self._mark([uid])

    def _move_on(self, work: Work, uid: int) -> None:
        """Mails come in the order of their numbers: up to this one nothing is new any more, also if the connection
        breaks now. Else mails that are delivered again would be fetched again after each break."""
        if not self.refused and self._turn.uid_validity in (None, self.uid_validity):
            below = _mine(self._turn) & (_B.next_uid <= uid)
            work.session.execute(update(_MAILBOXES).where(below).values(next_uid=uid + 1))

    def _renew(self) -> None:
        def hold(work: Work) -> None:
            now = work.clock.now()
            if self._renewed_at is None or now - self._renewed_at > RENEWED:
                _hold(work, self._turn)
                self._renewed_at = now

        self._fetching.do(hold)

    def _mark(self, uids: list[int]) -> None:
        if not uids or not self._may_mark:
            return
        try:
            self._box.mark_seen(uids)
        except Failure as failure:
            if not failure.is_refusal:
                raise
            self._may_mark = False  # a folder that may only be read: what was stored is known by its number


def _hold(work: Work, turn: Turn) -> None:
    """Renews the lease. Raises _LostLease where it is another's."""
    held = work.session.execute(
        update(_MAILBOXES)
        .where(_B.department_id == turn.department_id, _B.lease_owner == turn.owner)
        .values(leased_until=work.clock.now() + LEASE)
    )
    if not cast(Any, held).rowcount:
        raise _LostLease


def _succeeded(work: Work, turn: Turn, session: _Session) -> None:
    now = work.clock.now()
    values: dict[str, Any] = {
        "address": turn.login.address,
        "uid_validity": session.uid_validity,
        "next_uid": session.next_uid,
        "lease_owner": None,
        "leased_until": None,
        "due_at": None,
    }
    if session.refused:
        uid, failure = next(iter(session.refused.items()))
        return _failed(
            work,
            turn,
            Failure("reading", f"the mail with the UID {uid}: {failure.detail}"),
            got_on=session.stored > 0,
            **values,
        )
    values |= {"failures": 0, "last_error": None}
    if session.left:
        values["due_at"] = now + LOST
        if turn.uid_validity != session.uid_validity and turn.uid_validity is not None:
            values |= {"uid_validity": turn.uid_validity, "next_uid": turn.next_uid}  # until all is looked at
    else:
        values["last_success_at"] = now
    work.session.execute(update(_MAILBOXES).where(_mine(turn)).values(**values))
    if session.left:
        _put(work, turn.department_id)
    alerts.clear_alert(work, ALERT, turn.department_id)


def _failed(work: Work, turn: Turn, failure: Failure, *, got_on: bool = False, **values: Any) -> None:
    """Notes a failure; where it `got_on` all the same, as the first one."""
    now = work.clock.now()
    failures = work.session.execute(select(_B.failures).where(_mine(turn))).scalar_one_or_none()
    if failures is None:
        return
    failures = 1 if got_on else failures + 1
    pause = min(EVERY * 2 ** min(failures - 1, 10), LONGEST_PAUSE)
    values |= {"lease_owner": None, "leased_until": None, "failures": failures, "last_error": str(failure)[:2000]}
    # a little less than a whole period, or else the job would come a moment too early each time
    values["due_at"] = now + pause - EVERY / 2
    work.session.execute(update(_MAILBOXES).where(_mine(turn)).values(**values))
    if failures >= PATIENCE:
        name = work.session.execute(select(Department.name).where(Department.id == turn.department_id)).scalar()
        detail = f"the mailbox of the department {name} ({turn.login.address}) cannot be read: {failure}"
        alerts.raise_alert(work, ALERT, turn.department_id, detail)


def _mine(turn: Turn) -> Any:
    return (_B.department_id == turn.department_id) & (_B.lease_owner == turn.owner)
