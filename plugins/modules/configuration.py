#!/usr/bin/python
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: configuration
short_description: Make a whole Deskplane desk what files declare
version_added: 0.1.0
description:
  - Declares any number of objects of any kinds in one request and one transaction, all of it or nothing.
  - Objects may refer to each other in any order, and exchange their names.
  - The desk compares what is there with what is declared, and changes only the fields that are declared.
  - Needs the permission of each kind that is declared; in check mode C(configuration:plan) is enough.
author:
  - Deskplane contributors (@deskplane)
extends_documentation_fragment:
  - deskplane.helpdesk.connection
  - deskplane.helpdesk.attributes
options:
  src:
    description:
      - Files and directories with the declaration. Relative ones are looked for as those of other tasks, in C(files/) of a
        role and beside the playbook.
      - A directory is read with all that is below it, C(*.yml), C(*.yaml) and C(*.json), in the order of their names.
        What begins with C(.) or C(_) is left out.
      - Each file holds lists of objects by kind, such as C(labels) and C(sla_policies), with the options of the modules of these
        kinds. Lists of several files are put together; the same object twice is an error that names both places.
      - The files are read where the playbook runs and are never templated, so that the placeholders of webhooks stay as
        they are. A file that is encrypted by Ansible Vault is decrypted.
      - One of O(src) and O(configuration) is needed.
    type: list
    elements: path
  overlays:
    description:
      - What differs in this environment, as further files and directories. Each entry, which may be a list itself, is a layer
        over O(src) and the layers before it.
      - An object of a layer whose key is known below overrides it field by field, as the desk merges an object with what is
        declared; others are added.
    type: list
    elements: raw
  configuration:
    description:
      - The declaration itself, a list of objects by kind. Ansible templates it, so webhooks with placeholders that look like
        templates belong into files.
    type: dict
  secrets:
    description:
      - Values of secrets by the references that stand for them in the declaration, where a secret is written as an object
        with C($secret) and any name, such as V(department/support/imap.password).
      - A reference that has no value here keeps the secret that the desk has.
    type: dict
  manager:
    description:
      - In whose name it is declared, for example V(git:helpdesk). Needed for O(prune), O(adopt) and O(force).
      - If not set, O(deskplane_manager) is used.
    type: str
  revision:
    description:
      - What the declaration was made from, for example the id of a commit.
      - If not set, O(deskplane_revision) is used.
    type: str
  prune:
    description:
      - Delete what the manager owns, of the kinds that are declared, and declares no longer.
      - A kind that is not declared is left alone; one that is declared as an empty list is emptied.
      - The desk's default is V(false).
    type: bool
  max_deletions:
    description:
      - How many objects O(prune) may delete at most. More are an error, and nothing is changed.
      - The desk's default is V(10).
    type: int
  on_blocked:
    description:
      - What becomes of an object that O(prune) cannot delete because others depend on it.
      - V(refuse) is an error. V(disable) switches it off, if it can be.
      - The desk's default is V(refuse).
    type: str
    choices: [refuse, disable]
  adopt:
    description:
      - Become the owner of declared objects that have none, such as those made by hand.
      - The desk's default is V(false).
    type: bool
  force:
    description:
      - Take over fields and objects that another manager owns.
      - The desk's default is V(false).
    type: bool
  plan_digest:
    description:
      - Digest of the plan that somebody reviewed, as check mode and C(deskplane configuration plan) return it.
      - It is an error if that plan is not what would be done now.
    type: str
  deskplane_timeout:
    description:
      - Seconds to wait for a connection, and for each part of an answer. A whole desk takes longer than one object.
      - If not set, the value of the environment variable E(DESKPLANE_TIMEOUT) is used.
    type: float
    default: 300
notes:
  - YAML that is read differently by different readers, such as C(17:30) and C(NO) without quotes, is an error that names its place.
seealso:
  - module: deskplane.helpdesk.configuration_info
"""

EXAMPLES = r"""
---
- name: Make the desk what the files beside the playbook say
  deskplane.helpdesk.configuration:
    deskplane_url: https://desk.example.com
    deskplane_api_key: "{{ vault_deskplane_api_key }}"
    manager: git:helpdesk
    src: desk
    prune: true

# The tasks below take the connection from DESKPLANE_URL and DESKPLANE_API_KEY in the environment,
# or from module_defaults for group/deskplane.helpdesk.all.

- name: The same in production, with secrets from a vault
  deskplane.helpdesk.configuration:
    manager: git:helpdesk
    src: desk
    overlays:
      - environments/production
    secrets:
      department/support/imap.password: "{{ vault_imap_password }}"

- name: A few objects that need each other, without a file
  deskplane.helpdesk.configuration:
    configuration:
      sla_policies:
        - name: critical-30m
          response_minutes: 30m
          resolution_minutes: 4h
          priorities: [critical]
      departments:
        - name: network
          description: Switches, firewalls and the rest of it
      labels:
        - name: printer
          state: absent
"""

RETURN = r"""
---
changes:
  description: Every object that was, or in check mode would be, made, changed or deleted, or whose ownership changed.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: Kind of the object.
      type: str
      sample: sla_policy
    key:
      description: The fields that name it.
      type: dict
      sample:
        name: critical-30m
    label:
      description: The object in words.
      type: str
      sample: sla_policy critical-30m
    action:
      description: What was done.
      type: str
      choices: [create, update, delete, none]
      sample: update
    id:
      description: Its id, which renaming does not change.
      type: str
    renamed_from:
      description: Its former name, if it was renamed.
      type: str
    changes:
      description: Each field that differs. Secrets are never shown.
      type: list
      elements: dict
      contains:
        field:
          description: Name of the field, dotted below one with fields of its own.
          type: str
        before:
          description: What it was.
          type: raw
        after:
          description: What it is now.
          type: raw
      sample:
        - field: response_minutes
          before: 60
          after: 30
    adopted:
      description: Whether the manager became its owner.
      type: bool
    released:
      description: Fields that the manager declares no longer. They keep their values.
      type: list
      elements: str
    pruned:
      description: Whether it was deleted because it is declared no longer.
      type: bool
    disabled:
      description: Whether it was switched off because it could not be deleted.
      type: bool
    pointer:
      description: Where in the whole declaration it stands, as a JSON pointer; none for what could not be read.
      type: str
    field:
      description: The object's field that is wrong, if it is one.
      type: str
    warnings:
      description: What ought to be looked at.
      type: list
      elements: str
summary:
  description: How many objects of each action, and how many were adopted and had fields released.
  returned: success
  type: dict
  sample:
    create: 1
    update: 2
    delete: 0
    none: 97
    adopt: 0
    release: 1
digest:
  description: Digest of these changes, to be given as O(plan_digest) by who applies what was reviewed.
  returned: success
  type: str
  sample: sha256:2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824
needs_secret:
  description: Secrets that are declared by reference and that the desk does not have.
  returned: success
  type: list
  elements: dict
  contains:
    kind:
      description: Kind of the object.
      type: str
    key:
      description: The fields that name it.
      type: dict
    field:
      description: Name of the field.
      type: str
    secret:
      description: The reference, to be given a value in O(secrets).
      type: str
  sample: []
not_declared:
  description: What the manager owns of the declared kinds, and declares no longer, where O(prune) was not asked for.
  returned: success
  type: list
  elements: dict
  sample: []
unresolved:
  description: References to what does not exist yet.
  returned: in check mode
  type: list
  elements: dict
  sample: []
manager:
  description: In whose name it was declared.
  returned: success
  type: str
  sample: git:helpdesk
revision:
  description: What it was declared from.
  returned: success
  type: str
  sample: 3f1c2a9
errors:
  description: Every mistake that was found, in the files or by the desk.
  returned: when there are any
  type: list
  elements: dict
  contains:
    file:
      description: The file, if the declaration was read from files.
      type: str
    line:
      description: The line in it.
      type: int
    pointer:
      description: Where in the whole declaration it stands, as a JSON pointer; none for what could not be read.
      type: str
    field:
      description: The object's field that is wrong, if it is one.
      type: str
    code:
      description: What is wrong, for programs.
      type: str
    text:
      description: What is wrong, in words.
      type: str
  sample:
    - file: desk/departments.yml
      line: 12
      pointer: "#/departments/2/imap/port"
      field: imap.port
      code: out_of_range
      text: "departments/2 (support): imap.port: must be between 1 and 65535, got 70000"
problem:
  description: The desk's problem document (RFC 9457).
  returned: when the desk refused
  type: dict
"""

from ansible_collections.deskplane.helpdesk.plugins.module_utils.configuration import Configuration
from ansible_collections.deskplane.helpdesk.plugins.module_utils.module import run

DECLARATION = Configuration(
    options={
        "src": {"type": "list", "elements": "path"},
        "overlays": {"type": "list", "elements": "raw"},
        "configuration": {"type": "dict"},
        "secrets": {"type": "dict", "no_log": True},
        "manager": {"type": "str"},
        "revision": {"type": "str"},
        "prune": {"type": "bool"},
        "max_deletions": {"type": "int"},
        "on_blocked": {"type": "str", "choices": ["refuse", "disable"]},
        "adopt": {"type": "bool"},
        "force": {"type": "bool"},
        "plan_digest": {"type": "str"},
    }
)


def main():
    run(DECLARATION)


if __name__ == "__main__":
    main()
