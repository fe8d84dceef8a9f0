#!/usr/bin/python
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: server_info
short_description: Read the version and the readiness of a Deskplane server
version_added: 0.1.0
description:
  - Reads which version a server is, and whether its database is reached and migrated.
  - Can wait until that is so, after an installation, an upgrade or a restart. While it waits, a server that cannot be
    reached yet and a proxy that has nothing behind it yet are no errors.
author:
  - Deskplane contributors (@deskplane)
extends_documentation_fragment:
  - deskplane.helpdesk.connection
  - deskplane.helpdesk.attributes.info
options:
  deskplane_api_key:
    description:
      - Not needed, since these questions are answered without a key.
      - If not set, the value of the environment variable E(DESKPLANE_API_KEY) is used.
    type: str
    required: false
  wait_for_ready:
    description:
      - Wait until the server is ready, and fail where it is not within O(wait_timeout).
    type: bool
    default: false
  wait_timeout:
    description:
      - How many seconds to wait at most.
    type: int
    default: 60
seealso:
  - module: deskplane.helpdesk.setting_info
"""

EXAMPLES = r"""
---
- name: Wait for a server that was just started
  deskplane.helpdesk.server_info:
    deskplane_url: https://desk.example.com
    wait_for_ready: true
    wait_timeout: 120

- name: Read the version
  deskplane.helpdesk.server_info:
    deskplane_url: https://desk.example.com
  register: server
"""

RETURN = r"""
---
ready:
  description: Whether the server can serve requests.
  returned: success
  type: bool
  sample: true
reason:
  description: Why it cannot.
  returned: when it is not ready
  type: str
  sample: the database is at migration 0001, this version needs 0002
version:
  description: The server's version.
  returned: when it is ready
  type: str
  sample: 0.1.0
api:
  description: The version of its management API.
  returned: when it is ready
  type: str
  sample: v1
readiness:
  description: What the server says of its parts.
  returned: when it is ready
  type: dict
  contains:
    database:
      description: State of the database.
      type: str
      sample: ok
    migrations:
      description: The migration that the database is at.
      type: str
      sample: "0002"
    workers:
      description: How many workers were seen lately.
      type: int
      sample: 1
    outbox:
      description: How many messages wait to be sent.
      type: int
      sample: 0
    outbox_failing:
      description: How many of them failed and are tried again.
      type: int
      sample: 0
    outbox_oldest_seconds:
      description: How long the oldest waits that should be done by now.
      type: float
      sample: 0.0
    warnings:
      description: What does not keep requests from being served, but ought to be looked at.
      type: list
      elements: str
      sample: []
problem:
  description: The desk's problem document (RFC 9457).
  returned: when it was waited for in vain
  type: dict
"""

from ansible_collections.deskplane.helpdesk.plugins.module_utils.module import run
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import WAIT_FOR_READY_S, Server

DECLARATION = Server(
    options={
        "wait_for_ready": {"type": "bool", "default": False},
        "wait_timeout": {"type": "int", "default": WAIT_FOR_READY_S},
    }
)


def main():
    run(DECLARATION)


if __name__ == "__main__":
    main()
