# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Downloading a backup: whole and compared, or no file at all."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import tempfile

from ansible_collections.deskplane.helpdesk.plugins.module_utils.arguments import BadArguments
from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk import DeskFailure
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import Declaration

PATIENCE_S = 600
"""The desk makes the file whole before it sends the first byte."""
_NAMED = re.compile(r'filename="([A-Za-z0-9][A-Za-z0-9._-]*)"')


class Backup(Declaration):
    """A backup of the whole desk, as a file where the task runs."""

    def __init__(self, options):
        super().__init__("backup", "admin/backup", options, patience=PATIENCE_S)

    def act(self, desk, wanted, check_mode):
        dest = wanted["dest"]
        folder = dest if os.path.isdir(dest) else os.path.dirname(dest) or "."
        if not os.access(folder, os.W_OK | os.X_OK):
            reason = "cannot be written to" if os.path.isdir(folder) else "is no directory"
            raise BadArguments("dest: %s %s" % (folder, reason))
        if check_mode:
            return {"changed": True, "dest": dest}
        return _downloaded(desk, self.path, dest, folder)


def _downloaded(desk, path, dest, folder):
    digest, size, unfinished = hashlib.sha256(), 0, None
    try:
        descriptor, unfinished = tempfile.mkstemp(prefix=".deskplane-", dir=folder)
        with os.fdopen(descriptor, "wb") as stream:

            def put(piece):
                nonlocal size
                try:
                    stream.write(piece)
                except OSError as error:
                    raise _unwritten(dest, error) from error
                digest.update(piece)
                size += len(piece)

            headers = desk.download(path, put, "backup")
            stream.flush()
            os.fsync(stream.fileno())
        told = "sha-256=:%s:" % base64.b64encode(digest.digest()).decode("ascii")
        if headers.get("Repr-Digest") != told:
            raise DeskFailure("backup: what arrived is not what was sent; nothing was kept, run it again")
        if os.path.isdir(dest):
            named = _NAMED.search(headers.get("Content-Disposition") or "")
            dest = os.path.join(dest, named.group(1) if named else "deskplane.tar.gz")
        os.replace(unfinished, dest)
        unfinished = None
    except OSError as error:
        raise _unwritten(dest, error) from error
    finally:
        if unfinished is not None and os.path.exists(unfinished):
            os.unlink(unfinished)
    return {"changed": True, "dest": dest, "size": size, "sha256": digest.hexdigest()}


def _unwritten(dest, error):
    return BadArguments("dest: %s: %s; nothing was kept" % (dest, error.strerror or error))
