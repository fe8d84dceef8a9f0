"""Backups as files in a directory: made whole or not at all, and the oldest taken away."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

_NAME = re.compile(r"deskplane-(\d{8}T\d{6}Z)\.tar\.gz(?:\.sealed)?")
_STAMP = "%Y%m%dT%H%M%SZ"


def name_of(instant: datetime, *, sealed: bool) -> str:
    """`deskplane-20260302T090000Z.tar.gz`, in UTC, so that names sort as times do."""
    return f"deskplane-{instant.astimezone(UTC).strftime(_STAMP)}.tar.gz" + (".sealed" if sealed else "")


def there(directory: Path) -> list[tuple[datetime, Path]]:
    """The backups in a directory, the oldest first; other files do not count."""
    found = []
    for path in directory.iterdir():
        match = _NAME.fullmatch(path.name)
        if match:
            found.append((datetime.strptime(match[1], _STAMP).replace(tzinfo=UTC), path))
    return sorted(found)


def put(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Has a file written beside its place, readable by its owner alone, and moves it there once it is on the disk."""
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def prune(directory: Path, keep: int) -> list[Path]:
    """Takes the oldest backups away until there are so many; answers which. Those that were broken off go too."""
    gone = [path for _made, path in there(directory)][:-keep]
    for path in gone:
        path.unlink(missing_ok=True)
    for path in directory.glob(".deskplane-*"):
        path.unlink(missing_ok=True)
    return gone


class HashedFile:
    """A file that is written to, and the SHA-256 and size of what was."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self.digest, self.size = file, hashlib.sha256(), 0

    def write(self, data: Any) -> int:
        self.digest.update(data)
        self.size += len(data)
        return self._file.write(data)

    def flush(self) -> None:
        self._file.flush()
