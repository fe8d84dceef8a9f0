"""Browsers from which somebody logged in before (OWASP, "Slow Down Online Guessing Attacks with Device Cookies").

Whoever guesses a user's password from anywhere uses up what strangers may try; the user himself comes from a browser
that is known, and has tries of its own. The cookie gives no right.
"""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite

from deskplane.kernel import cookies
from deskplane.kernel.crypto import sha256_hex
from deskplane.kernel.ids import new_secret
from deskplane.kernel.operation import Call, Cookie
from deskplane.kernel.work import Work
from deskplane.login.models import KnownDevice

KEPT = timedelta(days=365)
"""How long after his last login a browser is known."""


def known(call: Call, user_id: str | None) -> str | None:
    """The hash by which the caller's browser is known as the user's; null where it is not."""
    token = call.cookies.get(cookies.DEVICE)
    if token is None:
        return None
    # asked also where there is no such user, so that it takes as long
    columns = KnownDevice.user_id == (user_id or ""), KnownDevice.token_hash == sha256_hex(token)
    statement = select(KnownDevice.token_hash).where(*columns, KnownDevice.last_login_at > call.clock.now() - KEPT)
    return call.session.execute(statement).scalar_one_or_none()


def remember(call: Call, user_id: str) -> Cookie:
    """Knows the caller's browser as the user's from now on. Answers the cookie by which it is."""
    token = call.cookies.get(cookies.DEVICE)
    ours = select(KnownDevice.user_id).where(KnownDevice.token_hash == sha256_hex(token or "")).limit(1)
    if token is None or call.session.execute(ours).first() is None:
        token = new_secret()  # never one that somebody else may have thought of
    dialect = sqlite if call.is_sqlite else postgresql
    row = {"user_id": user_id, "token_hash": sha256_hex(token), "last_login_at": call.clock.now()}
    adding = dialect.insert(KnownDevice).values(**row)
    same = {"last_login_at": row["last_login_at"]}
    call.session.execute(adding.on_conflict_do_update(index_elements=["user_id", "token_hash"], set_=same))
    return Cookie(cookies.DEVICE, token, int(KEPT.total_seconds()))


def forget_old(work: Work) -> None:
    """Removes those that nobody used for long."""
    work.session.execute(delete(KnownDevice).where(KnownDevice.last_login_at <= work.clock.now() - KEPT))
