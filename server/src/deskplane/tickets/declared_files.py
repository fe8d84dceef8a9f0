"""Files as an apply declares them: by name and content. Their bytes are sent afterwards, one request each, and only
those of files that are not there yet; so all that can be said against one is said here, before anything is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from deskplane.desks.settings import setting
from deskplane.kernel.operation import Upload
from deskplane.kernel.problem import FieldError, Problem, invalid, invalid_field, pointer
from deskplane.kernel.work import Work
from deskplane.tickets import attachments
from deskplane.tickets.draft import Draft


def require_present(body: Mapping[str, Any]) -> None:
    """Raises 422 where files are declared of a ticket that is to end: it may be final before they are sent, and a
    second run would not find it to send what is missing."""
    state = body.get("state") or "present"
    if body.get("attachments") and state != "present":
        detail = f"go with the state present only, not with {state}: give them to the ticket before it ends"
        raise invalid_field("attachments", "not_allowed", detail)


def there(work: Work, draft: Draft, body: Mapping[str, Any]) -> list[Any] | None:
    """For each declared file the attachment that it is, None where it is yet to be sent; None if none are declared.

    A file is there if the caller sees one of its name and content; and, where the declaration says whether it is
    `internal`, one that is just that. Raises 403, and 422 with every file that would not be taken.
    """
    declared: Sequence[Mapping[str, Any]] | None = body.get("attachments")
    if declared is None:
        return None
    most: int = setting(work, "attachments.max_bytes")
    found: list[Any] = []
    errors: list[FieldError] = []
    for index, file in enumerate(declared):
        internal = body.get("internal")
        try:
            name, _ = attachments.require_taken(
                work, draft, Upload("", None), {"name": file["name"], "internal": internal}
            )
        except Problem as problem:
            if not problem.errors:
                raise
            errors += [replace(error, pointer=pointer("attachments", index, "name")) for error in problem.errors]
            continue
        if file["size"] > most:
            detail = f"{name} has {file['size']} bytes, and the setting attachments.max_bytes allows {most}"
            errors.append(FieldError(pointer("attachments", index, "size"), "too_large", detail))
        found.append(attachments.same(work, draft, name, file["sha256"], internal))
    if errors:
        raise invalid(errors)
    return found
