# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs the event source with the options that come on standard input, and writes each event it hands over to a file."""

from __future__ import annotations

import asyncio
import json
import signal
import sys

from conftest import load


async def run(path, args):
    # As ansible-rulebook's: room for one event.
    queue = asyncio.Queue(1)
    task = asyncio.create_task(load().main(queue, args))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)

    async def consume():
        with open(path, "a+", encoding="utf-8") as file:
            file.seek(0)
            text = file.read()
            # what was killed in the midst of a line did not take that event
            file.truncate(len(text[: text.rfind("\n") + 1].encode()))
            while True:
                event = await queue.get()
                file.write(json.dumps(event) + "\n")
                file.flush()

    consuming = asyncio.create_task(consume())
    try:
        await task
    except asyncio.CancelledError:
        pass
    finally:
        consuming.cancel()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], json.load(sys.stdin)))
