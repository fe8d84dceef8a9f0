# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a ticket has besides its fields. Kept in step with plugins/modules/ticket.py by ansible-test."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  assets:
    description:
      - Names of the assets that it is about, all of the ticket's customer. The order does not matter.
      - Ignored with a warning if the customer has C(asset_integration) switched off.
    type: list
    elements: str
  movement:
    description:
      - The movement of one of the O(assets) that it is about.
      - Ignored with a warning if the customer has C(movement_link) switched off.
    type: dict
    suboptions:
      asset:
        description:
          - Name of the asset.
        type: str
      at:
        description:
          - When it was moved, as the asset says, for example V(2027-01-15T09:00:00Z).
        type: str
  links:
    description:
      - Links to other tickets. What is given replaces what was there, as far as the key's owner sees it; links that are
        to stay must be given, too. The order does not matter.
    type: list
    elements: dict
    suboptions:
      type:
        description:
          - What the ticket is to the other one.
        type: str
        required: true
        choices: [relates_to, duplicates, causes, blocks, parent_of, duplicated_by, caused_by, blocked_by, child_of]
      ticket:
        description:
          - Number of the other ticket.
        type: str
        required: true
  references:
    description:
      - What it refers to outside of the desk. What is given replaces what was there. The order does not matter.
    type: list
    elements: dict
    suboptions:
      type:
        description:
          - What it is.
        type: str
        required: true
        choices: [board_card, pull_request, issue, pipeline, url]
      title:
        description:
          - What to call it.
        type: str
        required: true
      url:
        description:
          - Where it is, of http or https, without credentials.
        type: str
        required: true
  attachments:
    description:
      - Files that the ticket is to have. One whose name and content (by its SHA-256) the ticket has already is not sent
        again. Other content under a name that is there is added beside it, because a file on a ticket is a record; so is
        what else the ticket has, whatever is given here.
      - The desk looks at all of them before it opens or changes anything. If one would not be taken, because it is too
        large or its name ends as the setting C(attachments.blocked_extensions) does not allow, the task fails and nothing
        is done. If the connection breaks while they are sent, the next run sends what is missing.
      - In check mode nothing is sent; the result tells what would be.
      - They are internal or not as O(internal) says. A file that is there with the other visibility does not count if
        O(internal) is given.
      - They go with O(state=present) only. Needs C(tickets:comment).
    type: list
    elements: dict
    suboptions:
      path:
        description:
          - The file. It is read where the task runs, which is the controller; relative paths are looked for beside the
            playbook or role as by M(ansible.builtin.copy), and a file that is encrypted with Ansible Vault is sent
            decrypted.
          - To send a file of a managed host, delegate the task to that host. Then the module reads it there, as it is;
            give an absolute path. That host must reach the desk.
        type: path
      content:
        description:
          - Text, in place of a file. Needs O(attachments[].name).
        type: str
      name:
        description:
          - Its name on the ticket. Without it, that of the file.
        type: str
      content_type:
        description:
          - Its media type. Without it, what its name's end says.
        type: str
"""
