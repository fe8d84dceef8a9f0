# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A desk's management API: what may be tried again, and what each failure means."""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Mapping
from typing import Any, Callable, Dict, Sequence, Tuple
from urllib.parse import urlencode

from ansible_collections.deskplane.helpdesk.plugins.module_utils.transport import Answer, BadAddress, NoAnswer, Transport
from ansible_collections.deskplane.helpdesk.plugins.module_utils.problems import foreign, problem_text

COLLECTION_VERSION = "0.1.0"
AGENT = "deskplane.helpdesk/" + COLLECTION_VERSION
OLDEST_SERVER = (0, 1, 0)
# A restarting server is back within these waits; a task in a rescue block must not hang on a dead one.
WAITS_S = (0.25, 0.75, 2.0)
LONGEST_WAIT_S = 30.0

Query = Sequence[Tuple[str, Any]]

_desks: Dict[Any, Desk] = {}


class DeskFailure(Exception):
    """One readable line, and the desk's problem document if it sent one; ``passing`` if waiting may help."""

    def __init__(self, text: str, problem: dict[str, Any] | None = None, passing: bool = False) -> None:
        super().__init__(text)
        self.problem = problem
        self.passing = passing


class Desk:
    """Speaks JSON with the management API of one desk, with one key, or without one where it needs none."""

    def __init__(
        self, transport: Transport, key: str | None, sleep: Callable[[float], None] = time.sleep, agent: str = AGENT
    ) -> None:
        self._transport = transport
        self._sleep = sleep
        self.url = transport.url
        self._headers = {
            "Accept": "application/json",
            "User-Agent": agent,
        }
        if key:
            self._headers["Authorization"] = "Bearer " + key

    def get(self, path: str, query: Query = (), subject: str | None = None) -> dict[str, Any]:
        return self._call("GET", path, query, subject=subject)

    def readiness(self) -> dict[str, Any]:
        """What the desk says of its readiness, asked once; raises `DeskFailure` where it is not ready."""
        try:
            answer = self._transport.send("GET", "/readyz", self._headers)
        except BadAddress as error:
            raise DeskFailure(str(error)) from error
        except NoAnswer as error:
            raise DeskFailure(str(error), passing=True) from error
        try:
            return self._read(answer, None, None)
        except DeskFailure as failure:
            # A proxy in front of a desk that starts says 502 or 503 in words of its own.
            failure.passing = answer.status >= 500 or answer.status == 429
            raise

    def apply(
        self,
        path: str,
        wanted: dict[str, Any],
        dry_run: bool,
        subject: str,
        repeatable: bool = True,
        keyed: bool = False,
    ) -> dict[str, Any]:
        """Let the desk compare and write; with ``dry_run`` it only compares.

        ``repeatable`` says that the request may be sent again when its answer was lost; ``keyed``, that it carries
        an Idempotency-Key for that. A key costs the desk a write, so a request that is harmless anyway has none.
        """
        query = (("dry_run", "true"), ("allow_unresolved", "true")) if dry_run else ()
        return self.post(path + "/apply", wanted, subject, query, repeatable, keyed)

    def post(
        self,
        path: str,
        body: dict[str, Any],
        subject: str,
        query: Query = (),
        repeatable: bool = True,
        keyed: bool = False,
    ) -> dict[str, Any]:
        """Send a document; ``repeatable`` and ``keyed`` as for `apply`."""
        key = str(uuid.uuid4()) if keyed else None
        return self._call("POST", path, query, body, repeatable, key, subject)

    def upload(self, path: str, content: bytes, content_type: str, subject: str, query: Query = ()) -> dict[str, Any]:
        """Send a file as it is, to where sending it twice does what sending it once does."""
        headers = dict(self._headers, **{"Content-Type": content_type})
        answer = self._answer("POST", "/api/v1/%s?%s" % (path, urlencode(query)), headers, content, True, subject)
        return self._read(answer, subject, None)

    def download(self, path: str, into: Callable[[bytes], object], subject: str) -> Mapping[str, str]:
        """Read a file piece by piece, asked for once; answers the headers."""
        headers = dict(self._headers, Accept="*/*")
        answer = self._answer("GET", "/api/v1/" + path, headers, None, False, subject, into)
        if answer.status != 200 or answer.headers.get("Deskplane-Version") is None:
            self._read(answer, subject, None)
        found: Mapping[str, str] = answer.headers
        return found

    def _call(
        self,
        method: str,
        path: str,
        query: Query = (),
        body: dict[str, Any] | None = None,
        repeatable: bool = True,
        idempotency_key: str | None = None,
        subject: str | None = None,
    ) -> dict[str, Any]:
        headers = dict(self._headers)
        content = None
        if body is not None:
            headers["Content-Type"] = "application/json"
            try:
                content = json.dumps(body, ensure_ascii=False, allow_nan=False).encode("utf-8")
            except ValueError as error:
                raise DeskFailure("%s: what the task gives cannot be sent as JSON: %s" % (subject, error)) from error
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        target = "/api/v1/" + path + ("?" + urlencode(query) if query else "")
        answer = self._answer(method, target, headers, content, repeatable, subject)
        return self._read(answer, subject, body)

    def _answer(
        self,
        method: str,
        target: str,
        headers: dict[str, str],
        content: bytes | None,
        repeatable: bool,
        subject: str | None,
        into: Callable[[bytes], object] | None = None,
    ) -> Answer:
        waits = list(WAITS_S)
        stale_tries = 1
        while True:
            try:
                answer = self._transport.send(method, target, headers, content, into)
            except BadAddress as error:
                raise DeskFailure(str(error)) from error
            except NoAnswer as error:
                if error.stale and repeatable and stale_tries:
                    stale_tries -= 1
                elif error.refused and waits:
                    self._sleep(waits.pop(0))
                else:
                    raise DeskFailure(_no_answer(error, subject, method)) from error
                continue
            # 429 and 503 were not carried out; after 502 and 504 nobody knows.
            again = answer.status in (429, 503) or (answer.status in (502, 504) and repeatable)
            if not again or not waits:
                return answer
            pause = max(waits.pop(0), _retry_after(answer))
            if pause > LONGEST_WAIT_S:
                return answer
            self._sleep(pause)

    def _read(self, answer: Answer, subject: str | None, sent: Any) -> dict[str, Any]:
        document = _json(answer)
        version = answer.headers.get("Deskplane-Version")
        ours = version is not None or (isinstance(document, dict) and "request_id" in document)
        if answer.status >= 300:
            if not ours or not isinstance(document, dict):
                raise DeskFailure(foreign(self.url, answer, _text(answer)))
            raise DeskFailure(problem_text(self.url, answer, document, subject, sent), problem=document)
        if not ours or not isinstance(document, dict):
            raise DeskFailure(foreign(self.url, answer, _text(answer)))
        if _numbers(version) < OLDEST_SERVER:
            raise DeskFailure(
                "the desk at %s is version %s; this collection (%s) needs %s or later: upgrade the desk, or install an older collection"
                % (self.url, version, COLLECTION_VERSION, ".".join(str(n) for n in OLDEST_SERVER))
            )
        return document


def desk_for(options: Mapping[str, Any], environ: Mapping[str, str] | None = None, agent: str = AGENT) -> Desk:
    """The desk that the connection options name, with its kept connection if this process has one."""
    key = options.get("deskplane_api_key")
    key = None if key is None else str(key).strip()
    if key is not None and (not key or any(not 32 < ord(character) < 127 for character in key)):
        raise DeskFailure("deskplane_api_key is empty or holds a character that no key has (a line break, a space, an umlaut)")
    url = re.sub(r"/api(/v1)?/*$", "", str(options["deskplane_url"]).strip().rstrip("/"))
    environ = os.environ if environ is None else environ
    timeout = options.get("deskplane_timeout")
    if timeout is not None and not 0 < timeout <= 86400:
        raise DeskFailure("deskplane_timeout must be more than 0 seconds, and a day (86400) at most")
    settings = (options.get("deskplane_validate_certs") is not False, options.get("deskplane_ca_path"), timeout or 30)
    proxies = tuple(sorted((name, str(value)) for name, value in environ.items() if name.lower().endswith("_proxy")))
    # A forked worker must not speak on the socket of its parent: hence the process.
    identity = (os.getpid(), url, key, settings, proxies)
    if identity not in _desks:
        try:
            _desks[identity] = Desk(Transport(url, *settings, environ=environ), key, agent=agent)
        except BadAddress as error:
            raise DeskFailure(str(error)) from error
    return _desks[identity]


def _no_answer(error: NoAnswer, subject: str | None, method: str) -> str:
    text = "%s: %s" % (subject, error) if subject else str(error)
    if error.sent and method != "GET":
        text += "; it may have been carried out or not: run it again, what is already done changes nothing"
    return text


def _retry_after(answer: Answer) -> float:
    try:
        return max(0.0, float(answer.headers.get("Retry-After") or 0))
    except ValueError:
        # A date: the fixed waits do.
        return 0.0


def _json(answer: Answer) -> Any:
    try:
        return json.loads(answer.body.decode("utf-8"))
    except (ValueError, RecursionError):
        return None


def _text(answer: Answer) -> str:
    return answer.body[:4096].decode("utf-8", "replace")


def _numbers(version: str | None) -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", version or "")
    return tuple(int(number or 0) for number in found.groups()) if found else (0, 0, 0)
