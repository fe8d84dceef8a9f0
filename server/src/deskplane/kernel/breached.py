"""Passwords that are known to everyone: a file with their SHA-1 sums, asked without any network.

One sum a line, in hexadecimal digits, sorted, as "Pwned Passwords" is offered for download: what stands behind a colon
is ignored. Lines may hold only the beginnings of sums, all equally long. A file of forty gigabytes is searched in some
thirty steps, and never read.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO

from deskplane.kernel.logging import logger
from deskplane.kernel.problem import busy

LEAST_DIGITS = 10
"""Digits of a beginning that still means something: five, which the service itself takes, meet every third password."""
_LONGEST_LINE = 128


class BreachedPasswords:
    """The list, or none. While a file cannot be read no password is let through: it raises 503."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path

    def __contains__(self, password: str) -> bool:
        if self._path is None:
            return False
        wanted = hashlib.sha1(password.encode(), usedforsecurity=False).hexdigest().upper()
        try:
            with self._path.open("rb") as file:
                found = _last_up_to(file, wanted)
        except OSError as error:
            logger.error("breached_passwords_file cannot be read", file=str(self._path), error=error.strerror)
            raise busy("the server's list of known passwords cannot be read; tell whoever runs it", 60) from None
        return len(found) >= LEAST_DIGITS and wanted.startswith(found)


def _line(file: IO[bytes]) -> str:
    return file.readline(_LONGEST_LINE).split(b":")[0].strip().decode("ascii", "replace").upper()


def _last_up_to(file: IO[bytes], wanted: str) -> str:
    """The last line that does not sort behind what is wanted; empty where all of them do."""
    low, high, found = 0, file.seek(0, 2), ""
    while low < high:
        middle = (low + high) // 2
        file.seek(max(middle - 1, 0))
        if middle:
            file.readline(_LONGEST_LINE)  # to the beginning of the next line, which may be the middle itself
        begin = file.tell()
        line = _line(file)
        if begin < high and line and line <= wanted:
            found, low = line, file.tell()
        else:
            high = middle
    return found
