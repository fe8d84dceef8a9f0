"""An authenticator in software, and the browser before it (WebAuthn, Level 3): what they make and sign, in bytes."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from dataclasses import dataclass, field
from typing import Any

import cbor2
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ES256, EDDSA = -7, -8
PRESENT, VERIFIED, ATTESTED = 0x01, 0x04, 0x40
ORIGIN = "https://desk.example.org"
Key = ec.EllipticCurvePrivateKey | Ed25519PrivateKey


def text_of(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def bytes_of(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@dataclass
class Credential:
    """A passkey: its secret half, and for whom it was made."""

    key: Key
    rp_id: str
    handle: str
    sign_count: int = 0


@dataclass
class Authenticator:
    """Something that makes passkeys and signs with them. `counts`: it counts its signatures, as security keys do."""

    algorithm: int = ES256
    counts: bool = True
    flags: int = PRESENT | VERIFIED
    origin: str = ORIGIN
    identifier: bytes | None = None
    credentials: dict[str, Credential] = field(default_factory=dict)

    def make(self, options: dict[str, Any], **other: Any) -> dict[str, Any]:
        """navigator.credentials.create; `other` is what it is to get wrong: origin, rp_id, challenge, type."""
        assert self.algorithm in {each["alg"] for each in options["pubKeyCredParams"]}
        assert options["authenticatorSelection"]["userVerification"] == "required"
        rp_id = other.get("rp_id", options["rp"]["id"])
        key: Key = Ed25519PrivateKey.generate() if self.algorithm == EDDSA else ec.generate_private_key(ec.SECP256R1())
        made = Credential(key, options["rp"]["id"], options["user"]["id"])
        identifier = self.identifier or hashlib.sha256(_public(key)).digest()
        self.credentials[text_of(identifier)] = made
        data = _start(rp_id, self.flags | ATTESTED, 0)
        data += bytes(16) + struct.pack(">H", len(identifier)) + identifier + _cose(key)
        attestation = cbor2.dumps({"fmt": "none", "attStmt": {}, "authData": data})
        client = self._client(other.get("type", "webauthn.create"), options["challenge"], other)
        response = {"clientDataJSON": text_of(client), "attestationObject": text_of(attestation)}
        return _credential(identifier, {**response, "transports": ["internal", "made-up"]})

    def sign(self, options: dict[str, Any], name: str | None = None, **other: Any) -> dict[str, Any]:
        """navigator.credentials.get, with the passkey of this name, or the one that there is."""
        allowed = [each["id"] for each in options["allowCredentials"]]
        (name,) = [name] if name is not None else [each for each in self.credentials if not allowed or each in allowed]
        used = self.credentials[name]
        used.sign_count += 1 if self.counts else 0
        rp_id = other.get("rp_id", options["rpId"])
        data = _start(rp_id, other.get("flags", self.flags), other.get("sign_count", used.sign_count))
        client = self._client(other.get("type", "webauthn.get"), options["challenge"], other)
        signed = data + hashlib.sha256(client).digest()
        if isinstance(used.key, Ed25519PrivateKey):
            signature = used.key.sign(signed)
        else:
            signature = used.key.sign(signed, ec.ECDSA(hashes.SHA256()))
        response = {
            "clientDataJSON": text_of(client),
            "authenticatorData": text_of(data),
            "signature": text_of(signature),
            "userHandle": other.get("handle", used.handle),
        }
        return _credential(bytes_of(name), response)

    def _client(self, kind: str, challenge: str, other: dict[str, Any]) -> bytes:
        found = {
            "type": kind,
            "challenge": other.get("challenge", challenge),
            "origin": other.get("origin", self.origin),
            "crossOrigin": False,
        }
        return json.dumps(found).encode()


def _start(rp_id: str, flags: int, sign_count: int) -> bytes:
    return hashlib.sha256(rp_id.encode()).digest() + struct.pack(">BI", flags, sign_count)


def _public(key: Key) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _cose(key: Key) -> bytes:
    """RFC 9053, 7: the public half of a key."""
    if isinstance(key, Ed25519PrivateKey):
        x = key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return cbor2.dumps({1: 1, 3: EDDSA, -1: 6, -2: x})
    numbers = key.public_key().public_numbers()
    return cbor2.dumps({1: 2, 3: ES256, -1: 1, -2: numbers.x.to_bytes(32, "big"), -3: numbers.y.to_bytes(32, "big")})


def _credential(identifier: bytes, response: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": text_of(identifier),
        "rawId": text_of(identifier),
        "type": "public-key",
        "authenticatorAttachment": "platform",
        "clientExtensionResults": {},
        "response": response,
    }
