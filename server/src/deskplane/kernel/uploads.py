"""Files as the body of a request, and as an answer: never whole in memory, and no lock is held while they travel."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from tempfile import SpooledTemporaryFile

from flask import Request
from werkzeug.http import parse_options_header

from deskplane.kernel.db import Database
from deskplane.kernel.operation import Stream, Upload
from deskplane.kernel.problem import Problem

_AT_ONCE = 64 * 1024
_IN_MEMORY = 1024 * 1024


def announced(request: Request) -> Upload:
    """What a request says of the file that it brings; nothing of it is read."""
    _, options = parse_options_header(request.headers.get("Content-Disposition"))
    return Upload(request.mimetype, options.get("filename"))


def receive(request: Request, upload: Upload, most: int) -> None:
    """Reads the file, larger ones into a temporary file. Raises 413 as soon as it is known to be larger than `most`
    bytes: at once, where the request says how large it is; 507 where there is no room."""
    if (request.content_length or 0) > most:
        raise _too_large(most)
    # one more: the stream itself cannot tell a file of exactly that size from one that goes on
    request.max_content_length = most + 1
    digest = hashlib.sha256()
    upload.file = file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - whoever announced it closes it
    try:
        while block := request.stream.read(_AT_ONCE):
            upload.size += len(block)
            if upload.size > most:
                raise _too_large(most)
            digest.update(block)
            file.write(block)
        file.flush()
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise Problem(507, "disk_full", "there is no room for temporary files; nothing was stored") from error
        raise
    upload.sha256 = digest.hexdigest()


def _too_large(most: int) -> Problem:
    return Problem(413, "too_large", f"the file is larger than the {most} bytes that are allowed")


def pieces(database: Database, stream: Stream) -> Iterator[bytes]:
    """The pieces of an answer, one after the other."""
    position = 0
    while (piece := database.run(lambda session: stream.piece(session, position), write=False)) is not None:  # noqa: B023
        yield piece
        position += 1
