"""What a mail's words and files become on a ticket."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from html import escape, unescape
from io import BytesIO
from typing import NamedTuple
from urllib.parse import unquote

from deskplane.desks.settings import setting
from deskplane.kernel.markup import html_of, text_of
from deskplane.kernel.operation import Upload
from deskplane.kernel.problem import Problem
from deskplane.kernel.work import Work
from deskplane.mail import headers, quoting
from deskplane.mail.parsing import LONGEST_TEXT, File, Parsed
from deskplane.tickets import attachment_names, attachments, service
from deskplane.tickets.draft import Draft

LONGEST_SHOWN = 200_000
"""Characters of sanitised HTML; of a mail that has more, the text is shown."""
_IMAGE = re.compile(r'(<img\b[^<>]*? src=")cid:([^"]*)("[^<>]*>)', re.IGNORECASE)
_MOST_FILES = 50


class Kept(NamedTuple):
    """A file that is on the ticket now, and what the mail's HTML calls it."""

    id: str
    content_id: str | None


def shown(parsed: Parsed, *, answer: bool) -> str:
    """A mail's words as sanitised HTML; of an answer, those that are new."""
    html = quoting.shown(parsed.text, parsed.html, answer=answer)
    if len(html) > LONGEST_SHOWN:
        text = parsed.text or text_of(html)
        cut = text[:LONGEST_TEXT]
        html = html_of(cut + ("\n\n[…]" if len(cut) < len(text) else ""))
    return html


def keep_files(work: Work, draft: Draft, files: Sequence[File]) -> tuple[list[Kept], list[tuple[str, str]]]:
    """Puts a mail's files on a ticket. Answers those that are there now, and the names of those that are not taken,
    each with the reason."""
    kept: list[Kept] = []
    refused: list[tuple[str, str]] = []
    blocked, most = setting(work, "attachments.blocked_extensions"), setting(work, "attachments.max_bytes")
    for index, file in enumerate(files, 1):
        name = _name(file, index)
        try:
            attachment_names.require_allowed(name, blocked)
        except Problem as problem:
            refused.append((name, problem.errors[0].detail))
            continue
        if len(file.data) > most:
            refused.append((name, f"it has {len(file.data)} bytes, {most} are allowed"))
        elif len(kept) == _MOST_FILES:
            refused.append((name, f"a message has at most {_MOST_FILES} files"))
        else:
            digest = hashlib.sha256(file.data).hexdigest()
            upload = Upload(file.content_type, name, len(file.data), digest, BytesIO(file.data))
            row = attachments.put(work, draft, upload, name, internal=False)
            told = {part: row[part] for part in attachments.TOLD}
            service.record(work, draft, [("attachment", None, told)])
            kept.append(Kept(row["id"], file.content_id))
    return kept, refused


def _name(file: File, index: int) -> str:
    """A file's name as the ticket takes it; one of ours, where nothing is left of it."""
    given = headers.line(file.name, 10 * attachment_names.LONGEST)
    # the end is what tells what a file is: a long name is cut in its middle
    last = re.split(r"[/\\]", given)[-1]
    if len(last) > attachment_names.LONGEST:
        last = f"{last[: attachment_names.LONGEST - 41]}…{last[-40:]}"
    try:
        return attachment_names.clean(last)
    except Problem:
        return f"part-{index}.bin"


def with_images(html: str, files: Sequence[Kept]) -> str:
    """Sanitised HTML whose images are the files of the message; those that did not come along are left out."""
    known = {file.content_id: file.id for file in files if file.content_id}

    def put(found: re.Match[str]) -> str:
        file_id = known.get(unquote(unescape(found[2])).strip("<>"))
        return "" if file_id is None else f"{found[1]}cid:{file_id}{found[3]}"

    return _IMAGE.sub(put, html)


def note_of(refused: Sequence[tuple[str, str]]) -> str:
    """The internal note that names the files that were not taken over."""
    items = "".join(f"<li><code>{escape(name)}</code>: {escape(reason)}</li>" for name, reason in refused)
    return f"<p>Not taken over from the mail, whose original has it still:</p><ul>{items}</ul>"


def note_of_bounce(parsed: Parsed) -> str:
    """The internal note that a mail did not arrive."""
    report = parsed.report
    to = ", ".join(report.recipients) if report and report.recipients else ""
    first = f"A mail{' to ' + to if to else ''} did not arrive."
    why = report.diagnosis if report else ""
    said = text_of(shown(parsed, answer=False))[:4000]
    return html_of("\n\n".join(part for part in (first, why, said) if part))
