"""The last bytes of an unsealed archive: an empty gzip member (RFC 1952) whose comment is the SHA-256 of all before it.

`gzip` and `tar` read over it. The checksum that gzip has itself leaves some bits of a file out.
"""

from __future__ import annotations

import hashlib
import io
import zlib
from typing import IO, Any

_BEGIN = b"\x1f\x8b\x08\x10\0\0\0\0\x02\xff"  # deflate, with a comment, no time
_END = b"\0\x03\0" + zlib.crc32(b"").to_bytes(4, "little") + bytes(4)
LENGTH = len(_BEGIN) + 64 + len(_END)


class BadTrailer(ValueError):
    """The file is not as it was written."""


def trailer(digest: hashlib._Hash) -> bytes:
    """The bytes behind those with that digest."""
    return _BEGIN + digest.hexdigest().encode() + _END


class TrailedReader(io.RawIOBase):
    """The bytes of `file` without the trailer. Raises BadTrailer at the end where that is another one, or none."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file, self._digest = file, hashlib.sha256()
        self._kept = file.read(LENGTH)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        found = self._file.read(len(view))
        if not found:
            if self._kept != trailer(self._digest):
                raise BadTrailer("it is damaged, or its end is missing")
            return 0
        both = self._kept + found
        count = len(both) - LENGTH
        view[:count] = both[:count]
        self._digest.update(both[:count])
        self._kept = both[count:]
        return count
