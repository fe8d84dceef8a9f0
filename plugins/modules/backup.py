#!/usr/bin/python
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: backup
short_description: Download a backup of a whole Deskplane desk
version_added: 0.1.0
description:
  - Has a desk make a backup of all that it holds, as it is at one moment, and writes it to a file. People go on working meanwhile.
  - The file arrives whole and is compared with the desk's own checksum, or there is none. Only its owner can read it.
  - C(deskplane verify) says whether such a file is whole, and C(deskplane restore) makes the desk of it again.
author:
  - Deskplane contributors (@deskplane)
extends_documentation_fragment:
  - deskplane.helpdesk.connection
  - deskplane.helpdesk.attributes
attributes:
  check_mode:
    support: full
    details: Makes no backup, and looks only whether one could be written.
  diff_mode:
    support: none
    details: A backup has nothing to compare with.
options:
  dest:
    description:
      - Where to write the backup, where the task runs, which is the controller unless it is delegated.
      - In a directory that is there, the file is named after the time, such as C(deskplane-20261121T023000Z.tar.gz). A file
        that is there is replaced.
    type: path
    required: true
  deskplane_timeout:
    description:
      - Seconds to wait for a connection, and for each part of an answer. The desk makes the file whole before it sends any of it.
      - If not set, the value of the environment variable E(DESKPLANE_TIMEOUT) is used.
    type: float
    default: 600
notes:
  - Needs a key with the permission V(backup:create). The role V(backup) has that alone.
  - Secrets in the file are sealed with the server's secret key, which is not in it. Everything else can be read by whoever
    has the file.
seealso:
  - module: deskplane.helpdesk.server_info
"""

EXAMPLES = r"""
---
- name: Keep a backup before an upgrade
  deskplane.helpdesk.backup:
    deskplane_url: https://desk.example.com
    deskplane_api_key: "{{ vault_deskplane_backup_key }}"
    dest: /var/backups/deskplane
  register: backup
"""

RETURN = r"""
---
dest:
  description: The file.
  returned: success
  type: str
  sample: /var/backups/deskplane/deskplane-20261121T023000Z.tar.gz
size:
  description: How many bytes it has.
  returned: when it was made
  type: int
  sample: 1782596
sha256:
  description: Its SHA-256.
  returned: when it was made
  type: str
  sample: 427f93cafd9cc19be6eec03e590c9c6cdf9f688a5eaf21fa8d72351e2b15fd05
problem:
  description: The desk's problem document (RFC 9457).
  returned: when the desk refused
  type: dict
"""

from ansible_collections.deskplane.helpdesk.plugins.module_utils.backup import Backup
from ansible_collections.deskplane.helpdesk.plugins.module_utils.module import run

DECLARATION = Backup(options={"dest": {"type": "path", "required": True}})


def main():
    run(DECLARATION)


if __name__ == "__main__":
    main()
