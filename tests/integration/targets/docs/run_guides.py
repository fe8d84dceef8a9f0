# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs what the guides print: playbooks and shell commands, in files where their first line names one.

A block of text is what the command before it says, to the letter.
A guide with shell commands is about a whole desk, and gets one of its own, with nothing in it.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
import secrets
import socket
import subprocess
import sys
import tempfile
import time

import yaml

BLOCK = re.compile(r"^```(yaml|sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"---\n# ([\w./-]+\.yml)\n")


@contextlib.contextmanager
def fresh_desk(command, folder):
    """The environment for a desk without anything, which runs as long as it is needed."""
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


def run_guide(blocks, folder, environ):
    said = None
    for number, (language, text) in enumerate(blocks):
        named = FILE.match(text)
        if language == "sh":
            done = subprocess.run(["bash", "-eu", "-c", text], check=True, env=environ, cwd=folder, stdout=subprocess.PIPE)
            said = done.stdout.decode()
            print(said, flush=True)
        elif language == "text":
            if said != text:
                sys.exit("the guide prints:\n%s\nand the command before it says:\n%s" % (text, said))
        elif named:
            path = folder / named.group(1)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif text.startswith("---\n"):
            path = folder / ("playbook-%d.yml" % number)
            path.write_text(text, encoding="utf-8")
            subprocess.run(["ansible-playbook", path.name], check=True, env=environ, cwd=folder)


def main():
    guides, config = (pathlib.Path(argument) for argument in sys.argv[1:])
    desk = yaml.safe_load(config.read_text(encoding="utf-8"))
    author = {"GIT_%s_%s" % pair: "desk@example.com" for pair in (("AUTHOR", "NAME"), ("AUTHOR", "EMAIL"), ("COMMITTER", "NAME"), ("COMMITTER", "EMAIL"))}
    shared = {"DESKPLANE_URL": desk["deskplane_url"], "DESKPLANE_API_KEY": desk["deskplane_api_key"]}
    # The command of the server's environment, but not its ansible and python, which are those of this test.
    found = 0
    for guide in sorted(guides.glob("*.md")):
        blocks = BLOCK.findall(guide.read_text(encoding="utf-8"))
        found += len(blocks)
        print("== %s" % guide.name, flush=True)
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
            environ = dict(os.environ, **shared, **author)
            if any(language == "sh" for language, _text in blocks):
                commands = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
                commands.joinpath("deskplane").symlink_to(desk["deskplane_command"])
                environ["PATH"] = "%s:%s" % (commands, environ["PATH"])
                environ.update(stack.enter_context(fresh_desk(desk["deskplane_command"], commands)))
            run_guide(blocks, folder, environ)
    if not found:
        sys.exit("the guides hold nothing to run")


if __name__ == "__main__":
    main()
