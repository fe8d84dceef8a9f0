# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A desk without anything, for tests that are about a whole desk."""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import subprocess
import time


@contextlib.contextmanager
def fresh_desk(command, folder):
    """The environment for a desk that runs as long as it is needed; ``desk.db`` and ``server.log`` are in the folder."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % probe.getsockname()[1]
    server = dict(
        {name: value for name, value in os.environ.items() if not name.startswith("DESKPLANE_")},
        DESKPLANE_DATABASE_URL="sqlite:///%s" % (folder / "desk.db"),
        DESKPLANE_SECRET_KEY=secrets.token_urlsafe(48),
        DESKPLANE_BIND=address,
    )

    def run(*arguments):
        done = subprocess.run([command, *arguments], env=server, check=True, stdout=subprocess.PIPE)
        return done.stdout.decode().strip()

    run("migrate")
    run("user", "create-admin", "admin")
    environ = {"DESKPLANE_URL": "http://" + address, "DESKPLANE_API_KEY": run("key", "create", "--user", "admin", "--name", "guide")}
    with open(folder / "server.log", "wb") as log:
        process = subprocess.Popen([command, "serve", "--workers", "1"], env=server, stdout=log, stderr=log)
    try:
        for _try in range(300):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(address.split(":")[1])), 1):
                break
            time.sleep(0.1)
        yield environ
    finally:
        process.terminate()
        process.wait()
