# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Puts assets on the desk, reads them with Ansible's own commands, and looks at what comes out."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile

import yaml

NORTH, SOUTH = "it-inventory north", "it-inventory south"
ASSETS = [
    {
        "name": "it-web",
        "customer": NORTH,
        "kind": "server",
        "location": "house A, floor 2",
        "attributes": {"os": "debian", "address": "192.0.2.1"},
    },
    {"name": "it-db", "customer": SOUTH, "kind": "server", "attributes": {"os": "rhel", "fqdn": "db.it-inventory.example.com"}},
    {"name": "it printer", "customer": SOUTH, "kind": "printer", "serial": "{{ lookup('ansible.builtin.pipe', 'echo was-run') }}"},
]
# More than a page of the desk's list holds.
MANY = [{"name": "it-many-%03d" % number, "customer": NORTH, "kind": "sensor"} for number in range(230)]


class Trial:
    def __init__(self, config, folder):
        self.desk = yaml.safe_load(pathlib.Path(config).read_text(encoding="utf-8"))
        self.folder = folder

    def run(self, *command, code=0, **variables):
        environ = dict(
            os.environ,
            DESKPLANE_URL=self.desk["deskplane_url"],
            DESKPLANE_API_KEY=self.desk["deskplane_api_key"],
            ANSIBLE_NOCOLOR="1",
            **variables,
        )
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == code, "%s ended with %d instead of %d: %s" % (command, done.returncode, code, said)
        assert "Traceback" not in said and environ["DESKPLANE_API_KEY"] not in said, said
        return done

    def module(self, module, **options):
        self.run("ansible", "localhost", "-m", "deskplane.helpdesk." + module, "-a", json.dumps(options))

    def configure(self, **configuration):
        # From a file, since what a task says is a template.
        source = self.folder / "desk.json"
        source.write_text(json.dumps(configuration), encoding="utf-8")
        self.module("configuration", src=[str(source)])

    def source(self, **changed):
        """The inventory source of this target, with changes."""
        config = yaml.safe_load(pathlib.Path("desk.yml").read_text(encoding="utf-8"))
        path = self.folder / "changed.yml"
        path.write_text(yaml.safe_dump(dict(config, **changed)), encoding="utf-8")
        return str(path)

    def inventory(self, source, *options, **variables):
        said = self.run("ansible-inventory", "-i", source, "--list", *options, **variables).stdout
        return json.loads(said, object_hook=lambda found: found.get("__ansible_unsafe", found))

    def hosts(self, source, *options, **variables):
        return set(self.inventory(source, *options, **variables)["_meta"]["hostvars"])


def all_assets_are_hosts(trial):
    found = trial.inventory("desk.yml")
    many = {asset["name"] for asset in MANY}
    assert set(found["_meta"]["hostvars"]) == {"it-web", "db.it-inventory.example.com", "it printer"} | many
    assert set(found["customer_it_inventory_south"]["hosts"]) == {"db.it-inventory.example.com", "it printer"}
    assert set(found["kind_server"]["hosts"]) == {"it-web", "db.it-inventory.example.com"}
    assert set(found["kind_sensor"]["hosts"]) == many
    assert found["os_debian"]["hosts"] == found["upstairs"]["hosts"] == ["it-web"]
    web = found["_meta"]["hostvars"]["it-web"]
    expected = dict(ASSETS[0], serial="", contacts=[], movements=[], id=web["asset_id"])
    actual = {name[len("asset_") :]: value for name, value in web.items() if name.startswith("asset_")}
    assert actual == expected and web["ansible_host"] == "192.0.2.1", web
    shown = trial.run("ansible-inventory", "-i", "desk.yml", "--graph", "os_rhel").stdout
    assert shown == "@os_rhel:\n  |--db.it-inventory.example.com\n", shown


def plays_run_on_them(trial):
    said = trial.run("ansible-playbook", "-i", "desk.yml", "on_assets.yml").stdout
    assert "was-run" not in said, said


def what_is_chosen_is_there(trial):
    assert trial.hosts(trial.source(kinds=["printer"])) == {"it printer"}
    assert trial.hosts(trial.source(customers=[SOUTH])) == {"db.it-inventory.example.com", "it printer"}
    assert trial.hosts(trial.source(filters=["asset_attributes.os == 'debian'"])) == {"it-web"}


def the_key_decides_what_is_seen(trial):
    username = "it-inventory-agent"
    trial.module("user_credential", username=username, roles=["agent"], memberships=[{"customer": NORTH}])
    try:
        command = [trial.desk["deskplane_command"], "key", "create", "--user", username, "--name", "it-inventory %s" % os.urandom(4).hex()]
        key = trial.run(*command, DESKPLANE_CONFIG=trial.desk["deskplane_config"]).stdout.strip()
        source = trial.source(customers=[], deskplane_api_key=key)
        found = trial.inventory(source)["_meta"]["hostvars"].values()
        assert {one["asset_customer"] for one in found} == {NORTH}
        said = trial.run("ansible-inventory", "-i", trial.source(deskplane_api_key=key), "--list").stderr
        assert "there is no customer '%s'" % SOUTH in " ".join(said.split()), said
    finally:
        trial.module("user_credential", username=username, state="absent")


def the_cache_answers_until_it_is_flushed(trial):
    cache = {"ANSIBLE_INVENTORY_CACHE": "true", "ANSIBLE_INVENTORY_CACHE_PLUGIN": "ansible.builtin.jsonfile"}
    cache["ANSIBLE_INVENTORY_CACHE_CONNECTION"] = str(trial.folder / "cache")
    before = trial.hosts("desk.yml", **cache)
    trial.configure(assets=[{"name": "it-new", "customer": SOUTH}])
    assert trial.hosts("desk.yml", **cache) == before
    assert trial.hosts("desk.yml", "--flush-cache", **cache) == trial.hosts("desk.yml", **cache) == before | {"it-new"}
    stored = "".join(path.read_text(encoding="utf-8") for path in (trial.folder / "cache").iterdir())
    assert "it-new" in stored and trial.desk["deskplane_api_key"] not in stored


def a_source_that_fails_says_why_in_one_line(trial):
    with socket.create_server(("127.0.0.1", 0)) as listening:
        nobody = listening.getsockname()[1]
    wrong = {
        "refused the connection": {"deskplane_url": "http://127.0.0.1:%d" % nobody},
        "does not accept the key": {"deskplane_api_key": "dpk_000000000000_canary"},
        "there is no customer 'it-inventory nowhere'": {"customers": ["it-inventory nowhere"]},
        "there is no option custmers": {"custmers": []},
    }
    for says, changed in wrong.items():
        source = trial.source(**changed)
        said = " ".join(trial.run("ansible-inventory", "-i", source, "--list").stderr.split())
        assert "deskplane.helpdesk.assets: " in said and says in said and "canary" not in said, said
        trial.run("ansible-inventory", "-i", source, "--list", code=1, ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED="true")


def main():
    with tempfile.TemporaryDirectory() as folder:
        trial = Trial(sys.argv[1], pathlib.Path(folder))
        try:
            trial.configure(customers=[{"name": NORTH}, {"name": SOUTH}], assets=ASSETS + MANY)
            for attempt in (
                all_assets_are_hosts,
                plays_run_on_them,
                what_is_chosen_is_there,
                the_key_decides_what_is_seen,
                the_cache_answers_until_it_is_flushed,
                a_source_that_fails_says_why_in_one_line,
            ):
                print(attempt.__name__.replace("_", " "), flush=True)
                attempt(trial)
        finally:
            for name in (NORTH, SOUTH):
                trial.module("customer", name=name, state="absent", cascade=True)


if __name__ == "__main__":
    main()
