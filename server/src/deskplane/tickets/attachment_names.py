"""Names of attached files: what is kept of the one that the sender gave, and which are not taken at all.

The name is only ever shown and sent back: where a file is stored has nothing to do with it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from urllib.parse import quote

from marshmallow import ValidationError

from deskplane.kernel.fields import Text
from deskplane.kernel.problem import FieldError, Problem, invalid, pointer

LONGEST = 255
_GIVEN = Text("A name as it is sent, perhaps with a path.", longest=10 * LONGEST)
_OF_HOSTS = {"com"}
"""Ends of executable files that stand, before another one, for a host: C(www.example.com.pdf)."""
_SEEN_BY_NOBODY = re.compile("[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0]")
"""What cannot be seen and is no format character (category Cf)."""


def clean(name: str | None) -> str:
    """The name that is kept: the last part of a path, without what cannot be seen and what systems drop at its end.
    Raises 422 where nothing is left, or where it holds control characters or such as turn the direction of writing."""
    if name is None:
        raise _bad("required", "is required: as the parameter name, or in Content-Disposition")
    try:
        text: str = _GIVEN.deserialize(name)
    except ValidationError as error:
        (said,) = error.messages
        raise _bad(getattr(said, "code", "bad_format"), str(said)) from None
    text = _without_hidden(re.split(r"[/\\]", text)[-1]).strip().rstrip(". ")
    if not text:
        raise _bad("bad_format", f"names no file: {name[:40]!r}")
    if len(text) > LONGEST:
        raise _bad("too_long", f"must have at most {LONGEST} characters, got {len(text)}")
    return text


def _bad(code: str, detail: str) -> Problem:
    return invalid([FieldError(pointer("name"), code, detail)])


def _without_hidden(text: str) -> str:
    seen = _SEEN_BY_NOBODY.sub("", text)
    return seen if seen.isascii() else "".join(char for char in seen if unicodedata.category(char) != "Cf")


def require_allowed(name: str, blocked: Collection[str]) -> None:
    """Raises 422 where one of a name's extensions is blocked. Compared as whoever opens the file might read them: in
    one case, with compatible characters alike, without what cannot be seen; a stream (`x.exe:y`) ends a name, too. An
    end before another one counts as well, since what opens the file may go by that, or hide the last one."""
    ends = {_plain(end).strip(". ") for end in blocked}
    for piece in _plain(name).split(":"):
        parts = [part.strip() for part in piece.split(".")[1:]]
        for part in ends.intersection([*parts[-1:], *(part for part in parts[:-1] if part not in _OF_HOSTS)]):
            raise _bad("blocked_extension", f"files that end in .{part} are not taken")


def _plain(text: str) -> str:
    # folding may make a character that has a compatible one, and the other way round
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", _without_hidden(text)).casefold())
    return _without_hidden(folded)


def disposition(name: str) -> str:
    """`Content-Disposition` that saves a file under its name (RFC 6266), and never shows it."""
    simple = re.sub(r"[^ !#-\[\]-~]|%", "_", name)
    return f"attachment; filename=\"{simple}\"; filename*=UTF-8''{quote(name, safe='')}"
