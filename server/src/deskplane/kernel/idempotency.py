"""The stored answers behind `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header).

The answer is stored in the transaction of the work itself: either both are there, or neither.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from sqlalchemy import Integer, LargeBinary, String, delete, insert, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from deskplane.kernel.columns import Base, Instant
from deskplane.kernel.db import execute
from deskplane.kernel.problem import Problem

KEPT = timedelta(hours=24)
_FORM = re.compile(r"[\x21-\x7e]{1,200}")


class StoredAnswer(Base):
    """What one caller was answered to one key."""

    __tablename__ = "idempotency_keys"

    caller: Mapped[str] = mapped_column(String(36), primary_key=True)
    key: Mapped[str] = mapped_column(String(200), primary_key=True)
    request: Mapped[str] = mapped_column(String(64))
    status: Mapped[int] = mapped_column(Integer)
    body: Mapped[bytes] = mapped_column(LargeBinary)
    location: Mapped[str | None] = mapped_column(String(2000))
    created_at: Mapped[datetime] = mapped_column(Instant, index=True)
    etag: Mapped[str | None] = mapped_column(String(60))

    @property
    def headers(self) -> dict[str, str]:
        """The headers that were part of the answer."""
        given = {"Location": self.location, "ETag": self.etag}
        return {name: value for name, value in given.items() if value is not None}


def checked(key: str) -> str:
    """The key, if it is one. Raises 400."""
    if not _FORM.fullmatch(key):
        raise Problem(400, "bad_idempotency_key", "Idempotency-Key must be 1 to 200 visible ASCII characters")
    return key


def fingerprint(method: str, path: str, raw: bytes) -> str:
    """What makes two requests the same one."""
    return hashlib.sha256(b"\n".join([method.encode(), path.encode(), raw])).hexdigest()


def find(session: Session, caller: str, key: str, is_this: Callable[[str], bool], now: datetime) -> StoredAnswer | None:
    """The answer that was given to this key within a day. `is_this` says whether it was to the same request. Raises 422
    where the key came with another one."""
    found = session.execute(
        select(StoredAnswer).where(StoredAnswer.caller == caller, StoredAnswer.key == key)
    ).scalar_one_or_none()
    if found is None:
        return None
    if found.created_at < now - KEPT:
        session.execute(delete(StoredAnswer).where(StoredAnswer.caller == caller, StoredAnswer.key == key))
        return None
    if not is_this(found.request):
        raise Problem(422, "idempotency_key_reused", "this Idempotency-Key was sent before with another request")
    return found


def store(
    session: Session,
    *,
    caller: str,
    key: str,
    request: str,
    status: int,
    body: bytes,
    headers: Mapping[str, str],
    now: datetime,
) -> None:
    """Keeps the answer. Two requests with one key at once collide here, and the second is run anew to find it."""
    session.execute(
        insert(StoredAnswer).values(
            caller=caller,
            key=key,
            request=request,
            status=status,
            body=body,
            location=headers.get("Location"),
            etag=headers.get("ETag"),
            created_at=now,
        )
    )


def forget_old(session: Session, now: datetime) -> int:
    """Deletes what is older than a day; answers how many."""
    return execute(session, delete(StoredAnswer).where(StoredAnswer.created_at < now - KEPT), {}).rowcount
