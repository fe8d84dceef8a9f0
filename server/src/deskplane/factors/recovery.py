"""Recovery codes: ten, on paper or wherever somebody keeps them, for the day on which he has none of his factors."""

from __future__ import annotations

import base64

from sqlalchemy import ColumnElement, delete, func, insert, select

from deskplane.factors.models import RecoveryCode
from deskplane.kernel.crypto import sha256_hex
from deskplane.kernel.ids import new_secret_bytes
from deskplane.kernel.work import Work

NAME = "recovery_code"
COUNT = 10
RANDOM_BYTES = 15
"""120 bits, so that a plain hash suffices (ASVS 5.0, 6.5.2), and 24 letters and digits without padding."""
GROUP = 4


def make(work: Work, user_id: str) -> list[str]:
    """Makes codes in the place of those that a user had, and answers them."""
    forget(work, user_id)
    plain = [base64.b32encode(new_secret_bytes(RANDOM_BYTES)).decode().lower() for _ in range(COUNT)]
    rows = [{"user_id": user_id, "code_hash": sha256_hex(code)} for code in plain]
    work.session.execute(insert(RecoveryCode), rows)
    return ["-".join(code[start : start + GROUP] for start in range(0, len(code), GROUP)) for code in plain]


def left(work: Work, user_id: str) -> int:
    """How many a user still has."""
    statement = select(func.count()).select_from(RecoveryCode).where(RecoveryCode.user_id == user_id)
    return work.session.execute(statement).scalar_one()


def forget(work: Work, user_id: str) -> None:
    """Takes all of them away."""
    work.session.execute(delete(RecoveryCode).where(RecoveryCode.user_id == user_id))


def _is(user_id: str, code_hash: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return RecoveryCode.user_id == user_id, RecoveryCode.code_hash == code_hash


class Recovery:
    """The factor, as logging in knows it. What shows it is the hash of a code that is there."""

    name = NAME

    def is_asked(self, work: Work, user_id: str) -> bool:
        """Whether the user has any left. He only has some beside another factor."""
        return left(work, user_id) > 0

    def look(self, work: Work, user_id: str, code: str) -> str | None:
        """The hash of a code that would be taken; dashes, spaces and capitals do not matter."""
        shown = sha256_hex("".join(code.split()).replace("-", "").lower())
        there = select(RecoveryCode.code_hash).where(*_is(user_id, shown))
        return work.session.execute(there).scalar_one_or_none()

    def use(self, work: Work, user_id: str, shown: str) -> bool:
        """Takes it: of two at once one finds it gone."""
        used = delete(RecoveryCode).where(*_is(user_id, shown)).returning(RecoveryCode.code_hash)
        return work.session.execute(used).first() is not None
