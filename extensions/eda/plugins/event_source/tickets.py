# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Events of a Deskplane desk for rulebooks.

ansible-rulebook runs this file by its path, where nothing of the collection can be imported; it brings aiohttp along.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import fcntl
import hashlib
import hmac
import json
import logging
import os
import re
import ssl
import time
from collections import OrderedDict
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector, web

DOCUMENTATION = r"""
---
short_description: What happens to the tickets of a Deskplane desk
description:
  - Asks a desk for its events again and again, and loses none (O(mode=poll)), or receives the desk's webhooks
    (O(mode=webhook)).
  - An event is C(event.event), one of C(ticket_created), C(ticket_updated), C(ticket_closed), C(ticket_assigned),
    C(comment_added), C(sla_warning), C(sla_breached) and C(auto_closed), with C(event.ticket_number), C(event.subject),
    C(event.status), C(event.priority), C(event.assigned_to), C(event.customer), C(event.department),
    C(event.timestamp), C(event.url) and C(event.id).
  - "Polling: where it stands is written into O(state_file) each time the rule engine has taken an event. A desk that is
    away is waited for, and what happened meanwhile is read then. After this source was killed it goes on where it
    stood; the event that it was just handing over may come again. In normal running none comes twice."
  - "Webhooks: only those whose signature is right and not older than O(tolerance) are let in (Standard Webhooks). The
    desk is told of success once the rule engine has taken the event, and repeats what failed; what it repeats although
    it was taken is known by its id, as long as this process lives."
options:
  mode:
    description: Whether to ask the desk, or to be told by it.
    type: str
    choices: [poll, webhook]
    default: poll
  deskplane_url:
    description: With O(mode=poll), address of the desk. E(DESKPLANE_URL) if not set.
    type: str
  deskplane_api_key:
    description:
      - With O(mode=poll), API key of someone who has the permission C(tickets:access); events of tickets that he may see
        are read. E(DESKPLANE_API_KEY) if not set.
    type: str
  deskplane_validate_certs:
    description: Whether the desk's certificate is checked. E(DESKPLANE_VALIDATE_CERTS) if not set.
    type: bool
    default: true
  deskplane_ca_path:
    description: File or directory with the certificates of your own authority. E(DESKPLANE_CA_PATH) if not set.
    type: str
  deskplane_timeout:
    description: Seconds to wait for an answer. E(DESKPLANE_TIMEOUT) if not set.
    type: float
    default: 30
  state_file:
    description: With O(mode=poll), the file that says where the source stands. One source has it at a time.
    type: str
  interval:
    description: With O(mode=poll), seconds between two questions.
    type: float
    default: 5
  start:
    description: With O(mode=poll), where to begin without a state file.
    type: str
    choices: [newest, oldest]
    default: newest
  events:
    description: Only these events; all, if empty.
    type: list
    elements: str
    default: []
  host:
    description: With O(mode=webhook), the address to listen on.
    type: str
    default: 0.0.0.0
  port:
    description: With O(mode=webhook), the port to listen on.
    type: int
  path:
    description: With O(mode=webhook), the path that is called.
    type: str
    default: /
  secrets:
    description:
      - With O(mode=webhook), the webhook's secret, as C(whsec_) and base64. Two while it is being changed.
      - The words of E(DESKPLANE_WEBHOOK_SECRETS) if not set.
    type: list
    elements: str
  tolerance:
    description: With O(mode=webhook), how many seconds a delivery's time may be off.
    type: int
    default: 300
  certfile:
    description: With O(mode=webhook), the certificate to serve HTTPS with.
    type: str
  keyfile:
    description: With O(mode=webhook), the key of the certificate.
    type: str
notes:
  - With C(feedback=true) and C(--persistence-id), where ansible-rulebook has both, an event counts as taken when the rule
    engine has stored it, so that not even a crash in the middle of a rule loses it.
"""

EXAMPLES = r"""
- name: What happens on the desk, asked for
  deskplane.helpdesk.tickets:
    deskplane_url: https://desk.example.com
    state_file: /var/lib/eda/desk.json
    events: [ticket_created, sla_breached]

- name: What happens on the desk, told by it
  deskplane.helpdesk.tickets:
    mode: webhook
    port: 5000
    secrets: ["{{ webhook_secret }}"]
"""

LOGGER = logging.getLogger(__name__)

EVENTS = (
    *("ticket_created", "ticket_updated", "ticket_closed", "ticket_assigned", "comment_added"),
    *("sla_warning", "sla_breached", "auto_closed"),
)
OPTIONS = {
    "poll": ("deskplane_url", "deskplane_api_key", "deskplane_validate_certs", "deskplane_ca_path", "deskplane_timeout")
    + ("state_file", "interval", "start"),
    "webhook": ("host", "port", "path", "secrets", "tolerance", "certfile", "keyfile"),
}
COMMON = ("mode", "events", "feedback", "eda_feedback_queue")
PAGE = 100
LONGEST_PAUSE_S = 60.0
MOST_BODY_BYTES = 1024 * 1024
REMEMBERED = 10_000
"""Ids of events that were taken; the oldest are forgotten."""


class Refused(Exception):
    """The desk will not answer this question, however often it is asked."""


class Taker:
    """Hands events to the rule engine, each once, and returns when it has taken them."""

    def __init__(self, queue: Any, feedback: Any, events: list[str]) -> None:
        self._queue = queue
        self._feedback = feedback
        self._events = frozenset(events)
        self._known: OrderedDict[str, asyncio.Future[None]] = OrderedDict()

    async def take(self, event: dict[str, Any]) -> None:
        """Hand over ``event``, unless it is not asked for; one with an id that was taken is passed over."""
        if self._events and event.get("event") not in self._events:
            return
        name = str(event["id"])
        if name in self._known:
            # Perhaps it is just being handed over, and may still fail.
            await asyncio.shield(self._known[name])
            return
        done = self._known[name] = asyncio.get_running_loop().create_future()
        try:
            await self._hand_over(event)
        except BaseException as error:
            del self._known[name]
            done.set_exception(ConnectionError("the event %s was not taken: %s" % (name, _words(error))))
            done.exception()  # nobody else may be waiting for it
            raise
        done.set_result(None)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)

    async def _hand_over(self, event: dict[str, Any]) -> None:
        await self._queue.put(event)
        if self._feedback is not None:
            await self._feedback.get()
            return
        # The queue of ansible-rulebook lies within one that filters.
        queue = getattr(self._queue, "queue", self._queue)
        try:
            while hasattr(queue, "empty") and not queue.empty():
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or not queue.empty():
                raise
            # It was taken: that is written down first, and whatever is waited for next ends the source.
            task.cancel()


class State:
    """Where a source stands, in a file that is whole at any time. Raises ValueError where the file is no good."""

    def __init__(self, path: str) -> None:
        self._path = os.path.abspath(os.path.expanduser(path))
        self.cursor: str | None = None
        self.timestamp: str | None = None
        try:
            os.makedirs(os.path.dirname(self._path), exist_ok=True)
            # Held until the process ends, however it ends.
            self._lock = open(self._path + ".lock", "w", encoding="utf-8")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._lock.close()
            raise ValueError("state_file %s is in use by another source: give each one a file of its own" % self._path) from None
        except OSError as error:
            raise ValueError("state_file %s cannot be written: %s" % (self._path, error.strerror)) from None
        self._read()

    def close(self) -> None:
        self._lock.close()

    def _read(self) -> None:
        try:
            with open(self._path, encoding="utf-8") as file:
                found = json.load(file)
            self.cursor, self.timestamp = found["cursor"], found.get("timestamp")
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                "state_file %s does not say where the source stands (%s): correct it, or remove it to begin anew"
                % (self._path, error)
            ) from None

    def save(self, cursor: str, timestamp: str | None = None) -> None:
        """Store that everything up to ``cursor`` was taken."""
        self.cursor, self.timestamp = cursor, timestamp or self.timestamp
        text = json.dumps({"cursor": self.cursor, "timestamp": self.timestamp}) + "\n"
        with open(self._path + ".new", "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(self._path + ".new", self._path)
        folder = os.open(os.path.dirname(self._path), os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


class Poller:
    """Reads the desk's feed of events, page by page, and stores where it stands after each event."""

    def __init__(self, args: dict[str, Any], taker: Taker, session: ClientSession) -> None:
        self._args = args
        self._taker = taker
        self._session = session
        self._state = State(args["state_file"])
        self._url = re.sub(r"/api(/v1)?/*$", "", args["deskplane_url"].rstrip("/")) + "/api/v1/tickets/events"

    async def run(self) -> None:
        try:
            pause, answered = 1.0, False
            while True:
                try:
                    more = await self._page()
                except Refused as refusal:
                    # What was right once may be put right again, and what happens meanwhile is not lost.
                    if not answered:
                        raise
                    LOGGER.error("%s; asking again in %g s", refusal, LONGEST_PAUSE_S)
                    await asyncio.sleep(LONGEST_PAUSE_S)
                    continue
                except (ClientError, asyncio.TimeoutError, OSError) as error:
                    LOGGER.warning("the desk is not there (%s); asking again in %g s", _words(error), pause)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, LONGEST_PAUSE_S)
                    continue
                if not answered or pause > 1.0:
                    LOGGER.info("reading the events of %s", self._args["deskplane_url"])
                pause, answered = 1.0, True
                if not more:
                    await asyncio.sleep(self._args["interval"])
        finally:
            self._state.close()

    async def _page(self) -> bool:
        """Take the events of one page; true if there are more."""
        status, answer = await self._ask(self._where())
        if status == 410:
            LOGGER.warning("events may be missing: %s", answer.get("detail"))
            since = {"since": self._state.timestamp} if self._state.timestamp else {}
            status, answer = await self._ask(since)
        if status != 200:
            raise Refused("the desk answered HTTP %d: %s" % (status, answer.get("detail")))
        for event in answer["items"]:
            await self._taker.take(event)
            self._state.save(event["id"], event["timestamp"])
        if answer["next_cursor"] != self._state.cursor:
            self._state.save(answer["next_cursor"])
        return bool(answer["more"])

    def _where(self) -> dict[str, str]:
        if self._state.cursor is not None:
            return {"cursor": self._state.cursor}
        return {"newest": "true"} if self._args["start"] == "newest" else {}

    async def _ask(self, where: dict[str, str]) -> tuple[int, dict[str, Any]]:
        # The events are not chosen by the desk: what is not asked for moves the place in the feed all the same.
        async with self._session.get(self._url, params={"limit": str(PAGE), **where}, allow_redirects=False) as answer:
            if answer.status in (429, 502, 503, 504) or answer.status >= 500:
                raise OSError("HTTP %d" % answer.status)
            try:
                document = json.loads(await answer.read())
            except ValueError:
                document = None
            if not isinstance(document, dict) or (answer.status == 200 and "next_cursor" not in document):
                raise Refused("%s answered HTTP %d, and not as a desk: check deskplane_url" % (self._url, answer.status))
            return answer.status, document


class Receiver:
    """Takes webhooks that are signed after the Standard Webhooks specification."""

    def __init__(self, args: dict[str, Any], taker: Taker) -> None:
        self._args = args
        self._taker = taker
        self._keys = [_key(secret) for secret in args["secrets"]]

    async def run(self) -> None:
        app = web.Application(client_max_size=MOST_BODY_BYTES)
        app.router.add_route("*", self._args["path"], self.receive)
        runner = web.AppRunner(app, access_log=None, handle_signals=False)
        await runner.setup()
        try:
            context = None
            if self._args["certfile"]:
                context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                context.load_cert_chain(self._args["certfile"], self._args["keyfile"])
            await web.TCPSite(runner, self._args["host"], self._args["port"], ssl_context=context).start()
            LOGGER.info("waiting for webhooks on %s port %d", self._args["host"], self._args["port"])
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    async def receive(self, request: web.Request) -> web.Response:
        """Answer one delivery: 204 once it was taken."""
        body = await request.read()
        wrong = self.check(request.headers, body, time.time())
        if wrong:
            LOGGER.warning("a delivery from %s was refused: %s", request.remote, wrong)
            return web.Response(status=401, text="refused\n")
        try:
            content = json.loads(body) if body.strip() else {}
        except ValueError:
            return web.Response(status=400, text="the body is no JSON\n")
        event = dict(content) if isinstance(content, dict) else {"payload": content}
        event["id"] = request.headers["webhook-id"]
        await self._taker.take(event)
        return web.Response(status=204)

    def check(self, headers: Any, body: bytes, now: float) -> str | None:
        """What is wrong with a delivery; None where nothing is."""
        name, moment, signatures = (headers.get("webhook-" + part) for part in ("id", "timestamp", "signature"))
        if not name or not moment or not signatures:
            return "the headers webhook-id, webhook-timestamp and webhook-signature are not all there"
        if not re.fullmatch("[0-9]{1,12}", moment) or abs(now - int(moment)) > self._args["tolerance"]:
            return "its time is more than %d s off" % self._args["tolerance"]
        signed = b".".join((name.encode("utf-8", "surrogateescape"), moment.encode("ascii"), body))
        expected = [base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()) for key in self._keys]
        for signature in signatures.split():
            version, _comma, value = signature.partition(",")
            given = value.encode("utf-8", "surrogateescape")
            if version == "v1" and any(hmac.compare_digest(given, one) for one in expected):
                return None
        return "it is not signed with a secret that is known here"


def _key(secret: str) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith("whsec_") or len(key) < 24:
        raise ValueError("secrets: a webhook's secret is whsec_ and at least 24 bytes in base64")
    return key


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _flag(value: Any) -> bool:
    if str(value).lower() not in ("true", "yes", "on", "1", "false", "no", "off", "0"):
        raise ValueError("deskplane_validate_certs: %r is neither true nor false" % value)
    return str(value).lower() in ("true", "yes", "on", "1")


def _number(args: dict[str, Any], name: str, default: Any, kind: type, least: float) -> Any:
    value = args.get(name)
    try:
        found = kind(default if value in (None, "") else value)
    except (TypeError, ValueError):
        found = None
    if found is None or found < least:
        raise ValueError("%s: %r is not a number of at least %g" % (name, value, least))
    return found


def _from_environment(args: dict[str, Any], name: str) -> Any:
    return args[name] if args.get(name) not in (None, "") else os.environ.get(name.upper())


def checked(args: dict[str, Any]) -> dict[str, Any]:
    """The options with their defaults. Raises ValueError, in one line, for what cannot be meant."""
    mode = args.get("mode") or "poll"
    if mode not in OPTIONS:
        raise ValueError("mode: %r is none of poll, webhook" % mode)
    unknown = sorted(set(args) - set(OPTIONS[mode]) - set(COMMON))
    if unknown:
        raise ValueError("with mode %s there is no option %s (known: %s)" % (mode, ", ".join(unknown), ", ".join(OPTIONS[mode])))
    events = args.get("events") or []
    strange = [name for name in events if name not in EVENTS] if isinstance(events, list) else [events]
    if strange:
        raise ValueError("events: %s: give a list of %s" % (", ".join(map(str, strange)), ", ".join(EVENTS)))
    found: dict[str, Any] = {"mode": mode, "events": events}
    if mode == "webhook":
        secrets = args.get("secrets") or os.environ.get("DESKPLANE_WEBHOOK_SECRETS", "").split()
        found["secrets"] = [secrets] if isinstance(secrets, str) else [str(secret) for secret in secrets]
        if not found["secrets"]:
            raise ValueError("secrets: give the webhook's secret; unsigned deliveries are not let in")
        found["port"] = _number(args, "port", None, int, 1)
        found["tolerance"] = _number(args, "tolerance", 300, int, 1)
        found |= {"host": args.get("host") or "0.0.0.0", "path": args.get("path") or "/"}
        return found | {name: args.get(name) for name in ("certfile", "keyfile")}
    for name in OPTIONS["poll"][:4]:
        found[name] = _from_environment(args, name)
    missing = [name for name in ("deskplane_url", "deskplane_api_key") if not found[name]]
    missing += [] if args.get("state_file") else ["state_file"]
    if missing:
        raise ValueError("%s: not set" % ", ".join(missing))
    timeout = _from_environment(args, "deskplane_timeout")
    found["deskplane_timeout"] = _number({"deskplane_timeout": timeout}, "deskplane_timeout", 30, float, 0.1)
    found["deskplane_validate_certs"] = _flag(True if found["deskplane_validate_certs"] is None else found["deskplane_validate_certs"])
    found["interval"] = _number(args, "interval", 5, float, 0.1)
    found["start"] = args.get("start") or "newest"
    if found["start"] not in ("newest", "oldest"):
        raise ValueError("start: %r is none of newest, oldest" % found["start"])
    return found | {"state_file": str(args["state_file"])}


def _tls(args: dict[str, Any]) -> ssl.SSLContext:
    place = args["deskplane_ca_path"]
    try:
        context = ssl.create_default_context(**({"capath" if os.path.isdir(place) else "cafile": place} if place else {}))
    except OSError as error:
        raise ValueError("deskplane_ca_path %s cannot be used: %s" % (place, _words(error))) from None
    if not args["deskplane_validate_certs"]:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


async def main(queue: Any, args: dict[str, Any]) -> None:
    """What ansible-rulebook calls; runs until it is cancelled."""
    wanted = checked(args)
    taker = Taker(queue, args.get("eda_feedback_queue"), wanted["events"])
    if wanted["mode"] == "webhook":
        await Receiver(wanted, taker).run()
        return
    headers = {"Authorization": "Bearer " + str(wanted["deskplane_api_key"]).strip(), "Accept": "application/json"}
    timeout = ClientTimeout(total=wanted["deskplane_timeout"])
    # Proxies are those of the environment.
    connector = TCPConnector(ssl=_tls(wanted))
    async with ClientSession(headers=headers, timeout=timeout, trust_env=True, connector=connector) as session:
        await Poller(wanted, taker, session).run()
