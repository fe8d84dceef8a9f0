"""Files on tickets (domain: ticket). Their bytes lie in the database, in chunks of which none is large."""

from __future__ import annotations

import codecs
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, cast

from sqlalchemy import Table, bindparam, delete, insert, select
from sqlalchemy.orm import Session

from deskplane.desks.settings import setting
from deskplane.kernel.actor import Actor
from deskplane.kernel.db import execute
from deskplane.kernel.etag import require_match
from deskplane.kernel.ids import new_id
from deskplane.kernel.operation import Upload
from deskplane.kernel.problem import forbidden, invalid_field, not_found
from deskplane.kernel.work import Work
from deskplane.tickets import attachment_names, links, messages, service
from deskplane.tickets.announcements import announce
from deskplane.tickets.draft import Draft
from deskplane.tickets.models import Attachment, AttachmentChunk

CHUNK = 256 * 1024
"""Bytes of every chunk of a file but the last."""
OCTETS = "application/octet-stream"
TOLD = ("id", "name", "content_type", "size", "sha256")
"""What history tells of an attachment."""
_ATTACHMENTS = cast(Table, Attachment.__table__)
_CHUNKS = cast(Table, AttachmentChunk.__table__)
_INSERT_CHUNK = insert(_CHUNKS)
_PIECE = select(_CHUNKS.c.data).where(
    _CHUNKS.c.attachment_id == bindparam("of_attachment"), _CHUNKS.c.position == bindparam("at_position")
)
_MEDIA_TYPE = re.compile(r"[a-z0-9][a-z0-9!#$&^_.+-]{0,58}/[a-z0-9][a-z0-9!#$&^_.+-]{0,58}")
_TEXT_TYPE = re.compile(r"text/.*|application/(json|xml|yaml|(.*\+)(json|xml|yaml))")
_TEXT_ENDS = (".txt", ".log", ".json", ".xml", ".csv", ".yml", ".yaml", ".md")


def require_taken(work: Work, draft: Draft, upload: Upload, given: Mapping[str, Any]) -> tuple[str, bool]:
    """The name that a file would have on a ticket, and whether it would be internal. `given` are the parameters of an
    `AttachmentUpload`. Raises 403 and 422 where it is not taken, whatever it holds."""
    messages.require_writer(work, draft)
    in_house = messages.of_the_house(work.actor)
    if given["internal"] and not in_house:
        raise forbidden("tickets:comment", "tickets:read_internal")
    links.require_not_final(work, draft)
    name = attachment_names.clean(given["name"] if given["name"] is not None else upload.name)
    attachment_names.require_allowed(name, setting(work, "attachments.blocked_extensions"))
    return name, in_house if given["internal"] is None else given["internal"]


def store(
    work: Work, draft: Draft, upload: Upload, given: Mapping[str, Any], *, if_match: str | None = None
) -> tuple[Attachment | Mapping[str, Any], bool]:
    """Puts a file that was received on a ticket in hand, and answers it and whether it is new. Raises 403, 412, 422."""
    require_match(if_match, draft.columns["version"])
    name, internal = require_taken(work, draft, upload, given)
    if given["sha256"] not in (None, upload.sha256):
        detail = f"what arrived has the SHA-256 {upload.sha256}; it was changed or cut off on its way"
        raise invalid_field("sha256", "mismatch", detail)
    if given["once"] and (found := same(work, draft, name, upload.sha256, given["internal"])):
        return found, False
    row = put(work, draft, upload, name, internal)
    _note(work, draft, None, row)
    return row, True


def put(work: Work, draft: Draft, upload: Upload, name: str, internal: bool) -> dict[str, Any]:
    """Writes a file of which it is known that the ticket takes it, and answers its row. History and events are the
    caller's."""
    assert upload.file is not None, "it was received"
    row = {
        "id": new_id(),
        "ticket_id": draft.columns["id"],
        "message_id": None,
        "name": name,
        "content_type": upload.content_type if _MEDIA_TYPE.fullmatch(upload.content_type) else OCTETS,
        "size": upload.size,
        "sha256": upload.sha256,
        "internal": internal,
        "author": work.actor.username,
        "created_at": work.clock.now(),
    }
    execute(work.session, insert(_ATTACHMENTS), row)
    upload.file.seek(0)  # a transaction that lost a race is run anew
    for position, data in enumerate(iter(partial(upload.file.read, CHUNK), b"")):
        execute(work.session, _INSERT_CHUNK, {"attachment_id": row["id"], "position": position, "data": data})
    return row


def same(work: Work, draft: Draft, name: str, sha256: str, internal: bool | None) -> Attachment | None:
    """The oldest file of this name and content on a ticket that the caller may read; `internal` says which, too."""
    conditions = [] if internal is None else [Attachment.internal.is_(internal)]
    statement = select(Attachment).where(
        Attachment.ticket_id == draft.columns["id"],
        Attachment.name == name,
        Attachment.sha256 == sha256,
        *readable(work.actor),
        *conditions,
    )
    return work.session.execute(statement.order_by(Attachment.id).limit(1)).scalar_one_or_none()


def _note(work: Work, draft: Draft, old: Mapping[str, Any] | None, new: Mapping[str, Any] | None) -> None:
    """An attachment came or went: a change of the ticket, with its history, and an event unless it is internal."""
    before, after = (None if row is None else {part: row[part] for part in TOLD} for row in (old, new))
    internal = bool((old or new or {})["internal"])
    service.store_row(work, draft)
    service.record(work, draft, [("attachment", before, after)], internal=internal)
    if not internal:
        announce(work, "ticket_updated", draft)


def remove(work: Work, draft: Draft, attachment_id: str, *, if_match: str | None = None) -> None:
    """Deletes a file for good. Needs `tickets:edit`. Raises 403, 404, 412, and 422 where the ticket is final."""
    found = find(work, draft.columns["id"], attachment_id)
    work.actor.need("tickets:edit")
    require_match(if_match, draft.columns["version"])
    links.require_not_final(work, draft)
    work.session.execute(delete(Attachment).where(Attachment.id == attachment_id))
    _note(work, draft, {part: getattr(found, part) for part in (*TOLD, "internal")}, None)


def readable(actor: Actor) -> list[Any]:
    """The conditions on attachments that the caller may read."""
    return [] if actor.may("tickets:read_internal") else [Attachment.internal.is_(False)]


def find(work: Work, ticket_id: int, attachment_id: str) -> Attachment:
    """An attachment of a ticket that the caller may see. Raises 404."""
    statement = select(Attachment).where(
        Attachment.id == attachment_id, Attachment.ticket_id == ticket_id, *readable(work.actor)
    )
    found = work.session.execute(statement).scalar_one_or_none()
    if found is None:
        raise not_found()
    return found


def of_messages(work: Work, ids: Sequence[int]) -> dict[int, list[Attachment]]:
    """The attachments of messages that the caller may read."""
    found: dict[int, list[Attachment]] = defaultdict(list)
    statement = select(Attachment).where(Attachment.message_id.in_(ids), *readable(work.actor)).order_by(Attachment.id)
    for row in work.session.execute(statement).scalars() if ids else ():
        found[row.message_id or 0].append(row)
    return found


def reader(attachment: Attachment) -> Callable[[Session, int], bytes | None]:
    """What reads the chunks of a file, for `Stream.piece`. Raises ConnectionError where it was deleted meanwhile."""
    attachment_id, size = attachment.id, attachment.size

    def piece(session: Session, position: int) -> bytes | None:
        if position * CHUNK >= size:
            return None
        found = execute(session, _PIECE, {"of_attachment": attachment_id, "at_position": position}).scalar()
        if found is None:
            raise ConnectionError(f"attachment {attachment_id} was deleted while it was sent")
        return bytes(found)

    return piece


def is_text(attachment: Attachment) -> bool:
    """Whether a file may be shown as text: what its sender, or its name, says that it is."""
    return bool(_TEXT_TYPE.fullmatch(attachment.content_type)) or attachment.name.lower().endswith(_TEXT_ENDS)


def text_reader(attachment: Attachment) -> Callable[[Session, int], bytes | None]:
    """What reads a file as text in UTF-8. What is no UTF-8, and no UTF-16 that says so, has U+FFFD in its place."""
    read = reader(attachment)
    decoder: codecs.IncrementalDecoder | None = None

    def piece(session: Session, position: int) -> bytes | None:
        nonlocal decoder
        data = read(session, position)
        if decoder is None:
            wide = (data or b"").startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
            decoder = codecs.getincrementaldecoder("utf-16" if wide else "utf-8-sig")("replace")
        text = decoder.decode(data or b"", data is None)
        return None if data is None and not text else text.encode()

    return piece
