"""What every change of somebody's factors brings with it: lines in the login history and in the audit log, a mail to
him, and the end of his sessions, as a new password does. They queue behind changes of the configuration, since secrets
are sealed anew under that lock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from deskplane.audit.service import Note, append
from deskplane.factors import passkeys, recovery, totp
from deskplane.kernel.operation import Call, Reply
from deskplane.kernel.work import Work
from deskplane.login import api, letters, sessions
from deskplane.login.letters import Words
from deskplane.login.pending import MOST_TRIES, Pending
from deskplane.people import login_events
from deskplane.people.models import User

KIND = "second_factor"
"""Of the entries in the audit log; the key is the user's name and the factor's."""
ADDED, REMOVED, REPLACED = "create", "delete", "update"
NOT_YOU = "If it was not you, change your password at once, and tell whoever runs this desk."


@dataclass(frozen=True)
class Change:
    """What was done: to which factors, the action as the audit log has it, the event of the login history with its
    detail, and subject and text of the mail."""

    factors: Sequence[str]
    action: str
    event: str
    subject: str
    text: str
    detail: str | None = None


RESET = Change(
    (),
    REMOVED,
    "mfa_reset",
    "Your second factors were taken away",
    "whoever runs this desk took the second factors of your account away: your password suffices to log in until you "
    "set up new ones. If you did not ask for that, tell them at once.",
)


def having(work: Work, user_id: str) -> list[str]:
    """The names of the factors that a user has set up, but for recovery codes, which nobody has alone."""
    found = [totp.NAME] if totp.has(work, user_id) else []
    return [*found, *passkeys.names(work, user_id)]


def tell(work: Work, user: User, change: Change) -> None:
    """Tells of a change, and ends the user's sessions."""
    append(work, [Note(KIND, user.id, (user.username, name), change.action) for name in change.factors])
    login_events.note(work, change.event, user.id, user.username, change.detail)
    letters.tell(work, user, Words(change.subject, change.text))
    sessions.end_all(work, [user.id])


def reset(work: Work, user: User) -> None:
    """Takes all factors of a user away, who has lost them: what administrators do. Of who has none nothing is said."""
    names = having(work, user.id)
    totp.disable(work, user.id)
    passkeys.forget(work, user.id)
    recovery.forget(work, user.id)
    if names:
        tell(work, user, replace(RESET, factors=names, detail=", ".join(names)))


def settle(call: Call, user: User, change: Change, method: str, codes: Sequence[str] | None = None) -> Reply:
    """The same, of one's own change; answers a new session, with recovery codes where there are new ones. `method` is
    how its user has shown who he is."""
    tell(call, user, change)
    begun = api.open_session(call, user, method)
    return Reply({**begun.body, "recovery_codes": codes}, begun.status, cookies=begun.cookies)


def settle_less(call: Call, user: User, change: Change) -> Reply:
    """The same, where a factor was taken away: recovery codes go with the last one, and the session is one without."""
    method = api.method_of(call)
    if not having(call, user.id):
        recovery.forget(call, user.id)
        method = sessions.without_factor(method)
    return settle(call, user, change, method)


def codes_for(work: Work, user: User) -> list[str] | None:
    """Recovery codes for whoever has his first factor now; null for who has some."""
    return None if recovery.left(work, user.id) else recovery.make(work, user.id)


def tell_used(work: Work, user: User) -> None:
    """Tells somebody that one of his recovery codes was used."""
    text = (
        f"a recovery code of your account {user.username} was used to log in; {recovery.left(work, user.id)} are left."
        f" {NOT_YOU}"
    )
    letters.tell(work, user, Words("A recovery code was used", text))


def note_wrong(work: Work, login: Pending | None, user: User | None, factor: str) -> None:
    """Writes a factor that was wrong into the login history. Who tried as often as a login allows has the password: of
    that its owner gets a mail."""
    user_id = login.user_id if login is not None else user.id if user is not None else None
    login_events.note(work, "login_failed", user_id, user.username if user is not None else None, factor)
    if login is not None and user is not None and login.tries >= MOST_TRIES:
        text = (
            f"somebody had the right password of your account {user.username}, and tried {MOST_TRIES} times in vain to"
            " show a second factor. If it was not you, your password is known to somebody else: change it at once, and"
            " tell whoever runs this desk."
        )
        letters.tell(work, user, Words("Somebody has your password", text))


def shown(work: Work, user_id: str) -> dict[str, Any]:
    """What somebody has set up, as it is answered."""
    return {
        "totp": totp.has(work, user_id),
        "passkeys": passkeys.count(work, user_id),
        "recovery_codes": recovery.left(work, user_id),
    }
