# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a refusal means in one line: which object, which field, what is allowed, what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Any

MOST_LISTED = 12
# Refusals whose detail says by itself what can be done.
SAY_WHAT_TO_DO = ("owned_by_another", "too_many_deletions", "plan_changed", "has_dependants", "rename_conflict", "name_taken")


def problem_text(url: str, answer: Any, problem: dict[str, Any], subject: str | None, sent: Any = None) -> str:
    """One line for a problem document (RFC 9457) of the desk; ``sent`` is the body it answers."""
    status = answer.status
    detail = _line(problem.get("detail") or problem.get("title") or "HTTP %d" % status)
    if status == 401:
        return "the desk at %s does not accept the key (%s): check deskplane_api_key; it may be mistyped, expired or revoked" % (
            url,
            detail,
        )
    fields = [field_text(error, sent) for error in problem.get("errors") or () if isinstance(error, dict)]
    text = "; ".join(fields) if fields else detail
    if fields and status not in (400, 422):
        text = "%s: %s" % (detail, text)
    hint = _hint(status, answer, problem)
    return "%s: %s%s" % (subject or "the desk at %s" % url, text, " (%s)" % hint if hint else "")


def _hint(status: int, answer: Any, problem: dict[str, Any]) -> str | None:
    if status == 403:
        return "the key in deskplane_api_key lacks this permission or scope: use another, or give it to the key's owner and to the key"
    if status == 404:
        return "is the path in deskplane_url right, and the desk new enough?"
    if status in (429, 503):
        after = answer.headers.get("Retry-After")
        return "the desk is busy%s; run the task again later" % (", it asks to wait %s s" % after if after else "")
    if status == 409 and str(problem.get("type")).rsplit(":", 1)[-1] in SAY_WHAT_TO_DO:
        return None
    if status in (409, 412):
        return "somebody else changed it or it is in the way; run the task again or settle what is named"
    if status >= 500:
        request = answer.headers.get("X-Request-Id")
        return "the desk failed with HTTP %d%s: see its log" % (status, ", request %s" % request if request else "")
    return None


def field_text(error: dict[str, Any], sent: Any, name: str | None = None) -> str:
    """One bad field of a problem document in words; ``name`` in place of the field's own."""
    pointer = str(error.get("pointer") or "")
    name = field_name(steps(pointer)) if name is None else name
    detail = _line(error.get("detail") or error.get("code") or "is not valid")
    text = detail if not name or detail.startswith(name) else "%s: %s" % (name, detail)
    allowed = error.get("allowed")
    if isinstance(allowed, (list, tuple)) and allowed:
        words = [str(value) for value in allowed]
        if not all(word in detail for word in words):
            more = len(words) - MOST_LISTED
            text += " (allowed: %s%s)" % (", ".join(words[:MOST_LISTED]), ", and %d more" % more if more > 0 else "")
        given = value_at(sent, pointer)
        close = difflib.get_close_matches(given, words, 1) if isinstance(given, str) else None
        if close and "did you mean" not in detail:
            text += ", did you mean %s?" % close[0]
    elif isinstance(allowed, dict) and allowed:
        text += " (allowed: %s)" % ", ".join("%s %s" % pair for pair in sorted(allowed.items()))
    elif isinstance(allowed, (int, float)):
        text += " (allowed: %s)" % allowed
    if error.get("code") in ("unknown_reference", "unresolved"):
        text += " Else create it first" if text.endswith("?") else ", create it first or correct the name"
    return text


def steps(pointer: str) -> list[str]:
    """The parts of a JSON pointer in a URI fragment."""
    return [step.replace("~1", "/").replace("~0", "~") for step in pointer.lstrip("#").split("/") if step]


def field_name(path: Sequence[str | int]) -> str:
    """A field's name by the steps that lead to it from its object: ``hours.monday[0].from``."""
    name = ""
    for step in path:
        name += "[%s]" % step if isinstance(step, int) or step.isdigit() else ("." if name else "") + step
    return name


def value_at(sent: Any, pointer: str) -> Any:
    """What a JSON pointer names; None where there is nothing."""
    for step in steps(pointer):
        if isinstance(sent, list) and step.isdigit() and int(step) < len(sent):
            sent = sent[int(step)]
        elif isinstance(sent, dict) and step in sent:
            sent = sent[step]
        else:
            return None
    return sent


def foreign(url: str, answer: Any, text: str) -> str:
    """One line for an answer that no desk gave: a proxy, another site, a wrong path."""
    status = answer.status
    kind = (answer.headers.get("Content-Type") or "").split(";")[0].strip().lower()
    if 300 <= status < 400:
        return "%s sends its visitors on to %s (HTTP %d): set deskplane_url to the desk's own address" % (
            url,
            _line(answer.headers.get("Location") or "another address"),
            status,
        )
    if status == 407:
        return "the proxy before %s wants a login: put it into the proxy's address in the environment" % url
    title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
    if kind == "text/html" or "<html" in text.lower():
        what = "an HTML page" + (' ("%s")' % _line(title.group(1)) if title else "")
    elif not text.strip():
        what = "an empty page"
    elif kind in ("application/json", "application/problem+json"):
        what = "JSON that no desk sends"
    else:
        what = "something that is no JSON (%s)" % (kind or "of no type")
    return "%s answered HTTP %d with %s instead of a desk's answer: is a proxy or another site at this address? Check deskplane_url" % (
        url,
        status,
        what,
    )


def _line(text: Any) -> str:
    return " ".join(str(text).split())[:600]
