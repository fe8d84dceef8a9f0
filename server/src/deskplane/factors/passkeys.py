"""Passkeys (WebAuthn, Level 3): what an authenticator signs, and what is kept of it.

The user is verified always, by a PIN, a finger or a face, so that a passkey alone shows two things: that somebody has
the authenticator, and that he is its owner.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, insert, select, update

from deskplane.factors.ceremonies import LASTS, Ceremony
from deskplane.factors.models import Passkey
from deskplane.factors.parties import Party
from deskplane.kernel.ids import new_id
from deskplane.kernel.logging import logger
from deskplane.kernel.problem import conflict, not_found
from deskplane.kernel.work import Work
from deskplane.people.models import User

NAME = "passkey"
MOST = 20
"""Passkeys of one user."""
ALGORITHMS = (-7, -8, -257)
"""ES256, EdDSA and RS256 (RFC 9053, RFC 8812): what authenticators have."""
LONGEST = 1400
"""Of a credential's name; it has 1,023 bytes at most."""
TRANSPORTS = frozenset({"ble", "cable", "hybrid", "internal", "nfc", "smart-card", "usb"})
_LISTED = (Passkey.id, Passkey.name, Passkey.backed_up, Passkey.created_at, Passkey.last_used_at)


@dataclass(frozen=True)
class Made:
    """A new passkey, as its authenticator showed it."""

    credential_id: str
    public_key: str
    sign_count: int
    transports: Sequence[str]
    backed_up: bool


@dataclass(frozen=True)
class Signed:
    """A challenge that was signed with a passkey: which and whose, the count before it, and the one that it shows."""

    id: str
    user_id: str
    before: int
    sign_count: int
    backed_up: bool


def text_of(data: bytes) -> str:
    """Base64url without padding, as browsers have it."""
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def bytes_of(text: str) -> bytes:
    """The way back. Raises ValueError."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("is no base64url") from error


def handle_of(user_id: str) -> str:
    """What an authenticator keeps of whose a passkey is: nothing that says who it is."""
    return text_of(UUID(user_id).bytes)


def creation_options(work: Work, desk: Party, ceremony: Ceremony, user: User) -> dict[str, Any]:
    """What `PublicKeyCredential.parseCreationOptionsFromJSON` takes."""
    display = f"{user.first_name} {user.last_name}".strip() or user.username
    return {
        "challenge": ceremony.challenge,
        "rp": {"id": desk.id, "name": desk.name},
        "user": {"id": handle_of(user.id), "name": user.username, "displayName": display},
        "pubKeyCredParams": [{"type": "public-key", "alg": algorithm} for algorithm in ALGORITHMS],
        "timeout": int(LASTS.total_seconds() * 1000),
        "excludeCredentials": _descriptors(work, user.id),
        "authenticatorSelection": {
            "residentKey": "required",
            "requireResidentKey": True,
            "userVerification": "required",
        },
        "attestation": "none",
    }


def request_options(work: Work, desk: Party, ceremony: Ceremony) -> dict[str, Any]:
    """What `PublicKeyCredential.parseRequestOptionsFromJSON` takes. Without a user the authenticator offers those that
    it has."""
    allowed = [] if ceremony.user_id is None else _descriptors(work, ceremony.user_id)
    return {
        "challenge": ceremony.challenge,
        "rpId": desk.id,
        "timeout": int(LASTS.total_seconds() * 1000),
        "userVerification": "required",
        "allowCredentials": allowed,
    }


def _descriptors(work: Work, user_id: str) -> list[dict[str, Any]]:
    statement = select(Passkey.credential_id, Passkey.transports).where(Passkey.user_id == user_id)
    rows = work.session.execute(statement.order_by(Passkey.id))
    return [{"type": "public-key", "id": row.credential_id, "transports": row.transports} for row in rows]


def made(credential: Mapping[str, Any], desk: Party, ceremony: Ceremony) -> Made | None:
    """A new passkey, if its authenticator signed the challenge for this desk; null where not."""
    # the library takes a fifth of a second to load, which most processes never need it for
    from webauthn import verify_registration_response
    from webauthn.helpers.cose import COSEAlgorithmIdentifier

    try:
        found = verify_registration_response(
            credential=dict(credential),
            expected_challenge=bytes_of(ceremony.challenge),
            expected_rp_id=desk.id,
            expected_origin=desk.origin,
            require_user_verification=True,
            supported_pub_key_algs=[COSEAlgorithmIdentifier(algorithm) for algorithm in ALGORITHMS],
        )
    except Exception as error:  # whatever a stranger's bytes make of the parsers, it is no passkey
        logger.info("a passkey was refused", reason=str(error)[:200])
        return None
    if len(text_of(found.credential_id)) > LONGEST:
        return None
    told = credential["response"].get("transports")
    transports = sorted(TRANSPORTS & {one for one in told if isinstance(one, str)}) if isinstance(told, list) else []
    return Made(
        text_of(found.credential_id),
        text_of(found.credential_public_key),
        found.sign_count,
        transports,
        found.credential_backed_up,
    )


def signed(work: Work, credential: Mapping[str, Any], desk: Party, ceremony: Ceremony) -> Signed | None:
    """Which passkey signed the challenge for this desk, if one did that is the user's of whom it was asked; null where
    none did. Its count must have gone up, or be nought for ever: else there are two of it."""
    from webauthn import verify_authentication_response
    from webauthn.helpers import parse_authentication_credential_json

    try:
        parsed = parse_authentication_credential_json(dict(credential))
        row = _by_credential(work, text_of(parsed.raw_id))
        if row is None or ceremony.user_id not in (None, row.user_id):
            return None
        handle = parsed.response.user_handle
        if handle and text_of(handle) != handle_of(row.user_id):
            return None
        found = verify_authentication_response(
            credential=parsed,
            expected_challenge=bytes_of(ceremony.challenge),
            expected_rp_id=desk.id,
            expected_origin=desk.origin,
            credential_public_key=bytes_of(row.public_key),
            credential_current_sign_count=row.sign_count,
            require_user_verification=True,
        )
    except Exception as error:  # as above
        logger.info("a passkey was refused", reason=str(error)[:200])
        return None
    return Signed(row.id, row.user_id, row.sign_count, found.new_sign_count, found.credential_backed_up)


def owner_of(work: Work, credential: Mapping[str, Any]) -> str | None:
    """Whose passkey somebody shows, whether or not it signed anything."""
    name = credential.get("id")
    row = _by_credential(work, name) if isinstance(name, str) else None
    return row.user_id if row is not None else None


def _by_credential(work: Work, credential_id: str) -> Any:
    columns = (Passkey.id, Passkey.user_id, Passkey.public_key, Passkey.sign_count)
    return work.session.execute(select(*columns).where(Passkey.credential_id == credential_id)).first()


def use(work: Work, shown: Signed) -> bool:
    """Keeps the count that was shown. Answers false where another one was kept meanwhile."""
    here = (Passkey.id == shown.id, Passkey.sign_count == shown.before)
    values = {"sign_count": shown.sign_count, "backed_up": shown.backed_up, "last_used_at": work.clock.now()}
    kept = update(Passkey).where(*here).values(**values).returning(Passkey.id)
    return work.session.execute(kept).first() is not None


def require_room(work: Work, user_id: str) -> None:
    """Raises 409 where a user has as many as he may."""
    if count(work, user_id) >= MOST:
        raise conflict("too_many", f"there are {MOST} passkeys already; remove one that you do not use")


def add(work: Work, user_id: str, name: str, new: Made) -> str:
    """Keeps a new passkey, and answers its id. Raises 409 where it is known, whosever it is."""
    require_room(work, user_id)
    if _by_credential(work, new.credential_id) is not None:
        raise conflict("known", "this passkey is there already")
    row = {**vars(new), "transports": list(new.transports), "id": new_id(), "user_id": user_id, "name": name}
    work.session.execute(insert(Passkey).values(**row, created_at=work.clock.now()))
    return str(row["id"])


def count(work: Work, user_id: str) -> int:
    """How many a user has."""
    statement = select(func.count()).select_from(Passkey).where(Passkey.user_id == user_id)
    return work.session.execute(statement).scalar_one()


def names(work: Work, user_id: str) -> list[str]:
    """What a user calls his."""
    statement = select(Passkey.name).where(Passkey.user_id == user_id).order_by(Passkey.id)
    return list(work.session.execute(statement).scalars())


def listed(work: Work, user_id: str) -> list[dict[str, Any]]:
    """Those of a user, the newest first."""
    statement = (
        select(*_LISTED).where(Passkey.user_id == user_id).order_by(Passkey.created_at.desc(), Passkey.id.desc())
    )
    return [dict(row) for row in work.session.execute(statement).mappings()]


def rename(work: Work, user_id: str, passkey_id: str, name: str) -> dict[str, Any]:
    """Gives one another name, and answers it. Raises 404."""
    renamed = update(Passkey).where(Passkey.id == passkey_id, Passkey.user_id == user_id).values(name=name)
    row = work.session.execute(renamed.returning(*_LISTED)).mappings().first()
    if row is None:
        raise not_found()
    return dict(row)


def remove(work: Work, user_id: str, passkey_id: str) -> str:
    """Takes one away, and answers its name. Raises 404."""
    gone = delete(Passkey).where(Passkey.id == passkey_id, Passkey.user_id == user_id).returning(Passkey.name)
    name = work.session.execute(gone).scalar_one_or_none()
    if name is None:
        raise not_found()
    return name


def forget(work: Work, user_id: str) -> None:
    """Takes all of a user's away."""
    work.session.execute(delete(Passkey).where(Passkey.user_id == user_id))


class Passkeys:
    """The factor, as logging in knows it."""

    name = NAME

    def is_asked(self, work: Work, user_id: str) -> bool:
        """Whether the user has any."""
        return count(work, user_id) > 0
