"""Codes of an app (TOTP, RFC 6238): six digits, another every 30 seconds.

A secret is offered first, and becomes a factor once a code shows that an app has it. A code is taken for the step that
it belongs to, one earlier or later, since clocks differ; and only for a later step than the last one that was taken,
which is compared and raised in one statement. So a code works once, however many logins show it at once.
"""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from urllib.parse import quote, urlencode

from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor import InvalidToken
from cryptography.hazmat.primitives.twofactor.hotp import HOTP
from sqlalchemy import delete, insert, select, update

from deskplane.desks.settings import setting
from deskplane.factors.models import TotpFactor, TotpOffer
from deskplane.kernel.ids import new_secret_bytes
from deskplane.kernel.logging import logger
from deskplane.kernel.work import Work

NAME = "totp"
DIGITS, STEP = 6, 30
"""What apps know without being told; a step is in seconds."""
SECRET_BYTES = 20
"""As long as the hash (RFC 4226, 4)."""
AROUND = 1
"""Steps by which the clock of an app may be off."""
OFFER_LASTS = timedelta(minutes=15)


def step_at(now: datetime) -> int:
    """The step of a moment: how many have begun since 1970."""
    return int(now.timestamp()) // STEP


def code_at(secret: str, step: int) -> str:
    """The code of a step. `secret` is in base 32, as an app takes it."""
    return _hotp(secret).generate(step).decode()


def _hotp(secret: str) -> HOTP:
    # the only hash that all apps know; as a key's HMAC it is as good as others
    return HOTP(base64.b32decode(secret), DIGITS, SHA1())  # noqa: S303


def step_of(secret: str, code: str, now: datetime) -> int | None:
    """The step that a code belongs to; null where it is none of those around now."""
    hotp, present = _hotp(secret), step_at(now)
    for step in range(present - AROUND, present + AROUND + 1):
        try:
            hotp.verify(code.encode(), step)
        except InvalidToken:
            continue
        return step
    return None


def offer(work: Work, user_id: str) -> str:
    """Makes a secret in the place of one that was offered before, and answers it in base 32."""
    secret = base64.b32encode(new_secret_bytes(SECRET_BYTES)).decode()
    withdraw(work, user_id)
    row = {"user_id": user_id, "secret": work.vault.seal(secret), "expires_at": work.clock.now() + OFFER_LASTS}
    work.session.execute(insert(TotpOffer).values(**row))
    return secret


def uri(work: Work, username: str, secret: str) -> str:
    """What an app reads from a QR code. The desk is called by its company, or by its own name."""
    issuer = str(setting(work, "branding.company_name") or "Deskplane").replace(":", " ")
    # some apps show a plus for what is not written as %20
    about = urlencode({"secret": secret, "issuer": issuer}, quote_via=quote)
    return f"otpauth://totp/{quote(issuer, safe='')}:{quote(username, safe='')}?{about}"


def offered(work: Work, user_id: str) -> str | None:
    """The secret that is offered, if it still is."""
    statement = select(TotpOffer.secret).where(TotpOffer.user_id == user_id, TotpOffer.expires_at > work.clock.now())
    found = work.session.execute(statement).scalar_one_or_none()
    return _opened(work, found) if found is not None else None


def _opened(work: Work, sealed: str) -> str | None:
    """A secret; null where it was sealed with a key that is gone, as in a desk that was restored without it."""
    try:
        return work.vault.open(sealed)
    except ValueError:
        logger.warning("the secret of a second factor was sealed with another secret_key; reset this user's factors")
        return None


def withdraw(work: Work, user_id: str) -> None:
    """Takes back what was offered."""
    work.session.execute(delete(TotpOffer).where(TotpOffer.user_id == user_id))


def enable(work: Work, user_id: str, secret: str, step: int) -> None:
    """Makes a secret the user's factor, in the place of the one that he had. `step` is that of the code which showed
    that he has it: it is used up by that."""
    disable(work, user_id)
    row = {"user_id": user_id, "secret": work.vault.seal(secret), "last_step": step, "created_at": work.clock.now()}
    work.session.execute(insert(TotpFactor).values(**row))


def disable(work: Work, user_id: str) -> bool:
    """Takes the factor away; answers whether there was one."""
    withdraw(work, user_id)
    gone = delete(TotpFactor).where(TotpFactor.user_id == user_id).returning(TotpFactor.user_id)
    return work.session.execute(gone).first() is not None


def has(work: Work, user_id: str) -> bool:
    """Whether a user has set it up."""
    return work.session.execute(select(TotpFactor.user_id).where(TotpFactor.user_id == user_id)).first() is not None


def forget_old(work: Work) -> None:
    """Removes what was offered and not taken in time."""
    work.session.execute(delete(TotpOffer).where(TotpOffer.expires_at <= work.clock.now()))


class Totp:
    """The factor, as logging in knows it. What shows it is the step of a code that was right."""

    name = NAME

    def is_asked(self, work: Work, user_id: str) -> bool:
        """Whether the user has set it up."""
        return has(work, user_id)

    def look(self, work: Work, user_id: str, code: str) -> int | None:
        """The step of a code that would be taken now."""
        row = work.session.execute(
            select(TotpFactor.secret, TotpFactor.last_step).where(TotpFactor.user_id == user_id)
        ).first()
        secret = _opened(work, row.secret) if row is not None else None
        if row is None or secret is None:
            return None
        step = step_of(secret, code, work.clock.now())
        return step if step is not None and step > row.last_step else None

    def use(self, work: Work, user_id: str, shown: int) -> bool:
        """Takes it: of two at once one finds that it was used."""
        later = update(TotpFactor).where(TotpFactor.user_id == user_id, TotpFactor.last_step < shown)
        taken = later.values(last_step=shown).returning(TotpFactor.user_id)
        return work.session.execute(taken).first() is not None
