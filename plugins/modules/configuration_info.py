#!/usr/bin/python
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: configuration_info
short_description: Export a whole Deskplane desk, or find what was changed by hand
version_added: 0.1.0
description:
  - Reads the configuration of a desk as a declaration that M(deskplane.helpdesk.configuration) takes, and writes it to files
    if asked to. Applied to the same desk it changes nothing; applied to an empty one it makes the same desk.
  - With O(drift=true), reads instead what differs now from what was last declared, with who changed it and when.
  - Secrets are never read. References stand in their places.
  - Needs the permission C(configuration:plan).
author:
  - Deskplane contributors (@deskplane)
extends_documentation_fragment:
  - deskplane.helpdesk.connection
  - deskplane.helpdesk.attributes.info
attributes:
  check_mode:
    support: full
    details: Writes no file.
  diff_mode:
    support: full
    details: Shows what differs in the files that O(dest) names.
options:
  manager:
    description:
      - Only what this manager owns or, with O(drift=true), declared.
      - If not set, O(deskplane_manager) is used; without either, it is everything.
    type: str
  full:
    description:
      - Read the fields that have their default, too.
    type: bool
    default: false
  drift:
    description:
      - Read what differs from what was last declared, in place of the configuration.
    type: bool
    default: false
  dest:
    description:
      - Where to write the configuration, where the task runs, which is the controller unless it is delegated.
      - One that ends in C(.yml), C(.yaml) or C(.json) is a file for all of it. Another is a directory, which is made, for a file of
        each kind that has objects.
      - Files that are the same already are left alone. Others are overwritten, and so are comments in them. The file of a kind
        that has no objects any more becomes an empty list, if an export wrote it.
    type: path
  deskplane_timeout:
    description:
      - Seconds to wait for a connection, and for each part of an answer. A whole desk takes longer than one object.
      - If not set, the value of the environment variable E(DESKPLANE_TIMEOUT) is used.
    type: float
    default: 300
seealso:
  - module: deskplane.helpdesk.configuration
"""

EXAMPLES = r"""
---
- name: Write the desk to files, to keep them in Git
  deskplane.helpdesk.configuration_info:
    deskplane_url: https://desk.example.com
    deskplane_api_key: "{{ vault_deskplane_api_key }}"
    dest: desk

# The tasks below take the connection from DESKPLANE_URL and DESKPLANE_API_KEY in the environment,
# or from module_defaults for group/deskplane.helpdesk.all.

- name: Find what was changed by hand
  deskplane.helpdesk.configuration_info:
    drift: true
  register: desk

- name: Tell it
  ansible.builtin.debug:
    msg: "{{ item.label }}: {{ item.field }} is {{ item.after }}, declared was {{ item.before }}, by {{ item.who }}"
  loop: "{{ desk.drift }}"
"""

RETURN = r"""
---
configuration:
  description: The configuration, a list of objects by kind.
  returned: success, without O(drift=true)
  type: dict
  sample:
    labels:
      - name: printer
        color: "#1f6feb"
files:
  description: The files that were written, or are as they would be written.
  returned: when O(dest) is given
  type: list
  elements: str
  sample: [desk/labels.yml, desk/sla_policies.yml]
drifted:
  description: Whether anything differs.
  returned: with O(drift=true)
  type: bool
  sample: true
drift:
  description: What differs.
  returned: with O(drift=true)
  type: list
  elements: dict
  contains:
    kind:
      description: Kind of the object.
      type: str
    key:
      description: The fields that name it.
      type: dict
    label:
      description: The object in words.
      type: str
    id:
      description: Its id.
      type: str
    manager:
      description: Who declared it.
      type: str
    revision:
      description: What it was declared from.
      type: str
    change:
      description: Whether a field differs, or the object is gone.
      type: str
      choices: [field, deleted]
    field:
      description: Name of the field, dotted below one with fields of its own.
      type: str
    before:
      description: What was declared.
      type: raw
    after:
      description: What it is now.
      type: raw
    who:
      description: Who changed it.
      type: str
    when:
      description: When that was.
      type: str
  sample:
    - kind: sla_policy
      key:
        name: critical-30m
      label: sla_policy critical-30m
      manager: git:helpdesk
      revision: 3f1c2a9
      change: field
      field: response_minutes
      before: 30
      after: 45
      who: mia
      when: "2026-11-02T09:14:03Z"
problem:
  description: The desk's problem document (RFC 9457).
  returned: when the desk refused
  type: dict
"""

from ansible_collections.deskplane.helpdesk.plugins.module_utils.configuration import ConfigurationInfo
from ansible_collections.deskplane.helpdesk.plugins.module_utils.module import run

DECLARATION = ConfigurationInfo(
    options={
        "manager": {"type": "str"},
        "full": {"type": "bool", "default": False},
        "drift": {"type": "bool", "default": False},
        "dest": {"type": "path"},
    }
)


def main():
    run(DECLARATION)


if __name__ == "__main__":
    main()
