"""Secrets at rest, and signatures of what we hand out and take back."""

from __future__ import annotations

import base64
import hashlib
import hmac
from functools import cached_property
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

_SEALED = "gAAAAA"
"""What a sealed text begins with: Fernet's version, and a time before the year 2106."""


def looks_sealed(value: object) -> bool:
    """Whether a stored value is a sealed text."""
    return isinstance(value, str) and value.startswith(_SEALED)


def sha256_hex(text: str) -> str:
    """For tokens that are random themselves: a slow hash would add nothing."""
    return hashlib.sha256(text.encode()).hexdigest()


class Vault:
    """Encrypts, and signs, with keys derived (HKDF, RFC 5869) from the server's secret key.

    The first secret key encrypts and signs; all of them decrypt and verify, so that `deskplane secrets rotate` can seal
    everything with a new one while the desk works.
    """

    def __init__(self, secret_keys: list[str]) -> None:
        if not secret_keys:
            raise ValueError("a vault needs at least one secret key")
        self._secret_keys = secret_keys

    def _derive(self, secret_key: str, purpose: str) -> bytes:
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=f"deskplane {purpose}".encode()).derive(
            secret_key.encode()
        )

    @cached_property
    def _fernets(self) -> list[Fernet]:
        keys = [base64.urlsafe_b64encode(self._derive(key, "secrets at rest")) for key in self._secret_keys]
        return [Fernet(key) for key in keys]

    @cached_property
    def _fernet(self) -> MultiFernet:
        return MultiFernet(self._fernets)

    @cached_property
    def _signing_keys(self) -> list[bytes]:
        return [self._derive(key, "signatures") for key in self._secret_keys]

    def seal(self, text: str) -> str:
        """Encrypted, as text for a column."""
        return self._fernet.encrypt(text.encode()).decode()

    def open(self, token: str) -> str:
        """What `seal` took. Raises ValueError for what was not sealed with one of our keys."""
        try:
            return self._fernet.decrypt(token.encode()).decode()
        except InvalidToken as error:
            raise ValueError("this secret was sealed with another secret_key") from error

    def resealed(self, token: str) -> str:
        """The same secret sealed with the first key; the very same token where it is already. Raises ValueError for
        what none of the keys opens."""
        try:
            self._fernets[0].decrypt(token.encode())
        except InvalidToken:
            return self.seal(self.open(token))
        return token

    def are_one(self, token: Any, other: Any) -> bool:
        """Whether two sealed texts hold one secret, as they do while secrets are sealed anew."""
        try:
            return looks_sealed(token) and looks_sealed(other) and self.open(token) == self.open(other)
        except ValueError:
            return False

    def signature(self, payload: bytes) -> str:
        """Sixteen bytes of HMAC-SHA256: enough for a cursor, which gives no rights."""
        return _signed(self._signing_keys[0], payload)

    def is_signed(self, payload: bytes, signature: str) -> bool:
        """Compared in constant time. A signature of an earlier secret key counts, too: what was signed is still out."""
        given = signature.encode("utf-8", "replace")
        return any(hmac.compare_digest(_signed(key, payload).encode(), given) for key in self._signing_keys)


def _signed(key: bytes, payload: bytes) -> str:
    digest = hmac.new(key, payload, hashlib.sha256).digest()[:16]
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
