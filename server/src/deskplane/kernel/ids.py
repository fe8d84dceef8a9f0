"""Identifiers and secrets: the one place where randomness comes from."""

from __future__ import annotations

import secrets
import threading
import time


class _Moments:
    """Moments as RFC 9562 (6.2, method 3) has them: milliseconds, and a part of one in twelve bits. Each is later than
    the one before, wherever the clock stands still or goes back."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._last = 0

    def next(self) -> int:
        milliseconds, rest = divmod(time.time_ns(), 1_000_000)
        with self._turn:
            self._last = max(self._last + 1, (milliseconds << 12) | ((rest << 12) // 1_000_000))
            return self._last


_moments = _Moments()


def new_id() -> str:
    """A UUID version 7 (RFC 9562, 5.7) as text: ids that one process makes one after the other sort in that order.

    Client-made ids let a thousand objects go into the database in one statement. 62 bits of each are random.
    """
    moment = _moments.next()
    value = ((moment >> 12) << 80) | (0x7 << 76) | ((moment & 0xFFF) << 64) | (0b10 << 62) | secrets.randbits(62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_secret(random_bytes: int = 32) -> str:
    """A URL-safe secret of at least 256 bits by default."""
    return secrets.token_urlsafe(random_bytes)


def new_secret_bytes(count: int) -> bytes:
    """A secret as bytes."""
    return secrets.token_bytes(count)


def new_short_id() -> str:
    """Twelve hexadecimal digits: the public half of an API key."""
    return secrets.token_hex(6)


def spread(share: float) -> float:
    """A factor of 1 to 1 + `share`: waits that are multiplied with it do not all end at once."""
    return 1 + share * secrets.randbelow(1_000_001) / 1_000_000
