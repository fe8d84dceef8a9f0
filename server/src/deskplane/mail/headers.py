"""Headers of mails that strangers wrote: read with patience, and never believed to be well-formed.

The standard library's parser raises where a header is broken in a way that it does not know, and takes the square of
a header's length for some; here each header is cut to a length that no honest one has, and one that cannot be parsed
is taken as the text that it is.
"""

from __future__ import annotations

import email
import re
import unicodedata
from collections.abc import Callable
from email import policy
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser
from email.utils import getaddresses, unquote
from typing import Any, NamedTuple, TypeVar

from marshmallow import ValidationError

from deskplane.customers.contacts import Address

T = TypeVar("T")

LONGEST = 4000
"""Characters of a header that are looked at."""
MOST_BYTES = 256 * 1024
"""Bytes of the block of headers that are looked at."""
_ID = re.compile(r"<[^<>\s\x00-\x1f\x7f-\x9f]{1,996}>")
_SEEN_BY_NOBODY = re.compile("[\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060\u2066-\u2069\ufeff]")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
_ONE_PERSON = re.compile(r'((?:[^<>,"]{0,500}|"[^"]{0,500}") ?)<([^<>\s]{1,300})>')
_ADDRESS = Address("A mail address.")


class _Patient(policy.EmailPolicy):
    """The default policy, whose headers are cut, and are text where they cannot be parsed."""

    def header_fetch_parse(self, name: str, value: Any) -> Any:
        text = str(value)[:LONGEST]
        try:
            found: Any = super().header_fetch_parse(name, text)
            for part in ("params", "content_type", "content_disposition", "cte"):
                getattr(found, part, None)
            return found
        except Exception:  # whatever the parser did not expect (RFC 2047, 2231, 5322 say what there may be)
            return " ".join(text.split())


PATIENT = _Patient()


class Person(NamedTuple):
    """A mailbox in a header: its address in lower case, and the name beside it."""

    address: str
    name: str


def split(raw: bytes) -> tuple[bytes, bytes]:
    """The block of headers, and what follows it."""
    found = re.search(rb"\r?\n\r?\n", raw)
    return (raw, b"") if found is None else (raw[: found.start()], raw[found.end() :])


def _or(otherwise: T, parse: Callable[[], T]) -> T:
    """What the standard library makes of a stranger's bytes. Its parsers raise errors of any sort at some, and a header
    that cannot be read is none."""
    try:
        return parse()
    except Exception:
        return otherwise


def read(raw: bytes) -> Message:
    """The headers of a mail alone, whatever they are like."""
    block = split(raw[:MOST_BYTES])[0]
    return _or(EmailMessage(), lambda: BytesHeaderParser(policy=PATIENT).parsebytes(block))


def parse(raw: bytes) -> Message:
    """A whole mail as the standard library sees it."""
    return email.message_from_bytes(raw, policy=PATIENT)


def without_surrogates(text: str) -> str:
    """Text that can be written down: bytes in it that are no text become U+FFFD."""
    try:
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return text.encode("utf-8", "replace").decode()


def line(text: str, longest: int) -> str:
    """One line of at most so many characters, without what is not seen and what turns the direction of writing."""
    text = unicodedata.normalize("NFC", without_surrogates(text))
    text = _SEEN_BY_NOBODY.sub("", _CONTROL.sub(" ", text))
    text = " ".join(text.split())
    return text if len(text) <= longest else text[: longest - 1].rstrip() + "…"


def block(text: str) -> str:
    """Lines, without control characters."""
    text = without_surrogates(text).replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]", "", text)
    return unicodedata.normalize("NFC", text)


def text_of(message: Message, name: str, longest: int = 1000) -> str:
    """A header's text, decoded (RFC 2047); empty where there is none."""
    return _or("", lambda: line(str(message.get(name, "")), longest))


def all_of(message: Message, name: str) -> str:
    """What every header of a name holds as it was sent, one after the other."""
    return " ".join(str(value) for key, value in message.raw_items() if key.lower() == name.lower())


def people_of(message: Message, name: str) -> list[Person]:
    """The mailboxes of every header of a name; what is none is left out."""
    text = " ".join(all_of(message, name)[: 4 * LONGEST].split())
    one = _ONE_PERSON.fullmatch(text)
    # in front of brackets everything is a name, also what looks like another address
    none: list[tuple[str, str]] = []
    pairs = [(one[1].strip('" '), one[2])] if one else _or(none, lambda: getaddresses([text]))
    found = []
    for shown, address in pairs[:200]:
        known = address_of(address)
        if known is not None:
            found.append(Person(known, _decoded(shown)))
    return found


def address_of(text: str) -> str | None:
    """A mail address in its one spelling; None where it is none."""
    try:
        found: str = _ADDRESS.deserialize(text.strip())
    except ValidationError:
        return None
    return found


def _decoded(text: str) -> str:
    return _or(line(text, 200), lambda: line(str(PATIENT.header_fetch_parse("Subject", text)), 200))


def ids_of(message: Message, name: str, most: int = 200) -> list[str]:
    """The message ids in a header, in their order; the last ones, where there are very many."""
    return _ID.findall(without_surrogates(all_of(message, name)[-100_000:]))[-most:]


def parameter(message: Message, header: str, name: str) -> str:
    """A parameter of a header (RFC 2231); empty where there is none."""

    def parse() -> str:
        found = message.get_param(name, "", header)
        if isinstance(found, tuple):
            charset, _language, text = found
            return line(unquote(text.encode("latin-1", "replace").decode(charset or "ascii", "replace")), 1000)
        return line(str(found), 1000)

    return _or("", parse)


def value_of(message: Message, header: str) -> str:
    """What a header says before its parameters, in lower case: `multipart/report`."""
    return text_of(message, header).partition(";")[0].strip().lower()
