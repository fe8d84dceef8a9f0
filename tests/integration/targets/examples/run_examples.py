# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml

COLLECTION = "deskplane.helpdesk"
FILES = {
    "deployment.log": "It failed.\n",
    "desk/labels.yml": "labels: [{name: it-example, color: '#1f6feb'}]\n",
    "environments/production/labels.yml": "labels: [{name: it-example, color: '#d73a49'}]\n",
}


def document(*arguments):
    done = subprocess.run(["ansible-doc", "--json", *arguments], check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout)


def main():
    desk = yaml.safe_load(pathlib.Path(sys.argv[1]).read_text(encoding="utf-8"))
    modules = sorted(document("--list", COLLECTION))
    text = "".join(entry["examples"] for entry in document(*modules).values())
    tasks = [task for part in text.split("---\n") for task in yaml.safe_load(part) or ()]
    named = {module for task in tasks for module in task if module in modules}
    if set(modules) != named or not modules:
        sys.exit("modules without an example: %s" % ", ".join(sorted(set(modules) - named)))
    for task in tasks:
        for module in named & set(task):
            if "deskplane_url" in task[module]:
                task[module]["deskplane_url"] = desk["deskplane_url"]
    # Where an example takes a value from a vault, any will do that is long enough.
    values = {name: "correct-horse-battery-staple" for name in re.findall(r"\bvault_\w+", text)}
    values["vault_deskplane_api_key"] = desk["deskplane_api_key"]
    # A ticket's customer is looked up in check mode too.
    customers = {task[m]["customer"] for task in tasks for m in task if m.endswith(".ticket") and "customer" in task[m]}
    make = [{COLLECTION + ".customer": {"name": name}, "check_mode": False} for name in sorted(customers)]
    environ = dict(os.environ, DESKPLANE_URL=desk["deskplane_url"], DESKPLANE_API_KEY=desk["deskplane_api_key"])
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        # What examples find beside their playbook.
        for path, text in FILES.items():
            folder.joinpath(path).parent.mkdir(parents=True, exist_ok=True)
            folder.joinpath(path).write_text(text, encoding="utf-8")
        play = {"hosts": "localhost", "gather_facts": False, "vars": values, "tasks": make + tasks}
        folder.joinpath("examples.yml").write_text(json.dumps([play]), encoding="utf-8")
        subprocess.run(["ansible-playbook", "--check", str(folder / "examples.yml")], check=True, env=environ)


if __name__ == "__main__":
    main()
