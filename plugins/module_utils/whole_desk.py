# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The whole desk at once: what is asked of its API, what a refusal says, and its export as files."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from typing import Any

from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk import Desk, DeskFailure
from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk_files import SUFFIXES, BadFiles, Declared, found_mistakes, in_order, located, with_secrets
from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk_kinds import KINDS
from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk_yaml import dump, dump_json

SUBJECT = "configuration"
# The desk works on a whole document before the first byte of its answer.
PATIENCE_S = 300
OPTIONS = ("manager", "revision", "prune", "max_deletions", "on_blocked", "adopt", "force")
"""What a request may say besides the document."""
HEADER = "# Exported from a Deskplane desk: "


class Refused(DeskFailure):
    """The desk, or the reading of files, found mistakes: ``mistakes`` as `Declared.mistakes` returns them.

    ``head`` counts them. The text is one line of one mistake, and a line of each below the head of several.
    """

    def __init__(self, mistakes: list[dict[str, Any]], problem: dict[str, Any] | None = None) -> None:
        lines = [located(mistake) for mistake in mistakes]
        word = "conflicts" if (problem or {}).get("status") == 409 else "mistakes"
        self.head = "%d %s, and nothing was changed" % (len(lines), word) if len(lines) > 1 else "nothing was changed"
        text = lines[0] if len(lines) == 1 else "%s:\n%s" % (self.head, "\n".join(lines))
        super().__init__("%s: %s" % (SUBJECT, text), problem)
        self.mistakes = mistakes


def plan(
    desk: Desk,
    declared: Declared,
    options: Mapping[str, Any],
    secrets: Mapping[str, str],
    allow_unresolved: bool = False,
) -> dict[str, Any]:
    """What an apply would do. Raises `DeskFailure`, with the mistakes as `Refused`."""
    more = {"allow_unresolved": True} if allow_unresolved else {}
    return _ask(desk, "plan", declared, dict(options, **more), secrets)


def apply(
    desk: Desk, declared: Declared, options: Mapping[str, Any], secrets: Mapping[str, str], plan_digest: str | None = None
) -> dict[str, Any]:
    """Make the desk what is declared; with ``plan_digest``, only as that plan said. Raises as `plan`."""
    # An empty one is no plan's digest either: where a variable was not set, nothing must be applied unseen.
    more = {} if plan_digest is None else {"plan_digest": plan_digest}
    return _ask(desk, "apply", declared, dict(options, **more), secrets)


def export(desk: Desk, manager: str | None = None, full: bool = False) -> dict[str, Any]:
    """The desk as a document; ``manager`` leaves what that one owns, ``full`` adds what has its default."""
    query = [("manager", manager)] if manager else []
    answer = desk.get(SUBJECT, query + ([("full", "true")] if full else []), SUBJECT)
    found: dict[str, Any] = answer.get("configuration") or {}
    return found


def drift(desk: Desk, manager: str | None = None) -> dict[str, Any]:
    """What differs now from what managers last declared."""
    return desk.get(SUBJECT + "/drift", [("manager", manager)] if manager else [], SUBJECT)


def schema(desk: Desk) -> dict[str, Any]:
    """The JSON Schema of a desk's files, for editors; the desk asks no key for it."""
    return desk.get(SUBJECT + "/schema.json", subject=SUBJECT)


def refused(failure: DeskFailure, declared: Declared) -> DeskFailure:
    """The failure with each mistake at its place, if it names any."""
    problem = failure.problem or {}
    mistakes = declared.mistakes(problem)
    if not mistakes:
        return failure
    return Refused(mistakes, failure.problem)


def refused_files(desk: Desk, error: BadFiles, options: Mapping[str, Any], secrets: Mapping[str, str]) -> Refused:
    """What is wrong in files, with what the desk finds wrong in the rest of them: one look at all mistakes.

    The desk plans, so nothing changes. What may only follow from a mistake that is told already is left out.
    """
    mistakes = found_mistakes(error)
    # Pruning goes by what is not there, which may just not be readable.
    asked = {name: options.get(name) for name in ("manager", "revision", "adopt", "force")}
    try:
        if error.readable.configuration:
            plan(desk, error.readable, asked, secrets)
    except Refused as more:
        mistakes += [one for one in more.mistakes if not error.explains(one)]
    except DeskFailure:
        pass
    return Refused(in_order(mistakes))


def _ask(desk: Desk, verb: str, declared: Declared, options: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, Any]:
    body = {name: value for name, value in options.items() if value is not None}
    body["configuration"] = with_secrets(declared.configuration, secrets)
    try:
        # What is declared may be declared again, but a digest fits only once.
        return desk.post("%s/%s" % (SUBJECT, verb), body, SUBJECT, repeatable="plan_digest" not in body)
    except DeskFailure as failure:
        raise refused(failure, declared) from failure


def files_for(configuration: Mapping[str, Any], dest: str) -> dict[str, str]:
    """The export as the content of files: all of it in ``dest`` if that is named like a file, else a file a kind in it.

    A kind that an earlier export wrote into the directory and that has no objects any more becomes an empty list.
    """
    if dest.endswith(SUFFIXES) and not os.path.isdir(dest):
        if dest.endswith(".json"):
            return {dest: dump_json(configuration)}
        return {dest: _head("the whole desk") + dump(dict(configuration))}
    files = {}
    for plural in list(configuration) + [plural for plural in KINDS if plural not in configuration]:
        path = os.path.join(dest, plural + ".yml")
        if plural in configuration or _is_exported(path):
            files[path] = _head(plural) + dump({plural: configuration.get(plural, [])})
    return files


def write_files(files: Mapping[str, str], only_look: bool = False) -> list[str]:
    """Write the files that differ, each at once; the paths of these. Raises OSError."""
    differing = [path for path, text in files.items() if content(path) != text]
    for path in [] if only_look else differing:
        folder = os.path.dirname(path) or "."
        os.makedirs(folder, exist_ok=True)
        mode = os.stat(path).st_mode & 0o777 if os.path.exists(path) else 0o666 & ~_umask()
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".deskplane-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(files[path])
            os.chmod(temporary, mode)
            os.replace(temporary, path)
        except BaseException:
            os.unlink(temporary)
            raise
    return differing


def _head(what: str) -> str:
    return "---\n%s%s.\n# Secrets are references to what the desk holds. It can be edited, and applied as it is.\n" % (HEADER, what)


def content(path: str) -> str | None:
    """The text of a file; None where there is none, or none that is text. Raises OSError."""
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except (FileNotFoundError, UnicodeDecodeError):
        return None


def _is_exported(path: str) -> bool:
    return HEADER in (content(path) or "")[:200]


def _umask() -> int:
    current = os.umask(0o022)
    os.umask(current)
    return current
