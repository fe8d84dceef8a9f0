# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that a ticket is to have: read where the task runs, and sent only if the ticket has not got them."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import re

from ansible_collections.deskplane.helpdesk.plugins.module_utils.arguments import BadArguments
from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk import DeskFailure
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import diff_of

AT_ONCE = 1024 * 1024
OCTETS = "application/octet-stream"
MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,58}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,58}")
# Without the host's own table: a file has the same type wherever the task runs.
TYPES = mimetypes.MimeTypes()


class File:
    """One file of a task: a name, what it holds by its hash, and where to read that."""

    def __init__(self, option, place, files):
        """``option`` is one entry of ``attachments``, whose place in the task is ``place``. Raises `BadArguments`."""
        self.place = place
        self._files = files
        self._content = option.get("content")
        self._path = None
        if self._content is None:
            self._path = _found(option["path"], place, files)
        name = option.get("name")
        if name is None:
            name = os.path.basename(option["path"])
        self.name = name
        guessed = "text/plain" if self._path is None else OCTETS
        self.content_type = option.get("content_type") or TYPES.guess_type(name)[0] or guessed
        if not MEDIA_TYPE.fullmatch(self.content_type):
            raise BadArguments("%s.content_type must be a media type like text/plain, got %r" % (place, self.content_type))
        digest, self.size = hashlib.sha256(), 0
        for block in self._blocks():
            digest.update(block)
            self.size += len(block)
        self.sha256 = digest.hexdigest()

    def declared(self):
        """As the desk is told of it."""
        return {"name": self.name, "sha256": self.sha256, "size": self.size}

    def content(self):
        """All that it holds. Raises `BadArguments` where that is not what was declared."""
        found = b"".join(self._blocks())
        if hashlib.sha256(found).hexdigest() != self.sha256:
            raise BadArguments("%s: %s changed while the task was sending it" % (self.place, self.name))
        return found

    def _blocks(self):
        if self._path is None:
            yield self._content.encode("utf-8", "surrogateescape")
            return
        try:
            with open(self._path, "rb") as handle:
                yield from iter(lambda: handle.read(AT_ONCE), b"")
        except OSError as error:
            raise _unreadable(self.place, self._path, error) from error


def _found(path, place, files):
    """Where the content of a file can be read."""
    try:
        path = files.find(path) if files else os.path.expanduser(path)
        if os.path.isdir(path):
            raise BadArguments("%s.path: %s is a directory; name each file" % (place, path))
        if os.path.exists(path) and not os.path.isfile(path):
            raise BadArguments("%s.path: %s is no regular file" % (place, path))
        os.stat(path)
        return files.plain(path) if files else path
    except OSError as error:
        raise _unreadable(place, path, error) from error


def _unreadable(place, path, error):
    hint = ""
    if isinstance(error, FileNotFoundError):
        hint = "; it is read where the task runs: on the controller, or on the host to which the task is delegated"
    return BadArguments("%s.path: %s cannot be read: %s%s" % (place, path, error.strerror or error, hint))


def gathered(options, files):
    """The files of the option ``attachments``; nothing of the desk is touched. Raises `BadArguments`."""
    found, named = [], {}
    for index, option in enumerate(options):
        file = File(option, "attachments[%d]" % index, files)
        first = named.setdefault((file.name, file.sha256), file)
        if first is not file:
            raise BadArguments("%s is the same file as %s" % (file.place, first.place))
        found.append(file)
    return found


def _sent(desk, number, files, internal):
    """Send files to a ticket; yields each file's attachment as the desk answers it. Raises `DeskFailure`.

    One that somebody else sent meanwhile is not stored twice, so that each request may be tried again.
    """
    for file in files:
        query = [("name", file.name), ("sha256", file.sha256), ("once", "true")]
        if internal is not None:
            query.append(("internal", "true" if internal else "false"))
        subject = "ticket %s: %s (%s)" % (number, file.place, file.name)
        try:
            yield desk.upload("tickets/%s/attachments" % number, file.content(), file.content_type, subject, query)
        except (DeskFailure, BadArguments) as failure:
            text = "%s; everything else that the task says of the ticket is done, the next run sends what is missing" % failure
            raise DeskFailure(text, problem=getattr(failure, "problem", None)) from failure


def completed(desk, subject, files, internal, result, check_mode):
    """The result of a task that declared ``files``, which the desk answered with what they are on the ticket: with those
    that it has not got sent, and told of like every other change. Raises `DeskFailure`."""
    there = result.pop("attachments", [])
    missing = [file for file, entry in zip(files, there) if entry is None]
    found = [entry for entry in there if entry is not None]
    sent = [file.declared() for file in missing]
    if missing:
        if not check_mode:
            sent = list(_sent(desk, result["ticket"]["number"], missing, internal))
        before, after = ([_told(entry) for entry in entries] for entries in (found, found + sent))
        result["changes"] = result["changes"] + [{"field": "attachments", "before": before, "after": after}]
        result["changed"] = True
        result["action"] = "update" if result["action"] == "none" else result["action"]
        result["diff"] = diff_of(subject, result["action"], result["changes"])
    result["ticket"]["attachments"] = found + sent
    return result


def _told(entry):
    """An attachment as changes tell of it."""
    return {name: entry[name] for name in ("name", "size", "sha256")}
