"""Errors as `application/problem+json` (RFC 9457).

Whatever goes wrong in a view is raised as a `Problem`; the HTTP layer turns it into the answer and rolls back.
A problem names every bad field at once, with a JSON pointer (RFC 6901, as a URI fragment), and never repeats a
secret's value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True)
class FieldError:
    """One bad field: where it is, a stable code for programs, and a sentence for people."""

    pointer: str
    code: str
    detail: str
    allowed: Any = None

    def to_dict(self) -> dict[str, Any]:
        found: dict[str, Any] = {"pointer": self.pointer, "code": self.code, "detail": self.detail}
        if self.allowed is not None:
            found["allowed"] = self.allowed
        return found


class Problem(Exception):
    """An answer that is an error. `code` becomes the last part of `type`, stable across versions."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        self.extra = dict(extra or {})

    def to_dict(self, request_id: str | None = None) -> dict[str, Any]:
        """The problem document."""
        document: dict[str, Any] = {
            "type": f"urn:deskplane:problem:{self.code}",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if request_id is not None:
            document["request_id"] = request_id
        if self.errors:
            document["errors"] = [error.to_dict() for error in self.errors]
        document.update(self.extra)
        return document


def pointer(*parts: str | int) -> str:
    """A JSON pointer as a URI fragment: `pointer("imap", "port")` is `#/imap/port`."""
    return "#" + "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def invalid(errors: Sequence[FieldError]) -> Problem:
    """422 with every bad field."""
    one = errors[0]
    more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
    where = one.pointer.removeprefix("#/") or "the document"
    return Problem(422, "invalid", f"{where}: {one.detail}{more}", errors=errors)


def invalid_field(name: str, code: str, detail: str, allowed: Any = None) -> Problem:
    """422 for one field."""
    return invalid([FieldError(pointer(*name.split(".")), code, detail, allowed)])


def not_found(what: str = "there is nothing here, or it is not yours to see") -> Problem:
    """404: the same body whether a thing is missing or belongs to someone else (domain: tenancy)."""
    return Problem(404, "not_found", what)


def forbidden(permission: str, *others: str) -> Problem:
    """403 that names the permission that is missing, and others that would do in its place."""
    one_of = f"one of the permissions {', '.join([permission, *others])}" if others else f"the permission {permission}"
    return Problem(403, "forbidden", f"this needs {one_of}", extra={"missing_permission": permission})


def conflict(code: str, detail: str, **extra: Any) -> Problem:
    """409."""
    return Problem(409, code, detail, extra=extra)


def busy(detail: str = "the database is busy; try again", seconds: int = 2) -> Problem:
    """503: the bound on waiting was reached. Nothing was stored."""
    return Problem(503, "busy", detail, headers={"Retry-After": str(seconds)})
