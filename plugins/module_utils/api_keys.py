# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One API key of an account: made, kept, replaced without a moment in which none works, and kept in a file if one is named.

With a file the secret is made here and written down beside the file before the desk hears of it. So a run that ends
anywhere, or whose answer is lost, loses nothing: the next one finds that secret and goes on with it.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import tempfile

from ansible_collections.deskplane.helpdesk.plugins.module_utils.arguments import BadArguments
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import Declaration, diff_of, everything

OVERLAP_MINUTES = 60
"""How long the secret before works along, where the task does not say."""
WAITING = ".new"
"""The end of the name of the file that holds a secret which the desk may not know yet."""
_KEY = re.compile(r"dpk_([0-9a-f]{12})_([A-Za-z0-9_-]{43,200})")
_SECRET = re.compile(r"[A-Za-z0-9_-]{43,200}")
_AS_IT_IS = ("scopes", "expires_at", "allowed_ips")


class ApiKey(Declaration):
    """A key of an account that is there."""

    def __init__(self, options):
        super().__init__("api_key", "users", options, constraints={"mutually_exclusive": EXCLUSIVE})

    def subject(self, given):
        names = [str(given[name]) for name in ("username", "name") if isinstance(given.get(name), str)]
        return "%s '%s'" % (self.kind, " / ".join(names)) if names else self.kind

    def act(self, desk, wanted, check_mode):
        subject, there = self.subject(wanted), _there(desk, wanted)
        gone = wanted.get("state") == "absent"
        if there is None and not _has_account(desk, wanted):
            if gone:
                return _result(subject, wanted, [], _removed(wanted, check_mode))
            missing = "there is no account named '%s'" % wanted["username"]
            if not check_mode:
                raise BadArguments("username: %s; make it first, with deskplane.helpdesk.user_credential" % missing)
            later = "an earlier task of this play may make it, without it the real run fails here"
            return _result(subject, wanted, [_made()], warning="check mode: %s: %s; %s" % (subject, missing, later))
        if gone:
            changes, _answer = _apply(desk, wanted, check_mode, subject, {"state": "absent"})
            return _result(subject, wanted, changes, _removed(wanted, check_mode))
        given = {name: wanted[name] for name in _AS_IT_IS if name in wanted}
        overlap = wanted.get("overlap_minutes")
        given["overlap_minutes"] = OVERLAP_MINUTES if overlap is None else overlap
        if wanted.get("dest"):
            return _kept(desk, wanted, check_mode, subject, there, given)
        for name in ("secret", "regenerate", "rotate_after_days"):
            if wanted.get(name):
                given[name] = wanted[name]
        changes, answer = _apply(desk, wanted, check_mode, subject, given, "secret" in given)
        result = _result(subject, wanted, changes, key_id=_id_of(answer, wanted))
        made = [entry["key"] for entry in answer.get("api_keys") or () if entry["name"] == wanted["name"]]
        if made:
            result["key"] = made[0]
        return result


EXCLUSIVE = [["secret", "regenerate"], ["secret", "rotate_after_days"], ["secret", "dest"]]


def _there(desk, wanted):
    """What the desk shows of the key; None where there is none."""
    found = everything(desk, "api-keys", {"user": wanted["username"]}, "api_keys")
    return next((entry for entry in found if entry["name"] == wanted["name"]), None)


def _has_account(desk, wanted):
    return bool(everything(desk, "users", {"username": wanted["username"]}, "users"))


def _apply(desk, wanted, check_mode, subject, given, repeatable=False):
    """Have the desk bring the key to what is given; what that changes, and the whole answer."""
    body = {"username": wanted["username"], "api_keys": [dict(given, name=wanted["name"])]}
    answer = desk.apply("users", body, check_mode, subject, repeatable=repeatable)
    start = len("api_keys.%s" % wanted["name"])
    return [_change(entry, entry["field"][start:].lstrip(".")) for entry in answer.get("changes") or ()], answer


def _change(entry, field):
    if not field:
        field = "secret" if entry["before"] == entry["after"] else "key"
    return dict(entry, field=field)


def _made():
    return {"field": "key", "before": None, "after": "present"}


def _id_of(answer, wanted):
    return (answer.get("api_key_ids") or {}).get(wanted["name"])


def _result(subject, wanted, changes, also=False, key_id=None, warning=None):
    """``also`` says that something else changed: the file."""
    of_key = [entry for entry in changes if entry["field"] == "key"]
    action = "none"
    if changes:
        action = "update" if not of_key else "create" if of_key[0]["before"] is None else "delete"
    result = {
        "changed": bool(changes or also),
        "action": action,
        "changes": changes,
        "diff": diff_of(subject, action, changes),
    }
    if key_id is not None:
        result["key_id"] = key_id
    if wanted.get("dest"):
        result["dest"] = wanted["dest"]
    if warning is not None:
        result["warnings"] = [warning]
    return result


# --- with a file ---


def _kept(desk, wanted, check_mode, subject, there, given):
    dest = wanted["dest"]
    _require_folder(dest)
    secret, is_due = _interrupted(dest), False
    if secret is None:
        if there is None or wanted.get("regenerate"):
            is_due = True
        else:
            _require_held(desk, wanted, subject, there, dest)
            is_due = _is_due(desk, wanted, subject)
    if is_due:
        # In check mode it is what the desk would be told, and forgotten again.
        secret = secrets.token_urlsafe(32)
        if not check_mode:
            _write(dest + WAITING, secret)
    if secret is not None:
        given = dict(given, secret=secret)
    changes, answer = _apply(desk, wanted, check_mode, subject, given, repeatable=True)
    key_id = _id_of(answer, wanted) or (there or {}).get("id")
    also = False
    if secret is not None:
        key = "dpk_%s_%s" % (key_id, secret)
        also = _read(dest) != key
        if not check_mode:
            _write(dest, key, like=dest)
            os.unlink(dest + WAITING)
    return _result(subject, wanted, changes, also, key_id)


def _require_folder(dest):
    folder = os.path.dirname(dest) or "."
    if os.path.isdir(dest):
        raise BadArguments("dest: %s is a directory; name a file in it" % dest)
    if not os.access(folder, os.W_OK | os.X_OK):
        reason = "cannot be written to" if os.path.isdir(folder) else "is no directory"
        raise BadArguments("dest: %s %s" % (folder, reason))
    if os.path.exists(dest) and os.geteuid() not in (0, os.stat(dest).st_uid):
        raise BadArguments("dest: %s belongs to somebody else; it would not be his any more" % dest)


def _interrupted(dest):
    """The secret of a run that ended before it was done; None where there was none."""
    found = _read(dest + WAITING)
    return found if found is not None and _SECRET.fullmatch(found) else None


def _require_held(desk, wanted, subject, there, dest):
    """Refuse to go on where nobody has the key any more, or only an older one."""
    found = _KEY.fullmatch(_read(dest) or "")
    reason = "does not hold this key"
    if found is not None and found.group(1) == there["id"]:
        changes, _answer = _apply(desk, wanted, True, subject, {"secret": found.group(2)})
        if not changes:
            return
        reason = "holds a secret that the key has no more"
    raise BadArguments(
        "dest: %s %s, and the desk shows it to nobody: bring the file back, or replace the key by regenerate: true" % (dest, reason)
    )


def _is_due(desk, wanted, subject):
    """Whether the secret is too old, by the desk's clock."""
    days = wanted.get("rotate_after_days")
    if not days:
        return False
    changes, _answer = _apply(desk, wanted, True, subject, {"rotate_after_days": days})
    return any(entry["field"] == "secret" for entry in changes)


def _read(path):
    try:
        with open(path, encoding="ascii") as handle:
            return handle.read(1000).strip()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        return ""
    except OSError as error:
        raise BadArguments("dest: %s: %s" % (path, error.strerror or error)) from error


def _write(path, text, like=None):
    """Have a file hold this and nothing else, or what it held before. It has owner and mode of ``like``, if that is there, or
    is for its owner only."""
    unfinished = None
    try:
        descriptor, unfinished = tempfile.mkstemp(prefix=".deskplane-", dir=os.path.dirname(path) or ".")
        with os.fdopen(descriptor, "w", encoding="ascii") as stream:
            stream.write(text + "\n")
            stream.flush()
            if like is not None and os.path.exists(like):
                before = os.stat(like)
                os.fchown(stream.fileno(), before.st_uid, before.st_gid)
                os.fchmod(stream.fileno(), stat.S_IMODE(before.st_mode))
            os.fsync(stream.fileno())
        os.replace(unfinished, path)
        unfinished = None
    except OSError as error:
        raise BadArguments("dest: %s: %s" % (path, error.strerror or error)) from error
    finally:
        if unfinished is not None and os.path.exists(unfinished):
            os.unlink(unfinished)


def _removed(wanted, check_mode):
    """Remove the files of a key that is gone; whether there were any."""
    dest = wanted.get("dest")
    found = [path for path in (dest, dest + WAITING) if os.path.isfile(path)] if dest else []
    try:
        for path in found if not check_mode else ():
            os.unlink(path)
    except OSError as error:
        raise BadArguments("dest: %s: %s" % (error.filename, error.strerror or error)) from error
    return bool(found)
