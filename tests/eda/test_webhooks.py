# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Webhooks: only what is signed comes in, and the sender hears of success only then."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import time

import aiohttp
import pytest
import yaml
from conftest import ROOT
from desk import free_port

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_" + base64.b64encode(b"another secret of 32 bytes, sure").decode()
BODY = json.dumps({"event": "ticket_created", "ticket_number": "TKT-000001", "priority": "high"}).encode()


def sign(secret, name, moment, body):
    key = base64.b64decode(secret.split("_", 1)[1])
    digest = hmac.new(key, ("%s.%d." % (name, moment)).encode() + body, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode()


def headers(body=BODY, secret=SECRET, name="msg_1", age=0, **changed):
    moment = int(time.time()) - age
    found = {"webhook-id": name, "webhook-timestamp": str(moment), "webhook-signature": sign(secret, name, moment, body)}
    return {key: value for key, value in {**found, **changed}.items() if value is not None}


def test_the_vector_of_the_specification_is_right(source):
    receiver = source.Receiver(source.checked({"mode": "webhook", "port": 1, "secrets": [SECRET]}), None)
    given = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    assert receiver.check(given, b'{"test": 2432232314}', 1614265330) is None
    assert receiver.check(given, b'{"test": 2432232315}', 1614265330) is not None


def received(source, deliveries, queue=None, **args):
    """Send deliveries (body, headers); answer their statuses and the events that were taken."""
    port = free_port()
    taken = []

    async def run():
        inner = queue or asyncio.Queue(1)
        wanted = {"mode": "webhook", "host": "127.0.0.1", "port": port, "path": "/desk", "secrets": [SECRET], **args}
        listening = asyncio.create_task(source.main(inner, wanted))

        async def consume():
            while True:
                taken.append(await inner.get())

        consuming = asyncio.create_task(consume())
        statuses = []
        async with aiohttp.ClientSession() as session:
            for body, sent in deliveries:
                while True:
                    try:
                        async with session.post("http://127.0.0.1:%d/desk" % port, data=body, headers=sent) as answer:
                            statuses.append(answer.status)
                        break
                    except aiohttp.ClientConnectorError:
                        assert not listening.done(), listening.exception()
                        await asyncio.sleep(0.01)
        for task in (listening, consuming):
            task.cancel()
        await asyncio.gather(listening, consuming, return_exceptions=True)
        return statuses

    return asyncio.run(asyncio.wait_for(run(), 30)), taken


def test_a_signed_delivery_becomes_an_event(source):
    statuses, taken = received(source, [(BODY, headers())])
    assert statuses == [204]
    assert taken == [{"event": "ticket_created", "ticket_number": "TKT-000001", "priority": "high", "id": "msg_1"}]


# Made when the test runs: one that is old by then would be refused for its age alone.
FORGED = {
    "no headers": lambda: {},
    "another secret": lambda: headers(secret=OTHER),
    "another body": lambda: headers(body=BODY + b" "),
    "old": lambda: headers(age=301),
    "of the future": lambda: headers(age=-310),
    "another id": lambda: headers(**{"webhook-id": "msg_2"}),
    "no id": lambda: headers(**{"webhook-id": None}),
    "a time in words": lambda: headers(**{"webhook-timestamp": "yesterday"}),
    "another time": lambda: headers(**{"webhook-timestamp": str(int(time.time()) + 5)}),
    "an empty signature": lambda: headers(**{"webhook-signature": ""}),
    "a signature of nothing": lambda: headers(**{"webhook-signature": "v1,"}),
    "another version": lambda: headers(**{"webhook-signature": "v2," + headers()["webhook-signature"][3:]}),
    "no letters": lambda: headers(**{"webhook-signature": "v1a,\u00e9"}),
}


@pytest.mark.parametrize("how", FORGED)
def test_what_is_not_signed_for_us_and_now_is_refused(source, how):
    assert received(source, [(BODY, FORGED[how]())]) == ([401], [])


def test_while_a_secret_is_changed_both_are_good(source):
    both = "%s %s" % (headers()["webhook-signature"], headers(secret=OTHER)["webhook-signature"])
    for secrets in ([SECRET], [OTHER], [OTHER, SECRET]):
        moment = headers(name="a", **{"webhook-signature": both})
        one = sign(SECRET, "a", int(moment["webhook-timestamp"]), BODY)
        two = sign(OTHER, "a", int(moment["webhook-timestamp"]), BODY)
        moment["webhook-signature"] = "v1a,x %s %s" % (one, two)
        assert received(source, [(BODY, moment)], secrets=secrets)[0] == [204]
    mixed = [(BODY, headers(name="a")), (BODY, headers(name="b", secret=OTHER))]
    assert received(source, mixed, secrets=[SECRET, OTHER])[0] == [204, 204]


def test_a_repetition_is_known_by_its_id(source):
    deliveries = [(BODY, headers()), (BODY, headers(age=5)), (BODY, headers(name="msg_2"))]
    statuses, taken = received(source, deliveries)
    assert statuses == [204, 204, 204]
    assert [event["id"] for event in taken] == ["msg_1", "msg_2"]


def test_what_could_not_be_handed_over_is_not_confirmed(source):
    class Broken(asyncio.Queue):
        fails = 1

        async def put(self, item):
            if self.fails:
                self.fails -= 1
                raise RuntimeError("no room")
            await super().put(item)

    statuses, taken = received(source, [(BODY, headers()), (BODY, headers())], queue=Broken(1))
    assert statuses == [500, 204]
    assert len(taken) == 1


def test_bodies_of_any_json_are_events_and_others_are_refused(source):
    statuses, taken = received(
        source,
        [
            (b"[1]", headers(b"[1]", name="a")),
            (b"", headers(b"", name="b")),
            (b"{", headers(b"{", name="c")),
            (b"x" * 2_000_000, headers(name="d")),
        ],
    )
    assert statuses == [204, 204, 400, 413]
    assert taken == [{"payload": [1], "id": "a"}, {"id": "b"}]


def test_only_the_chosen_events_come_in(source):
    other = json.dumps({"event": "ticket_closed"}).encode()
    statuses, taken = received(source, [(BODY, headers(name="a")), (other, headers(other, name="b"))], events=["ticket_closed"])
    assert statuses == [204, 204]
    assert [event["id"] for event in taken] == ["b"]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"mode": "push"}, "mode: 'push' is none of"),
        ({"mode": "webhook", "port": 1}, "secrets: give"),
        ({"mode": "webhook", "port": 1, "secrets": ["geheim"]}, "whsec_"),
        ({"mode": "webhook", "port": 1, "secrets": ["whsec_c2hvcnQ="]}, "24 bytes"),
        ({"mode": "webhook", "port": "x", "secrets": [SECRET]}, "port: 'x'"),
        ({"mode": "webhook", "port": 1, "secrets": [SECRET], "state_file": "x"}, "no option state_file"),
        ({"mode": "poll", "state_file": "x", "deskplane_url": "http://x"}, "deskplane_api_key: not set"),
        ({"state_file": "x", "deskplane_url": "http://x", "deskplane_api_key": "k", "intervall": 3}, "no option intervall"),
        ({"state_file": "x", "deskplane_url": "http://x", "deskplane_api_key": "k", "interval": 0}, "interval: 0"),
        ({"state_file": "x", "deskplane_url": "http://x", "deskplane_api_key": "k", "start": "now"}, "start: 'now'"),
        ({"state_file": "x", "deskplane_url": "http://x", "deskplane_api_key": "k", "events": ["opened"]}, "events: opened"),
        ({"state_file": "x", "deskplane_url": "https://x", "deskplane_api_key": "k", "deskplane_ca_path": "/none"}, "ca_path /none"),
    ],
)
def test_a_mistake_in_the_options_is_one_line(source, args, says, monkeypatch):
    for name in ("DESKPLANE_URL", "DESKPLANE_API_KEY", "DESKPLANE_WEBHOOK_SECRETS"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError) as caught:
        asyncio.run(source.main(asyncio.Queue(), args))
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_what_the_guide_and_the_documentation_show_is_accepted(source):
    """Options of printed examples, with a secret where they take one from a variable."""
    blocks = re.findall(r"^```yaml\n(.*?)^```$", (ROOT / "docs/collection/event-driven.md").read_text(), re.MULTILINE | re.DOTALL)
    # What stands alone in the guide is a part of a ruleset.
    parts = [part for block in blocks for part in as_list(yaml.safe_load(block))]
    printed = [entry for part in parts for entry in part["sources"]] + yaml.safe_load(source.EXAMPLES)
    assert len(printed) == 4
    for entry in printed:
        args = json.loads(json.dumps(entry["deskplane.helpdesk.tickets"]).replace("{{ webhook_secret }}", SECRET))
        if args.get("mode") != "webhook":
            args = {"deskplane_url": "https://desk.example.com", "deskplane_api_key": "k", **args}
        assert source.checked(args)["events"] == args.get("events", [])


def as_list(found):
    return found if isinstance(found, list) else [found]
