# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Sends secrets to a desk of its own in every way there is, and looks for them in all that can be read afterwards."""

from __future__ import annotations

import base64
import json
import os
import pathlib
import re
import secrets
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

import yaml

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "setup_desk" / "files"))

from fresh_desk import fresh_desk  # noqa: E402

READ = (
    *("configuration", "configuration?full=true", "configuration/drift", "configuration/history?limit=200"),
    *("departments", "users", "settings", "webhooks"),
)


class Canaries(dict):
    """A secret for each place that asks for one; its text is in no file of the repository."""

    def __missing__(self, name):
        self[name] = "canary-%s-%s" % (name.replace("_", "-"), secrets.token_hex(8))
        return self[name]

    def in_text(self, text):
        """The names of those that stand in a text, plainly, in base64, or in part."""
        found = [name for name, value in self.items() if value[-16:] in text]
        return found + [name for name, value in self.items() if base64.b64encode(value.encode()).decode()[:-4] in text]


def write_files(folder, canaries):
    department = {"name": "front-desk", "imap": {"password": canaries["file"]}, "smtp": {"password": {"$secret": "front-desk/smtp"}}}
    user = {"username": "mia", "password": canaries["file_user"]}
    setting = {"key": "ai.api_key", "secret": canaries["file_setting"]}
    files = {
        "desk/departments.yml": {"departments": [department]},
        "desk/people.json": {"users": [user], "settings": [setting]},
        "overlay.yml": {"departments": [{"name": "front-desk", "imap": {"password": canaries["overlay"]}}]},
        "role.yml": {"departments": [{"name": "role", "imap": {"password": {"$secret": "role/imap"}}, "smtp": {"password": {"$secret": "role/smtp"}}}]},
        "elsewhere.yml": {"departments": [{"name": "elsewhere", "imap": {"password": {"$secret": "elsewhere/imap"}}}]},
        "wrong/departments.yml": {
            "departments": [
                {"name": "a", "imap": {"password": [canaries["wrong_file"]], "port": 0}, "smtp": {"password": {"$secret": "front-desk/smtp"}}},
                {"name": "b", "imap": {"password": canaries["wrong_long"] * 1000}},
                {"name": "c", "imap": {"password": {"text": canaries["wrong_map"]}}, "pasword": canaries["wrong_beside"]},
                {"name": "d", "imap": {"password": {"$secret": [canaries["wrong_reference"]]}}},
                {"name": "front-desk", "workflow": "itli", "imap": {"password": canaries["wrong_twice"]}},
            ],
            "users": [{"username": "no user", "password": canaries["wrong_password"]}],
            "settings": [{"key": "branding.company_name", "secret": canaries["wrong_secret"]}],
            "webhooks": [{"name": "x", "secret": canaries["wrong_signature"]}],
        },
        "secrets.yml": {"front-desk/smtp": canaries["command"]},
        "vault.yml": {"canaries": canaries},
    }
    # What the playbooks ask for.
    for playbook in ("good.yml", "bad.yml"):
        for name in re.findall(r"canaries\.(\w+)", (HERE / playbook).read_text(encoding="utf-8")):
            canaries[name]
    for name, content in files.items():
        folder.joinpath(name).parent.mkdir(parents=True, exist_ok=True)
        folder.joinpath(name).write_text(json.dumps(content), encoding="utf-8")
    # What YAML misreads is not repeated either, wherever it stands.
    misread = "departments:\n  - name: e\n    imap: {password: 0%s}\nusers:\n  - %s\n" % ("7" * 16, canaries["wrong_line"])
    folder.joinpath("wrong/misread.yml").write_text(misread, encoding="utf-8")
    canaries["misread"] = "7" * 16


class Everything:
    """What was said, by its source."""

    def __init__(self, folder, environ, command):
        self.folder, self.environ, self.command = folder, environ, command
        self.said = {}

    def run(self, *command, codes=(0,)):
        done = subprocess.run(command, cwd=self.folder, env=self.environ, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert done.returncode in codes, "%s ended with %d: %s" % (" ".join(command), done.returncode, said[-4000:])
        self.said[" ".join(command)] = said
        return said

    def play(self, playbook):
        inventory = HERE.parent / "manners" / "inventory.ini"
        return self.run("ansible-playbook", "-vvv", "--diff", "-i", str(inventory), "-e", "@vault.yml", str(HERE / playbook))

    def cli(self, *arguments, codes=(0,)):
        return self.run(self.command, "configuration", *arguments, codes=codes)

    def read(self, path):
        request = urllib.request.Request(
            "%s/api/v1/%s" % (self.environ["DESKPLANE_URL"], path),
            headers={"Authorization": "Bearer " + self.environ["DESKPLANE_API_KEY"]},
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=30) as answer:
            self.said["GET " + path] = answer.read().decode()


def use_all(everything):
    for _turn in "first", "again":
        good = everything.play("good.yml")
    bad = everything.play("bad.yml")
    # Else nothing was tried.
    assert '"(secret)"' in good and "AnsiballZ_department.py" in good
    assert re.search(r"ok=(\d+) .* failed=0 .* ignored=\1\b", bad), bad[-2000:]
    given = ("--manager", "it:secrets", "--secrets", "secrets.yml")
    for how in (), ("--json",):
        everything.cli("plan", "-f", "desk", *given, *how)
        assert "imap.password" in everything.cli("drift", *how)
        everything.cli("export", *how)
        everything.cli("apply", "-f", "wrong", "--yes", *given, *how, codes=(1,))
        everything.cli("apply", "-f", "desk", "--manager", "it:another", "--yes", *how, codes=(1,))
        everything.cli("plan", "-f", "desk", "--secrets", "vault.yml", *how, codes=(1,))
    everything.cli("plan", "-f", "elsewhere.yml", "--manager", "it:secrets", "--secrets", "secrets.yml", "--out", "plan.json")
    everything.cli("apply", "plan.json")
    everything.cli("apply", "-f", "desk", "--yes", *given)
    for path in READ:
        everything.read(path)
    for path in ("plan.json", *everything.folder.glob("export/*")):
        everything.said[str(path)] = everything.folder.joinpath(path).read_text(encoding="utf-8")


def main():
    config = yaml.safe_load(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    canaries = Canaries()
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryDirectory() as home:
        folder, home = pathlib.Path(work), pathlib.Path(home)
        write_files(folder, canaries)
        with fresh_desk(config["deskplane_command"], home) as desk:
            environ = dict(
                {name: value for name, value in os.environ.items() if not name.startswith("DESKPLANE_")},
                ANSIBLE_NOCOLOR="1",
                ANSIBLE_CONNECTION_PLUGINS=str(HERE.parent / "manners" / "connection_plugins"),
                ELSEWHERE_LOG=str(home / "elsewhere.log"),
                MAIL_PASSWORD=canaries["environment"],
                **desk,
            )
            # Playbooks look for files beside themselves, where these are not.
            for name in ("good.yml", "bad.yml"):
                folder.joinpath(name).write_bytes((HERE / name).read_bytes())
            everything = Everything(folder, environ, config["deskplane_command"])
            use_all(everything)
            canaries["key"] = desk["DESKPLANE_API_KEY"]
        for file in sorted(home.iterdir()):
            everything.said[file.name] = file.read_bytes().decode("latin-1")
    assert {"server.log", "desk.db", "elsewhere.log"} <= set(everything.said), sorted(everything.said)
    leaks = ["%s in: %s" % (", ".join(names), source) for source, text in everything.said.items() if (names := canaries.in_text(text))]
    print("%d secrets were looked for in %d places" % (len(canaries), len(everything.said)))
    if leaks:
        sys.exit("secrets can be read:\n" + "\n".join(leaks))


if __name__ == "__main__":
    main()
