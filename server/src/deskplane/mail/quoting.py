"""What is new in an answer: the mail without what it quotes. Only what is shown is cut; the mail itself is kept."""

from __future__ import annotations

import re
from functools import cache
from html import escape
from html.parser import HTMLParser

from mailparser_reply.constants import MAIL_LANGUAGES
from mailparser_reply.parser import EmailMessage as Reply

from deskplane.kernel.markup import clean_html, html_of, html_with_marks, text_of

_LOOKED_AT = 20_000
"""Characters of a mail in which the beginning of a quotation is looked for."""
_LONGEST_LINE = 160
"""A line by which a mail program begins a quotation is no longer. The patterns take the cube of a line's length."""
_CLASSES = {
    "gmail_quote",
    "gmail_quote_container",
    "yahoo_quoted",
    "moz-cite-prefix",
    "protonmail_quote",
    "zmail_extra",
}
_IDS = {"divrplyfwdmsg", "appendonsend", "olk_src_body_section", "mail-editor-reference-message-container"}


@cache
def _beginning() -> re.Pattern[str]:
    """How mail programs begin what they quote, in the languages that the library knows."""
    found: re.Pattern[str] = Reply(text="", languages=sorted(MAIL_LANGUAGES)).HEADER_REGEX
    return found


def new_text(text: str) -> str:
    """The text that was written anew. All of it, where answers stand between or below the quoted lines."""
    looked_at = "\n".join(
        "x" * len(line) if len(line) > _LONGEST_LINE else line for line in text[:_LOOKED_AT].split("\n")
    )
    found = _beginning().search(looked_at)
    if found is None:
        return _without_quoted_end(text)
    rest = text[found.end() :].split("\n")
    quoted = [line for line in rest if line.startswith(">")]
    added = [line for line in _without_signature(rest) if line.strip() and not line.startswith(">")]
    before = text[: found.start()].strip()
    return text if not before or (quoted and added) else before


def _without_quoted_end(text: str) -> str:
    lines = text.rstrip().split("\n")
    end = len(lines)
    while end and (lines[end - 1].startswith(">") or not lines[end - 1].strip()):
        end -= 1
    if end == len(lines) or not any(line.strip() for line in lines[:end]):
        return text
    return "\n".join(lines[:end]).rstrip()


def _without_signature(lines: list[str]) -> list[str]:
    return lines[: lines.index("-- ")] if "-- " in lines else lines


def new_html(html: str) -> str:
    """Sanitised HTML without the parts that mail programs mark as quoted; all of it, where nothing else is left."""
    cutter = _Cutter()
    cutter.feed(html_with_marks(html))
    cutter.close()
    found = clean_html("".join(cutter.kept))
    return found if text_of(found).strip() or "<img" in found else clean_html(html)


def shown(text: str, html: str | None, *, answer: bool) -> str:
    """What is shown of a mail, as sanitised HTML. Of an answer, what is new in it."""
    if html is None:
        return html_of(new_text(text) if answer else text)
    whole = clean_html(html)
    if not answer:
        return whole
    cut = new_html(html)
    if cut != whole:
        return cut
    # nothing is marked: perhaps the words tell
    words = text or text_of(whole)
    new = new_text(words)
    return whole if new == words else html_of(new)


class _Cutter(HTMLParser):
    """Leaves out the elements that hold quotations. What it reads was sanitised, and is well-formed."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.kept: list[str] = []
        self._cutting: str | None = None
        self._depth = 0
        self._ended = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._ended:
            return
        if self._cutting is not None:
            self._depth += tag == self._cutting
            return
        given = {name: (value or "").lower() for name, value in attrs}
        marked = given.get("id", "").removeprefix("x_")
        if marked in ("divrplyfwdmsg", "appendonsend"):  # Outlook: everything from here on
            self._ended = True
        elif (
            marked in _IDS
            or _CLASSES & {name.removeprefix("x_") for name in given.get("class", "").split()}
            or (tag == "blockquote" and given.get("type") == "cite")
        ):
            self._cutting, self._depth = tag, 1
        else:
            self.kept.append(self.get_starttag_text() or "")

    def handle_endtag(self, tag: str) -> None:
        if self._cutting is not None:
            self._depth -= tag == self._cutting
            if self._depth == 0:
                self._cutting = None
        elif not self._ended:
            self.kept.append(f"</{tag}>")

    def handle_data(self, data: str) -> None:
        if self._cutting is None and not self._ended:
            self.kept.append(escape(data, quote=False))
