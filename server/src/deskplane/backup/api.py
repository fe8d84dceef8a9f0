"""The endpoint that makes a backup and sends it."""

from __future__ import annotations

import base64
import errno
import tempfile
from collections.abc import Iterable
from typing import IO, Any, cast

from sqlalchemy.orm import Session

from deskplane.backup import files, snapshot
from deskplane.kernel.headers import CSP, FILE
from deskplane.kernel.operation import Call, Operation, Reply, Stream
from deskplane.kernel.problem import Problem

_PIECE = 256 * 1024
GZIP = {"type": "string", "format": "binary", "x-content-type": "application/gzip"}


def make(call: Call) -> Reply:
    """GET or POST /admin/backup: made whole in a temporary file first, so that what begins to arrive is a backup."""
    file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the answer that reads it
    hashed = files.HashedFile(file)
    try:
        snapshot.write(call.session, cast(IO[bytes], hashed), call.clock, call.vault, None)
        file.flush()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Problem(507, "disk_full", "there is no room for the backup; nothing was sent") from error
        raise

    def piece(_session: Session, position: int) -> bytes | None:
        file.seek(position * _PIECE)
        return file.read(_PIECE) or None

    headers = {
        "Content-Disposition": f'attachment; filename="{files.name_of(call.clock.now(), sealed=False)}"',
        "Repr-Digest": f"sha-256=:{base64.b64encode(hashed.digest.digest()).decode()}:",
        CSP: FILE,
    }
    return Reply(Stream(piece, hashed.size), 200, headers, GZIP["x-content-type"])


def operations() -> Iterable[Operation]:
    """The one operation, under both methods."""
    common: dict[str, Any] = {
        "tag": "server",
        "permission": ("backup:create",),
        "answers": {200: ("The backup, as `deskplane restore` takes it.", GZIP)},
        "refusals": {507: "There is no room for the temporary file."},
        "description": (
            "The whole desk as it is at one moment, in one compressed file; others go on writing meanwhile. Its "
            "SHA-256 is in the header `Repr-Digest` (RFC 9530). Secrets in it are sealed with the server's secret key; "
            "everything else can be read."
        ),
    }
    path = "/api/v1/admin/backup"
    yield Operation("make_backup", "POST", path, make, "Make a backup, and download it", **common)
    yield Operation("get_backup", "GET", path, make, "Download a backup that is made for it", **common)
