# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of a playbook is called, and what of its failures may be told: the thinking half of the callback."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping

from ansible_collections.deskplane.helpdesk.plugins.module_utils import arguments

LONGEST_KEY = 200
LONGEST_TITLE = 300
LONGEST_MESSAGE = 1000
MOST_FAILURES = 10
MOST_HOSTS = 30

HIDDEN = "(hidden: the task has no_log)"

_ROOT_MARKS = (".git", "ansible.cfg", "galaxy.yml", "MANIFEST.json")
_PLACEHOLDER = re.compile(r"\{(\w+)\}")

_SECRET_NAME = re.compile(
    r"(?i)pass(word|wd|phrase|code)|(^|_)pass($|_)|(^|_)pwd$|secret|token|credential|(api|private|access|signing)_?key"
    r"|^vault_|(^|_)auth($|_)|authorization"
)
_NO_SECRETS = {"hostvars", "groups", "vars", "ansible_facts", "PWD", "OLDPWD"}
_SAID = (
    # password=..., "token": "...", --api-key ..., with or without quotes
    re.compile(
        r"""(?i)((?:pass(?:word|wd|phrase)?|pwd|secret|token|credentials?|api[_-]?key|private[_-]?key|access[_-]?key)["']?"""
        r"""(?:\s*[:=]\s*|\s+(?=["'])|(?<=[a-z])\s+(?=[^\s]*[0-9])))("[^"]*"|'[^']*'|[^\s,;&"']+)"""
    ),
    re.compile(r"(?i)(\b(?:authorization\s*:\s*)?(?:bearer|basic)\s+)([A-Za-z0-9._~+/=-]{6,})"),
    re.compile(r"(\w+://[^\s:/@]*:)([^\s@/]+)(?=@)"),
    re.compile(r"(-----BEGIN [A-Z ]*PRIVATE KEY-----)(.*?)(?=-----END|\Z)", re.DOTALL),
)
_ESCAPES = re.compile("\x1b\\[[0-?]*[ -/]*[@-~]|\x1b[@-_]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_NOT_IN_A_LINE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]+")


def line(text, longest=LONGEST_TITLE):
    """Text as one line that the desk takes: no control characters, no overrides of direction, not too long."""
    found = " ".join(_NOT_IN_A_LINE.sub(" ", _ESCAPES.sub("", str(text))).split())
    return found if len(found) <= longest else found[: longest - 1] + "…"


def block(text, longest=LONGEST_MESSAGE):
    """Text of several lines that the desk takes."""
    found = _CONTROL.sub("", _ESCAPES.sub("", str(text)).replace("\r\n", "\n").replace("\r", "\n")).strip()
    return found if len(found) <= longest else found[:longest].rstrip() + "\n…"


def secrets_among(variables):
    """The texts of variables that have a secret's name, or that were encrypted with a vault."""
    found = set()

    def look(value, inside):
        if isinstance(value, Mapping):
            for name, item in value.items():
                if name not in _NO_SECRETS:
                    look(item, inside or bool(_SECRET_NAME.search(str(name))))
        elif isinstance(value, (list, tuple, set)):
            for item in value:
                look(item, inside)
        elif value is not None and not isinstance(value, bool) and (inside or hasattr(value, "_ciphertext")):
            text = str(value)
            if len(text) >= arguments.SHORTEST_MASKED and "{{" not in text:
                found.add(text)
                found.update(part for part in text.splitlines() if len(part) >= arguments.SHORTEST_MASKED)

    look(variables, False)
    return found


def masked(text, secrets):
    """``text`` without these secrets, and without what looks like one."""
    found = arguments.mask(text, secrets)
    for pattern in _SAID:
        found = pattern.sub(lambda match: match.group(1) + arguments.MASK, found)
    return found


def filled(template, words):
    """``template`` with each known ``{word}`` replaced; others stay as they are."""
    return _PLACEHOLDER.sub(lambda match: str(words.get(match.group(1), match.group(0))), template)


def key_of(text):
    """A correlation key that the desk takes: a long one ends in its digest, so that it stays one of its own."""
    found = line(text, 10 * LONGEST_KEY)
    if len(found) <= LONGEST_KEY:
        return found
    return found[: LONGEST_KEY - 17] + "#" + hashlib.sha256(found.encode("utf-8")).hexdigest()[:16]


def names_of(playbook, inventories, extra_vars, project=None):
    """What a run is known by: a dict of words for titles and keys.

    ``template_id`` and ``template_name`` are those that AWX and Automation Controller give as extra variables.
    """
    path = os.path.abspath(playbook)
    root = _root_of(os.path.dirname(path))
    words = {
        "project": project or _project_of(root),
        "playbook": os.path.relpath(path, root),
        "inventory": ",".join(_inventory_of(source, root) for source in inventories) or "localhost",
        "template_id": "",
        "template_name": "",
        "job_id": "",
    }
    for name in ("awx", "tower"):
        for word in ("template_id", "template_name", "job_id"):
            variable = "%s_job_%s" % (name, word.replace("job_", ""))
            words[word] = words[word] or str(extra_vars.get(variable) or "")
    if words["template_id"]:
        words["default"] = "awx/job-template/" + words["template_id"]
        words["name"] = words["template_name"] or words["playbook"]
    else:
        words["default"] = "ansible/%s/%s@%s" % (words["project"], words["playbook"], words["inventory"])
        words["name"] = words["playbook"]
    return words


def _root_of(folder):
    """The folder of the project: the nearest one above that is marked as such, or the playbook's own."""
    here = folder
    while True:
        if any(os.path.exists(os.path.join(here, mark)) for mark in _ROOT_MARKS):
            return here
        above = os.path.dirname(here)
        if above == here:
            return folder
        here = above


def _project_of(root):
    parent, name = os.path.split(root)
    above, namespace = os.path.split(parent)
    return "%s.%s" % (namespace, name) if os.path.basename(above) == "ansible_collections" else name


def _inventory_of(source, root):
    """An inventory's name: without what differs between two checkouts, and with what tells two inventories apart."""
    if "," in source:
        return ",".join(part.strip() for part in source.split(",") if part.strip())
    path = os.path.abspath(source)
    relative = os.path.relpath(path, root)
    return relative if not relative.startswith(os.pardir) else "/".join(path.split(os.sep)[-2:])


class Failure:
    """One failed task on one host."""

    def __init__(self, host, task, result, unreachable=False):
        """``result`` is the task's result as Ansible shows it to callbacks."""
        self.host = host
        self.task = task
        self.unreachable = unreachable
        self.message = _message_of(result)

    def lines(self, secrets):
        """The failure in Markdown, masked."""
        what = "unreachable at" if self.unreachable else "failed at"
        head = "**%s** %s **%s**:" % (
            _inline(line(self.host)),
            what,
            _inline(line(masked(self.task, secrets))),
        )
        body = block(masked(self.message, secrets)) or "no message"
        return [head, ""] + ["    " + text for text in body.split("\n")] + [""]


def _message_of(result):
    if "censored" in result or result.get("_ansible_no_log"):
        return HIDDEN
    items = [item for item in result.get("results") or () if isinstance(item, Mapping)]
    bad = [item for item in items if item.get("failed") or item.get("unreachable")]
    texts = [_message_of(item) for item in bad[:3]] or [str(result.get("msg") or result.get("reason") or "")]
    if result.get("rc") and not bad:
        texts.append("exit code %s" % result["rc"])
    return "\n".join(text for text in texts if text)


def _inline(text):
    """Names are data: what Markdown would read as markup is escaped."""
    return re.sub(r"([\\`*_\[\]<>#|])", r"\\\1", text)


def report(words, failures, hosts, secrets):
    """The description of a ticket: which run, which hosts, what failed first. ``hosts``: those that failed."""
    found = ["The playbook **%s** of the project **%s** failed." % (_inline(words["playbook"]), _inline(words["project"])), ""]
    if words["template_id"]:
        found.append("- Job template: %s (id %s)" % (_inline(line(words["template_name"])), line(words["template_id"])))
    if words["job_id"]:
        found.append("- Job: %s" % line(words["job_id"]))
    found.append("- Inventory: %s" % _inline(line(masked(words["inventory"], secrets))))
    names = ", ".join(_inline(line(name, 100)) for name in sorted(hosts)[:MOST_HOSTS])
    more = len(hosts) - MOST_HOSTS
    found += ["- Hosts that failed: %d (%s%s)" % (len(hosts), names, ", and %d more" % more if more > 0 else ""), ""]
    for failure in failures[:MOST_FAILURES]:
        found += failure.lines(secrets)
    if len(failures) > MOST_FAILURES:
        found += ["And %d more; see the log of the run." % (len(failures) - MOST_FAILURES), ""]
    return "\n".join(found)
