# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module is: a declaration, and one request.

A module declares a `Resource` or a `Listing`; `perform` is the whole of a task, the same in the
controller (action plugin) and on a delegated host (module).
"""

from __future__ import annotations

import os
import re
import time

from ansible.module_utils.basic import env_fallback
from ansible_collections.deskplane.helpdesk.plugins.module_utils import arguments
from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk import DeskFailure, desk_for

PAGE = 200
WAIT_FOR_READY_S = 60
LOOK_AGAIN_S = 0.5

HARMLESS = "harmless"
"""Doing it twice does what doing it once does."""
KEYED = "keyed"
"""It leaves a trace each time, unless the desk knows a repetition by its Idempotency-Key."""
NEVER = "never"
"""It must not be sent twice, nor may its answer be stored for a repetition, because a secret is in it."""


def connection_spec(keyless=False, patience=None):
    spec = {
        "deskplane_url": {"type": "str", "required": True},
        "deskplane_api_key": {"type": "str", "required": not keyless, "no_log": True},
        "deskplane_validate_certs": {"type": "bool", "default": True},
        "deskplane_ca_path": {"type": "path"},
        "deskplane_timeout": {"type": "float", "default": patience or 30},
        "deskplane_manager": {"type": "str"},
        "deskplane_revision": {"type": "str"},
    }
    for option, variable in arguments.CONNECTION.items():
        spec[option]["fallback"] = (env_fallback, [variable])
    return spec


class Declaration:
    """What a task may say, and what is done then."""

    def __init__(self, kind, path, options, formats=None, constraints=None, keyless=False, patience=None):
        """``keyless`` says that a key is not needed; ``patience`` how many seconds to wait where the task does not."""
        self.kind = kind
        self.patience = patience
        self.path = path
        self.formats = formats or {}
        self.constraints = constraints or {}
        self.argument_spec = dict(connection_spec(keyless, patience), **options)

    def subject(self, given):
        return self.kind

    def gathered(self, given, files=None):
        """The options with what they name read, and the secrets in it; ``files`` finds and reads as a task does."""
        return given, set()

    def marked(self, wanted, marks):
        """What is wanted, with the manager and revision of the connection where that is sent."""
        return wanted

    def portable(self, given, files):
        """The options as they can be used on another host, and what `placed` needs afterwards."""
        return given, None

    def placed(self, result, gathered):
        """The result of a task that ran elsewhere, with what is known only here."""
        return result


class Resource(Declaration):
    """One object of a kind, made to be what the task says."""

    def __init__(
        self, kind, path, key, options, formats=None, constraints=None, implied=None, repetition=None, is_managed=True
    ):
        """``key`` names the options that name an object; ``implied`` is sent where the task does not say;
        ``is_managed``, whether its fields may have a manager.

        ``repetition(wanted)`` says whether a lost request may be sent again: `HARMLESS` (the default), `KEYED`, `NEVER`.
        """
        super().__init__(kind, path, options, formats, constraints)
        self.key = key
        self.implied = implied or {}
        self.repetition = repetition or (lambda wanted: HARMLESS)
        self.is_managed = is_managed

    def marked(self, wanted, marks):
        return dict(marks, **wanted) if self.is_managed else wanted

    def subject(self, given):
        names = [str(given[name]) for name in self.key if isinstance(given.get(name), (str, int))]
        return "%s '%s'" % (self.kind, " / ".join(names)) if names else self.kind

    def act(self, desk, wanted, check_mode):
        subject = self.subject(wanted)
        body = dict(self.implied, **wanted)
        how = HARMLESS if check_mode else self.repetition(wanted)
        answer = desk.apply(self.path, body, check_mode, subject, repeatable=how != NEVER, keyed=how == KEYED)
        changes = answer.get("changes") or []
        result = {
            "changed": bool(answer.get("changed")),
            "action": answer.get("action"),
            "changes": changes,
            self.kind: answer.get("after"),
            "diff": diff_of(subject, answer.get("action"), changes),
        }
        warnings = [str(text) for text in answer.get("warnings") or ()]
        for missing in answer.get("unresolved") or ():
            field = re.sub(r"\.(\d+)", r"[\1]", str(missing.get("field")))
            warnings.append(
                "check mode: %s: %s names the %s '%s', which does not exist yet; an earlier task of this play may make it, "
                "without it the real run fails here" % (subject, field, missing.get("kind"), missing.get("name"))
            )
        if warnings:
            result["warnings"] = warnings
        for extra in ("api_keys", "api_key_ids", "adopted", "released", "attachments"):
            if answer.get(extra):
                result[extra] = answer[extra]
        return result


class Server(Declaration):
    """The server itself: its version, and whether it is ready, or when it is."""

    def __init__(self, options):
        super().__init__("server", "version", options, keyless=True)

    def act(self, desk, wanted, check_mode):
        if wanted.get("wait_for_ready"):
            readiness = _when_ready(desk, wanted.get("wait_timeout", WAIT_FOR_READY_S))
        else:
            try:
                readiness = desk.readiness()
            except DeskFailure as failure:
                if failure.problem is None:
                    raise
                return {"changed": False, "ready": False, "reason": str(failure)}
        about = desk.get(self.path)
        readiness.pop("status", None)
        return {"changed": False, "ready": True, "version": about["version"], "api": about["api"], "readiness": readiness}


def _when_ready(desk, seconds):
    if seconds < 0:
        raise arguments.BadArguments("wait_timeout must not be less than 0 seconds")
    deadline = time.monotonic() + seconds
    while True:
        try:
            return desk.readiness()
        except DeskFailure as failure:
            left = deadline - time.monotonic()
            if not failure.passing:
                raise
            if left <= 0:
                raise DeskFailure("not ready within %d s (wait_timeout): %s" % (seconds, failure), problem=failure.problem)
            time.sleep(min(LOOK_AGAIN_S, left))


class Listing(Declaration):
    """The objects of a kind that the filters leave; reads all pages."""

    def __init__(self, kind, plural, path, options, constraints=None):
        super().__init__(kind, path, options, None, constraints)
        self.plural = plural

    def subject(self, given):
        return self.plural

    def act(self, desk, wanted, check_mode):
        most = wanted.pop("limit", None)
        found = everything(desk, self.path, wanted, self.plural, most)
        return {"changed": False, self.plural: found}


def everything(desk, path, filters, subject, most=None):
    """What a list of the desk holds after its filters, from all pages, or the first ``most`` of it."""
    query = [pair for name, value in sorted(filters.items()) for pair in _pairs(name, value)]
    found, cursor = [], None
    while most is None or len(found) < most:
        page = min(PAGE, most - len(found)) if most else PAGE
        paging = [("limit", page)] + ([("cursor", cursor)] if cursor else [])
        answer = desk.get(path, query + paging, subject)
        found.extend(answer.get("items") or [])
        cursor = answer.get("next_cursor")
        if not cursor:
            break
    return found


def _pairs(name, value):
    if value is None:
        return []
    if isinstance(value, list):
        return [(name, ",".join(str(item) for item in value))] if value else []
    if isinstance(value, bool):
        return [(name, "true" if value else "false")]
    return [(name, str(value))]


def diff_of(subject, action, changes):
    """What Ansible shows with --diff of one object."""
    before, after = {}, {}
    for change in changes:
        _put(before, change["field"], change.get("before"))
        _put(after, change["field"], change.get("after"))
    return {
        "before_header": subject,
        "after_header": subject,
        "before": {} if action == "create" else before,
        "after": {} if action == "delete" else after,
    }


def _put(tree, dotted, value):
    steps = dotted.split(".")
    for step in steps[:-1]:
        tree = tree.setdefault(step, {})
        if not isinstance(tree, dict):
            return
    tree[steps[-1]] = value


def perform(declaration, raw, check_mode=False, diff_mode=False, environ=None, files=None):
    """Do what the raw arguments of a task say and return its result; raises nothing for what may go wrong.

    ``files`` finds and reads files as a task does, where it is more than opening them.
    """
    environ = os.environ if environ is None else environ
    spec, given, secrets = declaration.argument_spec, {}, set()
    try:
        given = arguments.with_environment(arguments.plain(raw), environ)
        secrets = arguments.secrets_of(spec, given)
        missing = [name for name in ("deskplane_url", "deskplane_api_key") if spec[name]["required"] and not given.get(name)]
        if missing:
            raise arguments.BadArguments(_not_connected(missing))
        checked = arguments.validated(spec, given, declaration.formats, declaration.constraints)
        desk = desk_for(dict({"deskplane_timeout": declaration.patience}, **checked), environ)
        wanted = {name: value for name, value in checked.items() if name not in arguments.CONNECTION}
        wanted, more = declaration.gathered(wanted, files)
        secrets |= more
        marks = {name: checked.get("deskplane_" + name) for name in ("manager", "revision")}
        wanted = declaration.marked(wanted, {name: value for name, value in marks.items() if value})
        result = declaration.act(desk, wanted, check_mode)
    except arguments.BadArguments as error:
        result = {"failed": True, "changed": False, "msg": "%s: %s" % (declaration.subject(given), error)}
    except DeskFailure as error:
        result = {"failed": True, "changed": False, "msg": str(error)}
        if error.problem is not None:
            result["problem"] = error.problem
        if getattr(error, "mistakes", None):
            result["errors"] = error.mistakes
    if not diff_mode:
        result.pop("diff", None)
    return _without_secrets(result, spec, given, secrets)


def _not_connected(missing):
    return "%s not set: give it in the task, in module_defaults for group/deskplane.helpdesk.all, or in the environment as %s" % (
        " and ".join(missing) + (" is" if len(missing) == 1 else " are"),
        " and ".join(arguments.CONNECTION[name] for name in missing),
    )


def _without_secrets(result, spec, given, secrets):
    # Keys made just now are shown this once: they are what the task was for.
    made = {name: result.pop(name) for name in ("api_keys", "key") if result.get(name)}
    shortest = 1 if result.get("failed") else arguments.SHORTEST_MASKED
    result = arguments.mask(result, {secret for secret in secrets if len(secret) >= shortest})
    result.update(made)
    result["invocation"] = {"module_args": shown(spec, given)}
    return result


def shown(spec, given):
    """The options of a task as anybody may read them."""
    found = arguments.hidden(spec, given)
    if found.get("configuration") is not None:
        # It may be long, and hold secrets at places that only the desk knows.
        found["configuration"] = arguments.HIDDEN
    return found
