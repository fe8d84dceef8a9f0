"""What a mail says: its words, its files, whom it is from and what it answers. Nothing here believes the mail.

`parse` takes any bytes. It answers what it found, or raises `Unreadable` for what would take too long, or has more
parts than any honest mail; it raises nothing else.
"""

from __future__ import annotations

import codecs
import mimetypes
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import policy
from email.generator import BytesGenerator
from email.message import Message
from io import BytesIO

from deskplane.kernel.markup import html_of
from deskplane.mail import headers
from deskplane.mail.headers import Person

DEEPEST = 20
"""How deep parts may lie in parts."""
MOST_PARTS = 300
MOST_LINES = 2_000_000
MOST_STEPS = 20_000_000
"""Lines times containers: what the parser has to look at."""
LONGEST_TEXT = 100_000
"""Characters of what is shown of a mail's text."""
LONGEST_HTML = 500_000
DEEPEST_HTML = 400
"""HTML that is longer, or whose elements lie deeper in each other, is kept as a file only: a sanitiser takes the square
of the depth."""
_CONTAINER = re.compile(
    rb"^content-type\s*:\s*(?:\([^)\n]{0,100}\)\s*)?(?:multipart|message)/", re.IGNORECASE | re.MULTILINE
)
_ODD_CODECS = {"idna", "punycode", "raw_unicode_escape", "unicode_escape", "undefined", "mbcs", "oem"}
"""Python's own, which no mail is written in; some of them take the square of a text's length."""
_ENDS = {
    "text/plain": ".txt",
    "text/html": ".html",
    "text/calendar": ".ics",
    "message/rfc822": ".eml",
    "message/delivery-status": ".txt",
    "application/pkcs7-mime": ".p7m",
    "application/pkcs7-signature": ".p7s",
    "application/ms-tnef": ".dat",
    "image/jpeg": ".jpg",
}


class Unreadable(ValueError):
    """A mail that is not taken apart; its text says why, for people."""


@dataclass
class File:
    """A file in a mail. `content_id` is what its HTML calls it (RFC 2392), if it does."""

    name: str
    content_type: str
    data: bytes
    content_id: str | None = None


@dataclass
class Parsed:
    """A mail. `text` is empty where there is only HTML; `html` is as it was sent, null where there is none."""

    message_id: str
    senders: list[Person]
    subject: str
    answered: list[str]
    text: str = ""
    html: str | None = None
    files: list[File] = field(default_factory=list)
    header: Message = field(default_factory=Message)
    report: Report | None = None

    @property
    def sender(self) -> Person | None:
        """Who wrote it, as it says."""
        return self.senders[0] if self.senders else None


@dataclass
class Report:
    """That a mail did not arrive (RFC 3464): what is known of that mail."""

    answered: list[str]
    recipients: list[str]
    diagnosis: str


def parse(raw: bytes) -> Parsed:
    """Takes a mail apart. Raises Unreadable."""
    containers = sum(1 for _ in _CONTAINER.finditer(raw))
    lines = raw.count(b"\n")
    if containers > MOST_PARTS:
        raise Unreadable(f"it has more than {MOST_PARTS} parts that hold parts")
    if lines > MOST_LINES or lines * max(containers, 1) > MOST_STEPS:
        raise Unreadable(f"it has {lines} lines and {containers} parts that hold parts, which is more than is taken")
    if len(headers.split(raw)[0]) > headers.MOST_BYTES:
        raise Unreadable(f"its headers have more than {headers.MOST_BYTES} bytes")
    try:
        return _Reading(headers.parse(raw)).parsed()
    except Unreadable:
        raise
    except RecursionError:
        raise Unreadable(f"its parts lie more than {DEEPEST} deep in each other") from None
    except Exception as error:  # the standard library's parser meets something that it did not expect
        raise Unreadable(f"it cannot be taken apart: {type(error).__name__}") from error


class _Reading:
    """One mail, part by part."""

    def __init__(self, message: Message) -> None:
        self.message = message
        self.fragments: list[tuple[str | None, str | None]] = []
        self.files: list[File] = []
        self.parts = 0

    def parsed(self) -> Parsed:
        """All of it."""
        message = self.message
        self._take(message, 0)
        texts, pages = zip(*self.fragments, strict=True) if self.fragments else ((), ())
        html = None
        if any(page is not None for page in pages):
            html = "\n".join(html_of(text or "") if page is None else page for text, page in self.fragments)
        # where a part is HTML only, its words are found in the HTML
        text = "\n".join(part or "" for part in texts) if all(part is not None for part in texts) else ""
        if html is not None and (len(html) > LONGEST_HTML or _depth(html) > DEEPEST_HTML):
            self.files.append(File("message.html", "text/html", html.encode("utf-8", "replace")))
            html = None
        return Parsed(
            message_id=next(iter(headers.ids_of(message, "message-id")), ""),
            senders=headers.people_of(message, "from"),
            subject=headers.text_of(message, "subject"),
            answered=[*headers.ids_of(message, "in-reply-to"), *headers.ids_of(message, "references")],
            text=text,
            html=html,
            files=self.files,
            header=message,
            report=_report(message),
        )

    def _take(self, part: Message, depth: int) -> None:
        self.parts += 1
        if self.parts > MOST_PARTS:
            raise Unreadable(f"it has more than {MOST_PARTS} parts")
        if depth > DEEPEST:
            raise Unreadable(f"its parts lie more than {DEEPEST} deep in each other")
        kind = _kind(part)
        if kind == "multipart/alternative" and part.is_multipart():
            self._choose(part, depth)
        elif kind.startswith("multipart/") and part.is_multipart():
            for inner in _inner(part):
                self._take(inner, depth + 1)
        elif kind in ("text/plain", "text/html") and not _is_file(part):
            text = _words(part)
            self.fragments.append((text, None) if kind == "text/plain" else (None, text))
        elif kind.startswith("multipart/"):  # it says so, and has no parts: shown as the text that it is
            self.fragments.append((_words(part), None))
        else:
            self._keep(part, kind)

    def _choose(self, part: Message, depth: int) -> None:
        """One thing in several forms: the last HTML is shown, the first text goes with it, what else there is is kept
        as files."""
        before, self.fragments = self.fragments, []
        for inner in _inner(part):
            self._take(inner, depth + 1)
        texts = [text for text, _page in self.fragments if text is not None]
        pages = [page for _text, page in self.fragments if page is not None]
        chosen = (texts[0] if texts else None, pages[-1] if pages else None)
        self.fragments = before + ([chosen] if chosen != (None, None) else [])

    def _keep(self, part: Message, kind: str) -> None:
        data = _bytes(part)
        content_id = headers.text_of(part, "content-id").strip().strip("<>") or None
        name = _name(part) or f"part-{self.parts}{_ENDS.get(kind) or mimetypes.guess_extension(kind) or '.bin'}"
        self.files.append(File(name, kind, data, content_id))


def _inner(part: Message) -> Iterator[Message]:
    payload = part.get_payload()
    for inner in payload if isinstance(payload, list) else ():
        if isinstance(inner, Message):
            yield inner


def _kind(part: Message) -> str:
    try:
        found = part.get_content_type()
    except Exception:
        return "application/octet-stream"
    return (
        found if re.fullmatch(r"[a-z0-9!#$&^_.+-]{1,58}/[a-z0-9!#$&^_.+-]{1,58}", found) else "application/octet-stream"
    )


def _is_file(part: Message) -> bool:
    return headers.value_of(part, "content-disposition") == "attachment" or bool(_name(part))


def _name(part: Message) -> str:
    return headers.parameter(part, "content-disposition", "filename") or headers.parameter(part, "content-type", "name")


def _decoded(part: Message) -> bytes:
    """What a part that holds no parts holds, with its transfer encoding undone as far as it goes."""
    try:
        found = part.get_payload(decode=True)
        if isinstance(found, bytes):
            return found
    except Exception:  # an encoding that is broken beyond what the parser mends
        found = None
    return str(part.get_payload()).encode("utf-8", "surrogateescape")


def _words(part: Message) -> str:
    data = _decoded(part)
    names = [headers.parameter(part, "content-type", "charset"), "utf-8", "cp1252", "latin-1"]
    for name in names:
        text = _in_charset(data, name)
        if text is not None:
            return headers.block(text)
    raise AssertionError("every byte is a character of latin-1")


def _in_charset(data: bytes, name: str) -> str | None:
    try:
        known = codecs.lookup(name.strip("'\" ")[:40])
        # a browser reads what says that it is ASCII or Latin-1 as Windows does
        chosen = {"ascii": "utf-8", "iso8859-1": "cp1252"}.get(known.name, known.name)
        if chosen.replace("-", "_") in _ODD_CODECS:
            return None
        return data.decode(chosen)
    except (LookupError, ValueError):
        return None


def _bytes(part: Message) -> bytes:
    """A part as a file: a mail within the mail is whole again."""
    if not part.is_multipart():
        return _decoded(part)
    target = BytesIO()
    generator = BytesGenerator(target, mangle_from_=False, policy=policy.compat32.clone(max_line_length=None))
    for inner in _inner(part):
        generator.flatten(inner)
    return target.getvalue()


_TAG = re.compile(r"<(/?)([a-z][a-z0-9]*)", re.IGNORECASE)
_ENDS_BY_ITSELF = {
    "area", "base", "br", "col", "dd", "dt", "embed", "hr", "img", "input", "li", "link", "meta", "option", "p",
    "param", "source", "td", "th", "tr", "wbr",
}  # fmt: skip


def _depth(html: str) -> int:
    """How deep elements lie in each other, at least where they would have to be ended."""
    depth = deepest = 0
    for found in _TAG.finditer(html):
        if found[2].lower() not in _ENDS_BY_ITSELF:
            depth = max(0, depth - 1) if found[1] else depth + 1
            deepest = max(deepest, depth)
    return deepest


def _report(message: Message) -> Report | None:
    """Where the mail tells that another one did not arrive."""
    if (
        _kind(message) != "multipart/report"
        or "delivery-status" not in headers.text_of(message, "content-type").lower()
    ):
        return None
    answered: list[str] = []
    recipients: list[str] = []
    diagnosis = ""
    for part in _inner(message):
        kind = _kind(part)
        if kind == "message/delivery-status":
            for told in _inner(part):
                recipients += [headers.text_of(told, "final-recipient").partition(";")[2].strip()]
                diagnosis = diagnosis or headers.text_of(told, "diagnostic-code") or headers.text_of(told, "status")
        elif kind in ("message/rfc822", "message/global"):
            for original in _inner(part):
                answered += headers.ids_of(original, "message-id")
        elif kind in ("text/rfc822-headers", "message/rfc822-headers"):
            answered += headers.ids_of(headers.read(_bytes(part)), "message-id")
    return Report(answered, [name for name in recipients if name][:20], diagnosis[:500])
