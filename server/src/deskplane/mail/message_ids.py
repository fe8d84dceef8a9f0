"""Message-IDs of our own (RFC 5322, 3.6.4): each names its ticket, and is signed, so that nobody outside can make one.

`<tkt-000123.reply.5f0c….8a61…@example.org>`: number, purpose, something random, signature. All of it in lower case,
since programs on the way may change that. The part behind the @ is not signed: it only has to look right.
"""

from __future__ import annotations

import base64
import re
from typing import NamedTuple

from deskplane.kernel.crypto import Vault
from deskplane.kernel.ids import new_short_id

OWN_HEADER = "X-Deskplane"
"""Header of every mail that a desk sends, with its purpose. Whoever reads it back never answers by itself."""
NO_TICKET = "desk-0"
"""In the place of the number, where a mail is about no ticket."""
MOST_IDS = 200
"""Message-IDs that are looked at in one header; who sends more has not been in a conversation of ours."""

_OURS = re.compile(
    r"<\s*(?P<number>[a-z][a-z0-9]{0,9}-[0-9]{1,9})\.(?P<purpose>[a-z-]{1,20})\.(?P<random>[0-9a-f]{12})"
    r"\.(?P<signature>[0-9a-f]{32})@[^<>@\s]{1,255}>",
    re.IGNORECASE,
)


class Made(NamedTuple):
    """What a Message-ID of ours says: the ticket's number, null for a mail about none, and what the mail was for."""

    ticket: str | None
    purpose: str


def make(vault: Vault, ticket: str | None, purpose: str, host: str) -> str:
    """A new Message-ID, with its angle brackets. `ticket` is a number, `purpose` a lower-case word, `host` the domain
    that the mail comes from."""
    payload = f"{ticket or NO_TICKET}.{purpose}.{new_short_id()}".lower()
    return f"<{payload}.{_signature(vault, payload)}@{host}>"


def find(vault: Vault, header: str | None) -> list[Made]:
    """The Message-IDs of ours in a header such as References, in its order; what is not signed by us is none."""
    found = []
    for index, match in enumerate(_OURS.finditer(header or "")):
        if index == MOST_IDS:
            break
        number, purpose, random, signature = (text.lower() for text in match.groups())
        if vault.is_signed(_signed(f"{number}.{purpose}.{random}"), _as_vault_writes(signature)):
            found.append(Made(None if number == NO_TICKET else number.upper(), purpose))
    return found


def verify(vault: Vault, message_id: str | None) -> Made | None:
    """What a single Message-ID says; None where it is none of ours."""
    found = find(vault, message_id)
    return found[0] if found else None


def _signed(payload: str) -> bytes:
    return f"Message-ID {payload}".encode()


def _signature(vault: Vault, payload: str) -> str:
    # in hexadecimal digits, which have no case that could get lost on the way
    return base64.urlsafe_b64decode(vault.signature(_signed(payload)) + "==").hex()


def _as_vault_writes(signature: str) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(signature)).rstrip(b"=").decode()
