"""The headers that a webhook sends: those that are shown, and those that are a secret."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from marshmallow import ValidationError

from deskplane.kernel.compound import TextMap
from deskplane.kernel.crypto import Vault
from deskplane.kernel.fields import Coded, Text, refuse
from deskplane.kernel.kind import Check
from deskplane.kernel.secrets import SECRET_SHOWN, SECRET_WANTED_SHOWN

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VISIBLE = re.compile(r"([!-~]([ !-~]*[!-~])?)?")
_CREDENTIAL = re.compile(r"authorization|cookie|token|secret|password|api-?key", re.IGNORECASE)
_OURS = {
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "webhook-id",
    "webhook-timestamp",
    "webhook-signature",
}


def mistakes(headers: Mapping[str, str]) -> Iterator[tuple[str, Coded]]:
    """What is wrong with headers, by name: names must be tokens (RFC 9110, 5.6.2), each once and not those that the
    sender sets; values are visible ASCII (5.5), since everything else is read differently by different servers."""
    seen: set[str] = set()
    for name, value in headers.items():
        if name.lower() in seen:
            yield name, Coded("stands there twice; case does not matter in names of headers", "repeated")
        seen.add(name.lower())
        if not _VISIBLE.fullmatch(value):
            yield name, Coded("must be visible ASCII, without spaces around it", "bad_format")
        if not _TOKEN.fullmatch(name):
            yield name, Coded("is no name of a header", "bad_format")
        elif name.lower() in _OURS:
            yield name, Coded("is set by the sender", "reserved")


class SecretHeaders(Text):
    """Headers that nobody is shown: an object, or the same as JSON text, as it may stand in a vault. All of them are
    one secret, which is stored as JSON text in one spelling."""

    json_type = "dict"

    def __init__(self, description: str, **common: Any) -> None:
        super().__init__(description, secret=True, **common)
        self._map = TextMap(description)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> Any:
        if value in (SECRET_SHOWN, SECRET_WANTED_SHOWN):
            return value  # as it is shown: the stored one stays
        if isinstance(value, str):
            try:
                value = orjson.loads(value)  # refuses halves of surrogate pairs
            except ValueError:
                raise refuse("bad_format", "must be an object of texts, or one as JSON text") from None
            if value is None:
                raise refuse("wrong_type", "must be an object, got null")
        if isinstance(value, dict) and "$secret" in value:
            return super()._deserialize(value, attr, data, **kwargs)
        return self._read(value)

    def _read(self, given: Any) -> str | None:
        headers: dict[str, str] = self._map.deserialize(given)
        errors: dict[str, list[Coded]] = {}
        for name, mistake in mistakes(headers):
            errors.setdefault(name, []).append(mistake)
        if errors:
            raise ValidationError(errors)
        return json.dumps(headers, separators=(",", ":")) if headers else None

    def _json_schema(self, answer: bool) -> dict[str, Any]:
        if answer:
            return {"type": "string"}
        return {"anyOf": [{"type": "string"}, self._map._json_schema(False)]}


def check_headers(found: Check) -> None:
    """The rules of headers, over those that are shown and those that are not."""
    shown = found.after["headers"]
    for name, mistake in mistakes(shown):
        found.refuse(f"headers.{name}", mistake.code, str(mistake))
    hidden = {name.lower() for name in opened(found.work.vault, found.after["secret_headers"])}
    for name in shown:
        if name.lower() in hidden:
            found.refuse(f"headers.{name}", "repeated", "is one of secret_headers too")
        elif _CREDENTIAL.search(name):
            found.warnings.append(
                f"the header {name} is shown to whoever may read webhooks; if it is a secret, give it in secret_headers"
            )


def opened(vault: Vault, sealed: str | None) -> dict[str, str]:
    """The headers in a stored secret; none where it is still wanted, or sealed with a key that is gone."""
    try:
        found: dict[str, str] = json.loads(vault.open(sealed)) if sealed else {}
    except ValueError:
        return {}
    return found
