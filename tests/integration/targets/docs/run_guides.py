# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import sys
import tempfile

import yaml


def main():
    guides, config = (pathlib.Path(argument) for argument in sys.argv[1:])
    desk = yaml.safe_load(config.read_text(encoding="utf-8"))
    environ = dict(os.environ, DESKPLANE_URL=desk["deskplane_url"], DESKPLANE_API_KEY=desk["deskplane_api_key"])
    found = 0
    for guide in sorted(guides.glob("*.md")):
        for playbook in re.findall(r"^```yaml\n(---\n.*?)^```$", guide.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            found += 1
            with tempfile.NamedTemporaryFile("w", suffix=".yml") as file:
                file.write(playbook)
                file.flush()
                subprocess.run(["ansible-playbook", file.name], check=True, env=environ)
    if not found:
        sys.exit("the guides hold no playbook")


if __name__ == "__main__":
    main()
