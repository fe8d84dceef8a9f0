#!/usr/bin/python
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: api_key_info
short_description: Read which API keys there are on a Deskplane desk
version_added: 0.1.0
description:
  - Reads whose API keys there are, what they may do, and when they were last used. The keys themselves are shown to nobody.
author:
  - Deskplane contributors (@deskplane)
extends_documentation_fragment:
  - deskplane.helpdesk.connection
  - deskplane.helpdesk.attributes.info
options:
  user:
    description:
      - Only keys of the account with this username.
    type: str
  limit:
    description:
      - At most this many. All, if not given.
    type: int
seealso:
  - module: deskplane.helpdesk.api_key
"""

EXAMPLES = r"""
---
# These tasks take the connection from DESKPLANE_URL and DESKPLANE_API_KEY in the environment,
# or from module_defaults for group/deskplane.helpdesk.all.

- name: Read the keys of one account
  deskplane.helpdesk.api_key_info:
    user: prometheus
  register: found

- name: Name those that nobody ever used
  ansible.builtin.debug:
    msg: "{{ found.api_keys | selectattr('last_used_at', 'none') | map(attribute='name') }}"
"""

RETURN = r"""
---
api_keys:
  description:
    - The keys that were found, by account and name.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: "Its ID, with which the key begins: C(dpk_<id>_<secret>)."
      type: str
      sample: 970052a2e58a
    user:
      description: Username of the account.
      type: str
      sample: prometheus
    name:
      description: Its name.
      type: str
      sample: scrape
    scopes:
      description: Permissions that it is limited to; null for all of the account's.
      type: list
      elements: str
      sample: [metrics:read]
    expires_at:
      description: When it stops working; null for never.
      type: str
    allowed_ips:
      description: Addresses and networks that it works from; empty for anywhere.
      type: list
      elements: str
    created_at:
      description: When it was made.
      type: str
      sample: "2026-03-01T08:30:00Z"
    last_used_at:
      description: When it was last used, to about a minute; null for never.
      type: str
    secret_set_at:
      description: When it got its present secret; null where that is its first one.
      type: str
    previous_until:
      description: Until when the secret before works along, or worked; null for none.
      type: str
problem:
  description: The desk's problem document (RFC 9457).
  returned: when the desk refused
  type: dict
"""

from ansible_collections.deskplane.helpdesk.plugins.module_utils.module import run
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import Listing

DECLARATION = Listing(
    kind="api_key",
    plural="api_keys",
    path="api-keys",
    options={"user": {"type": "str"}, "limit": {"type": "int"}},
)


def main():
    run(DECLARATION)


if __name__ == "__main__":
    main()
