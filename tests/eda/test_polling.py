# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Polling a real desk: nothing is lost, whatever is killed when, and nothing comes twice where nothing is."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time

import pytest

CONSUMER = pathlib.Path(__file__).with_name("consumer.py")


def options(desk, state):
    return {"deskplane_url": desk.url, "deskplane_api_key": desk.key, "state_file": str(state), "interval": 0.1}


class Consumer:
    """The source in a process of its own, that writes down each event which it was given."""

    def __init__(self, desk, state, **args):
        self.log = state.with_suffix(".taken")
        self.state = state
        self.args = {**options(desk, state), **args}
        self.process = None

    def start(self):
        self.process = subprocess.Popen([sys.executable, str(CONSUMER), str(self.log)], stdin=subprocess.PIPE)
        self.process.stdin.write(json.dumps(self.args).encode())
        self.process.stdin.close()

    def end(self, sign=signal.SIGKILL):
        self.process.send_signal(sign)
        self.process.wait(20)

    def taken(self):
        # a line without its end is still being written
        lines = self.log.read_text().splitlines(keepends=True) if self.log.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def wait_for(self, numbers, seconds=60):
        """Wait until all of these tickets were told of; answer how often each was."""
        until = time.monotonic() + seconds
        while True:
            found = collections.Counter(event["ticket_number"] for event in self.taken())
            if set(numbers) <= set(found) or time.monotonic() > until:
                assert set(numbers) <= set(found), "lost: %s" % (set(numbers) - set(found))
                return found
            time.sleep(0.05)


@pytest.fixture
def consumer(desk, state):
    found = Consumer(desk, state)
    found.start()
    yield found
    if found.process.poll() is None:
        found.end()


def test_each_event_comes_once_and_in_order(desk, consumer):
    numbers = [desk.ticket("t%d" % index) for index in range(20)]
    found = consumer.wait_for(numbers)
    time.sleep(0.5)
    assert set(found.values()) == {1}
    assert [event["ticket_number"] for event in consumer.taken()] == numbers
    assert consumer.taken()[0]["event"] == "ticket_created" and consumer.taken()[0]["subject"] == "t0"


def test_restarts_of_the_source_lose_and_double_nothing(desk, consumer):
    numbers = []
    for round_ in range(3):
        numbers += [desk.ticket("%d %d" % (round_, index)) for index in range(5)]
        consumer.wait_for(numbers)
        consumer.end(signal.SIGTERM)
        numbers.append(desk.ticket("while nobody listens %d" % round_))
        consumer.start()
    found = consumer.wait_for(numbers)
    time.sleep(0.5)
    assert set(found.values()) == {1}, found


@contextlib.contextmanager
def tickets_that_come(desk):
    """Open tickets as long as this is entered, and add the number of each to the list."""
    numbers, stop = [], threading.Event()

    def write():
        while not stop.is_set():
            numbers.append(desk.ticket("t"))

    writing = threading.Thread(target=write)
    writing.start()
    try:
        yield numbers
    finally:
        stop.set()
        writing.join()


def test_a_desk_that_is_killed_while_it_is_read_loses_and_doubles_nothing(desk, consumer):
    with tickets_that_come(desk) as numbers:
        for _kill in range(2):
            before = len(numbers)
            while len(numbers) < before + 5:
                time.sleep(0.02)
            desk.die()
            desk.again()
    found = consumer.wait_for(numbers)
    # A ticket whose answer was lost in the kill was opened once more: each of the two is told of once.
    assert len(numbers) > 10 and set(found.values()) == {1}, found


def test_a_source_that_is_killed_loses_nothing(desk, consumer):
    """Killed -9 at any moment, again and again, while tickets come: what comes twice is at most one event a kill."""
    kills = 8
    dice = random.Random(7)
    with tickets_that_come(desk) as numbers:
        for _kill in range(kills):
            time.sleep(0.4 + dice.random() * 0.5)
            consumer.end()
            consumer.start()
    found = consumer.wait_for(numbers)
    twice = [number for number, times in found.items() if times > 1]
    assert len(numbers) > 20 and len(twice) <= kills, (len(numbers), twice)


def test_it_begins_with_what_comes_then_unless_told_otherwise(desk, tmp_path):
    old = desk.ticket("old")
    desk.now()
    first = Consumer(desk, tmp_path / "first.json")
    first.start()
    until = time.monotonic() + 20
    while not first.state.exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    new = desk.ticket("new")
    assert set(first.wait_for([new])) == {new}
    first.end()
    other = Consumer(desk, tmp_path / "other.json", start="oldest")
    other.start()
    other.wait_for([old, new])
    other.end()


def test_a_desk_that_was_restored_from_a_backup_is_read_from_the_time_of_the_last_event(desk, consumer, tmp_path):
    numbers = [desk.ticket("before")]
    consumer.wait_for(numbers)
    backup = tmp_path / "backup.db"
    with sqlite3.connect(desk.database) as now, sqlite3.connect(backup) as then:
        now.backup(then)
    consumer.wait_for([desk.ticket("lost with the restoration")])
    consumer.end(signal.SIGTERM)
    desk.stop()
    for extra in ("-wal", "-shm"):
        pathlib.Path(str(desk.database) + extra).unlink(missing_ok=True)
    shutil.copy(backup, desk.database)
    desk.open()
    desk.ticket("first after the restoration")
    desk.ticket("second after the restoration")
    time.sleep(2)
    consumer.start()
    until = time.monotonic() + 30
    while [event["subject"] for event in consumer.taken()][-2:] != ["first after the restoration", "second after the restoration"]:
        assert time.monotonic() < until, consumer.taken()
        time.sleep(0.05)


def test_a_state_file_belongs_to_one_source(desk, consumer, source, tmp_path):
    consumer.wait_for([desk.ticket("t")])
    with pytest.raises(ValueError, match="in use by another source"):
        asyncio.run(source.main(asyncio.Queue(), consumer.args))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "null", '"x"'])
def test_a_state_file_that_says_nothing_is_not_taken_for_a_new_one(source, tmp_path, text):
    (tmp_path / "state.json").write_text(text)
    with pytest.raises(ValueError, match="state.json does not say where"):
        source.State(str(tmp_path / "state.json"))


def test_where_it_stands_is_whole_at_any_time(source, tmp_path, monkeypatch):
    """A crash while the file is written leaves the one before it."""
    state = source.State(str(tmp_path / "state.json"))
    state.save("1-aaaaaaaaaaaa", "2026-03-02T09:00:00Z")

    def crash(*_arguments):
        raise OSError("the power failed")

    for broken in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, broken, crash)
            with pytest.raises(OSError):
                state.save("2-bbbbbbbbbbbb")
        assert json.loads((tmp_path / "state.json").read_text())["cursor"] == "1-aaaaaaaaaaaa"
    state.save("3-cccccccccccc")
    assert json.loads((tmp_path / "state.json").read_text()) == {"cursor": "3-cccccccccccc", "timestamp": "2026-03-02T09:00:00Z"}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"deskplane_api_key": "dpk_000000000000_wrong"}, "HTTP 401"),
        ({"deskplane_url": "{url}/nowhere"}, "HTTP 404"),
    ],
)
def test_a_desk_that_refuses_from_the_start_ends_the_source_with_a_reason(desk, source, tmp_path, changed, says):
    args = options(desk, tmp_path / "state.json")
    args.update({name: value.format(url=desk.url) for name, value in changed.items()})
    with pytest.raises(source.Refused, match=says):
        asyncio.run(asyncio.wait_for(source.main(asyncio.Queue(), args), 20))


def test_with_feedback_an_event_counts_when_the_engine_says_so(desk, source, state):
    """The engine took the first event from the queue, and died before it had stored it."""
    first, second = desk.ticket("a"), desk.ticket("b")
    args = {**options(desk, state), "feedback": True}

    async def run(confirmed):
        queue, feedback, got = asyncio.Queue(1), asyncio.Queue(1), []
        task = asyncio.create_task(source.main(queue, {**args, "eda_feedback_queue": feedback}))
        while len(got) <= confirmed:
            got.append((await asyncio.wait_for(queue.get(), 20))["ticket_number"])
            if len(got) <= confirmed:
                await feedback.put(got[-1])
        await asyncio.sleep(0.3)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return got

    assert asyncio.run(run(0)) == [first]
    assert asyncio.run(run(1)) == [first, second]
    assert asyncio.run(run(0)) == [second]


def test_an_event_that_was_taken_as_the_source_was_ended_does_not_come_again(desk, source, state):
    """It ends between two looks at whether its event was taken, which it was: that must be written down."""
    number = desk.ticket("a")

    async def run():
        queue = asyncio.Queue(1)
        task = asyncio.create_task(source.main(queue, options(desk, state)))
        while queue.empty():
            await asyncio.sleep(0.01)
        taken = queue.get_nowait()["ticket_number"]
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert task.cancelled()
        return taken

    before = json.loads(state.read_text())
    assert asyncio.run(asyncio.wait_for(run(), 20)) == number
    assert json.loads(state.read_text()) != before
