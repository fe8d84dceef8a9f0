"""Encryption of a stream with a passphrase: AES-256-GCM over pieces, as in the STREAM construction (Hoang,
Reyhanitabar, Rogaway, Vizár 2015), so that pieces can be neither exchanged nor left out, nor the end cut off, unseen.

A sealed file is `MAGIC`, 16 bytes of salt, then the pieces, each of `PIECE` bytes of text and 16 of tag, the last one
shorter. The nonce is the piece's number, and whether it is the last. The key is scrypt's (RFC 7914) of the passphrase.
"""

from __future__ import annotations

import io
import os
from typing import IO, Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

MAGIC = b"deskplane-sealed-1\n"
PIECE = 64 * 1024
_TAG = 16
_SALT = 16


class BadSeal(ValueError):
    """The file was not sealed with this passphrase, or is not as it was when it was sealed."""


def _cipher(passphrase: str, salt: bytes) -> AESGCM:
    # 64 MiB and a fifth of a second a guess
    return AESGCM(Scrypt(salt=salt, length=32, n=2**16, r=8, p=1).derive(passphrase.encode()))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class SealingWriter(io.RawIOBase):
    """Seals what is written to it into `file`, which is left open. Without `close` the end is missing, and the file is
    refused."""

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        salt = os.urandom(_SALT)
        self._file, self._cipher = file, _cipher(passphrase, salt)
        self._waiting, self._number = bytearray(), 0
        file.write(MAGIC + salt)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        self._waiting += data
        # one piece is always kept back: it may be the last one
        while len(self._waiting) > PIECE:
            self._put(bytes(self._waiting[:PIECE]), last=False)
            del self._waiting[:PIECE]
        return memoryview(data).nbytes

    def _put(self, piece: bytes, *, last: bool) -> None:
        self._file.write(self._cipher.encrypt(_nonce(self._number, last=last), piece, None))
        self._number += 1

    def close(self) -> None:
        if not self.closed:
            self._put(bytes(self._waiting), last=True)
        super().close()


class OpeningReader(io.RawIOBase):
    """What was sealed into `file`, behind its `MAGIC`. Raises BadSeal."""

    def __init__(self, file: IO[bytes], passphrase: str) -> None:
        self._file = file
        self._cipher = _cipher(passphrase, file.read(_SALT))
        self._next, self._number = file.read(PIECE + _TAG), 0
        self._clear = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        if not self._clear and self._next:
            piece, self._next = self._next, self._file.read(PIECE + _TAG)
            try:
                self._clear = self._cipher.decrypt(_nonce(self._number, last=not self._next), piece, None)
            except InvalidTag:
                raise BadSeal(
                    "the passphrase is another one" if self._number == 0 else "it is damaged, or its end is missing"
                ) from None
            self._number += 1
        count = min(len(view), len(self._clear))
        view[:count] = self._clear[:count]
        self._clear = self._clear[count:]
        return count
