"""Documents that changed nothing. Whoever keeps a desk in Git applies the same document again and again; a process
that found it to change nothing need not look through it again while the configuration stands still.

It is no guess: all that a run reads is the document, who asks, and tables whose every change raises the configuration's
revision in its own transaction (`Work.change_configuration`), the claims of managers and their revisions included.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

from deskplane.kernel.operation import Call
from deskplane.kernel.revision import NOTHING

Answer = dict[str, Any]


def name_of(call: Call) -> tuple[Any, ...] | None:
    """What a request is known by: the document and all that is said with it, a dry run or not, and who asks. Null where
    the body cannot be told from another."""
    try:
        text = orjson.dumps(call.body)
    except TypeError:  # a number beyond 64 bits, a lone surrogate: refused further on
        return None
    return ("unchanged", hashlib.sha256(text).digest(), call.dry_run, call.actor)


def known(call: Call, name: tuple[Any, ...] | None) -> Answer | None:
    """What the same request was answered at this revision of the configuration, if it changed nothing then."""
    if name is None:
        return None
    found = call.kept.find(call.revision, name)
    return None if found is NOTHING else found


def remember(call: Call, name: tuple[Any, ...] | None, answer: Answer) -> None:
    """Keeps an answer that says that nothing changes, unless something was written all the same: then the revision is
    a new one (and null here)."""
    if name is not None and not answer["changed"] and not answer["changes"]:
        call.kept.note(call.revision, name, answer)
