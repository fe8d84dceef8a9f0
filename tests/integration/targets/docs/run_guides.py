# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs what the guides print: playbooks and shell commands, in files where their first line names one.

Right below commands, a block of text is what they say, to the letter, and one of console what they show, in short.

A guide with shell commands is about a whole desk, and gets one of its own, with nothing in it.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "setup_desk" / "files"))

from fresh_desk import fresh_desk  # noqa: E402

BLOCK = re.compile(r"^```(yaml|sh|text|console)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"---\n# ([\w./-]+\.yml)\n")


# What differs from run to run.
MOMENT = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


def lines_of(text):
    """The lines as they may be compared: how wide a table is does not matter."""
    return [" ".join(MOMENT.sub("<moment>", line).split()) for line in text.replace("\u2500", "").splitlines() if line.strip()]


def require_shown(wanted, said):
    """What a guide prints below a command must be what the command prints, line by line; a line of \u2026 stands for some."""
    lines, some = iter(lines_of(said)), False
    for line in lines_of(wanted):
        if line == "\u2026":
            some = True
            continue
        found = next(lines, None)
        while some and found not in (line, None):
            found = next(lines, None)
        if found != line:
            sys.exit("the guide shows %r, and the command printed %r of:\n%s" % (line, found, said))
        some = False


def run_guide(blocks, folder, environ):
    said = None
    for number, (language, text) in enumerate(blocks):
        named = FILE.match(text)
        if language == "sh":
            command = ["bash", "-eu", "-c", text]
            done = subprocess.run(command, env=environ, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False)
            said = (done.stdout, done.stdout + done.stderr)
            print(said[1], end="", flush=True)
            if done.returncode:
                sys.exit("the commands ended with %d:\n%s" % (done.returncode, text))
            continue
        if language == "text":
            if said is None or said[0] != text:
                sys.exit("the guide prints:\n%s\nand the command before it says:\n%s" % (text, said))
        elif language == "console":
            if said is not None:
                require_shown(text, said[1])
        elif named:
            path = folder / named.group(1)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        elif text.startswith("---\n"):
            path = folder / ("playbook-%d.yml" % number)
            path.write_text(text, encoding="utf-8")
            subprocess.run(["ansible-playbook", path.name], check=True, env=environ, cwd=folder)
        said = None


def guides():
    """All guides: a copy of the collection, such as ansible-test runs this in, has only those that it was told of."""
    listed = subprocess.run(
        ["ansible-galaxy", "collection", "list", "deskplane.helpdesk", "--format", "json"], check=True, stdout=subprocess.PIPE
    )
    (folder,) = json.loads(listed.stdout)
    return sorted(pathlib.Path(folder, "deskplane", "helpdesk", "docs", "collection").glob("*.md"))


def main():
    config = pathlib.Path(sys.argv[1])
    desk = yaml.safe_load(config.read_text(encoding="utf-8"))
    author = {"GIT_%s_%s" % pair: "desk@example.com" for pair in (("AUTHOR", "NAME"), ("AUTHOR", "EMAIL"), ("COMMITTER", "NAME"), ("COMMITTER", "EMAIL"))}
    shared = {"DESKPLANE_URL": desk["deskplane_url"], "DESKPLANE_API_KEY": desk["deskplane_api_key"]}
    # The command of the server's environment, but not its ansible and python, which are those of this test.
    found = 0
    for guide in guides():
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
