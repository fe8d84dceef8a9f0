#!/usr/bin/python
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: api_key
short_description: Manage an API key of an account of a Deskplane desk
version_added: 0.1.0
description:
  - Makes an API key of an account, keeps it as it should be, and replaces it when it is old enough.
  - When a key gets a new secret, the one before works along for O(overlap_minutes), so that whoever uses it always has one
    that works.
  - With O(dest) the key is kept in a file, and no run that breaks off loses it. The secret lies beside the file before the
    desk hears of it, and the next run goes on from there.
author:
  - Deskplane contributors (@deskplane)
extends_documentation_fragment:
  - deskplane.helpdesk.connection
  - deskplane.helpdesk.attributes
options:
  username:
    description:
      - Username of the account whose key it is. It must be there; M(deskplane.helpdesk.user_credential) makes it.
    type: str
    required: true
  name:
    description:
      - Name of the key, which tells it from the account's other keys.
    type: str
    required: true
  scopes:
    description:
      - Permissions that the key is limited to, such as V(tickets:access). Null for all that the account has, which a new
        key has as well.
      - V(tickets:read) and V(tickets:write) stand for those that the public API needs.
      - The order does not matter.
    type: list
    elements: str
  expires_at:
    description:
      - When the key stops working, as an instant with its offset, such as V(2027-01-01T00:00:00Z). Null for never, as a new
        key has it.
    type: str
  allowed_ips:
    description:
      - Addresses and networks that the key works from, such as V(192.0.2.0/24). Null or empty for anywhere, as a new key
        has it.
      - The order does not matter.
    type: list
    elements: str
  dest:
    description:
      - File that holds the key and nothing else, where the task runs, which is the controller unless it is delegated.
      - A new file can be read by its owner only. One that is there keeps its owner and mode.
      - Where the desk has the key and the file does not, the task fails, because nobody can bring it back. Put the file back,
        or use O(regenerate).
      - With O(state=absent) the file is removed, too.
    type: path
  secret:
    description:
      - A secret of your own for the key, from a vault. 43 to 200 of the characters A-Z, a-z, 0-9, C(-) and C(_), with
        32 random bytes or more in them.
      - The same secret again is no change.
    type: str
  rotate_after_days:
    description:
      - Give the key a new secret where it has had its present one for so many days, and only then.
    type: int
  regenerate:
    description:
      - Give the key a new secret now, with every run. For a key that was lost, or with O(overlap_minutes=0) for one that
        leaked.
    type: bool
    default: false
  overlap_minutes:
    description:
      - How many minutes the secret before works along when the key gets a new one. V(0) ends it, and any before it, at once.
    type: int
    default: 60
  state:
    description:
      - Whether the key is there.
    type: str
    choices: [present, absent]
    default: present
notes:
  - Without O(dest) a new key is returned as RV(key) by the run that makes it, and by no other. Register it with C(no_log), and
    store it. If that answer is lost, the key is, too, and O(regenerate) makes another.
  - Needs the permission V(users:manage), and no key is given what the caller may not do.
  - Two runs at once must not use the same O(dest).
seealso:
  - module: deskplane.helpdesk.api_key_info
  - module: deskplane.helpdesk.user_credential
"""

EXAMPLES = r"""
---
# These tasks take the connection from DESKPLANE_URL and DESKPLANE_API_KEY in the environment,
# or from module_defaults for group/deskplane.helpdesk.all.

- name: An account for Prometheus
  deskplane.helpdesk.user_credential:
    username: prometheus
    roles: [metrics]

- name: Its key in a file, with a new secret every quarter and a day for the change
  deskplane.helpdesk.api_key:
    username: prometheus
    name: scrape
    scopes: [metrics:read]
    allowed_ips: [192.0.2.0/24]
    dest: /etc/prometheus/deskplane.key
    rotate_after_days: 90
    overlap_minutes: 1440

- name: End a key that leaked, and have another
  deskplane.helpdesk.api_key:
    username: prometheus
    name: scrape
    dest: /etc/prometheus/deskplane.key
    regenerate: true
    overlap_minutes: 0

- name: A key without a file
  deskplane.helpdesk.api_key:
    username: prometheus
    name: by hand
  register: made
  no_log: true
"""

RETURN = r"""
---
key:
  description: The key. Use C(no_log).
  returned: when it was made or got a new secret, without O(dest)
  type: str
  sample: dpk_...
key_id:
  description: "The key's ID, which is no secret. A key is C(dpk_), its ID, C(_) and its secret."
  returned: when it is there
  type: str
  sample: 970052a2e58a
dest:
  description: The file.
  returned: when there is one
  type: str
  sample: /etc/prometheus/deskplane.key
action:
  description: What was done to the key, or in check mode would be done.
  returned: success
  type: str
  choices:
    - create
    - update
    - none
    - delete
  sample: update
changes:
  description: Each field that differs. The secret is never shown.
  returned: success
  type: list
  elements: dict
  contains:
    field:
      description: Name of the field. V(key) is the key as a whole.
      type: str
    before:
      description: What it was.
      type: raw
    after:
      description: What it is now.
      type: raw
  sample:
    - field: secret
      before: (secret)
      after: (secret)
problem:
  description: The desk's problem document (RFC 9457), with every bad field.
  returned: when the desk refused
  type: dict
"""

from ansible_collections.deskplane.helpdesk.plugins.module_utils.api_keys import ApiKey
from ansible_collections.deskplane.helpdesk.plugins.module_utils.module import run

DECLARATION = ApiKey(
    options={
        "username": {"type": "str", "required": True},
        "name": {"type": "str", "required": True},
        "scopes": {"type": "list", "elements": "str"},
        "expires_at": {"type": "str"},
        "allowed_ips": {"type": "list", "elements": "str"},
        "dest": {"type": "path"},
        "secret": {"type": "str", "no_log": True},
        "rotate_after_days": {"type": "int"},
        "regenerate": {"type": "bool", "default": False},
        "overlap_minutes": {"type": "int", "default": 60},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    },
)


def main():
    run(DECLARATION)


if __name__ == "__main__":
    main()
