#!/usr/bin/python
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ticket
short_description: Open, change, resolve and close tickets
version_added: 0.1.0
description:
  - Makes a ticket be as the task says. An open ticket is recognised by its O(correlation_key) within its
    O(customer), and without a key by its O(title) within its O(customer). So a second run, or fifty hosts with the
    same trouble, make no second ticket.
  - If an open ticket is recognised, only options that are given and differ are changed. O(title) and
    O(description) are set when the ticket is opened and then left alone, unless O(update_fields) names them.
  - An explicit V(null) sets an option to its default.
  - Needs the permissions C(tickets:access), and C(tickets:create), C(tickets:edit), C(tickets:assign),
    C(tickets:comment), C(tickets:close) or C(tickets:delete) for what it does.
author:
  - Deskplane contributors (@deskplane)
extends_documentation_fragment:
  - deskplane.helpdesk.connection
  - deskplane.helpdesk.attributes
  - deskplane.helpdesk.ticket_relations
options:
  title:
    description:
      - What it is about, in one line. A ticket cannot be opened without one.
      - Keep what changes from run to run, such as a date, out of it, or set O(correlation_key).
    type: str
  description:
    description:
      - The whole story, in Markdown.
    type: str
  correlation_key:
    description:
      - By what the trouble is recognised, for example V(deploy/shop/production). There is at most one open ticket
        with it for a customer.
    type: str
  customer:
    description:
      - Name of the customer that the ticket is about.
    type: str
  department:
    description:
      - Name of the department that works on it. Without it, the desk chooses the default one.
    type: str
  type:
    description:
      - Name of the ticket's type, for example V(incident), V(problem), V(service_request) or V(change_request).
    type: str
  priority:
    description:
      - How urgent it is. It decides the service level. A new ticket has V(medium).
    type: str
    choices: [low, medium, high, critical]
  status:
    description:
      - Where the work stands. A new ticket is V(open).
    type: str
    choices: [open, in_progress, waiting, resolved, closed, cancelled]
  remind_at:
    description:
      - When to remind of a ticket that is V(waiting), as a time with its offset, for example V(2027-01-15T09:00:00+01:00).
    type: str
  assignee:
    description:
      - User name of who works on it.
    type: str
  owner:
    description:
      - User name of who answers for it.
    type: str
  group:
    description:
      - Name of the group whose members work on it, beside or instead of an O(assignee).
    type: str
  contact:
    description:
      - Mail address of who wrote in. An address that nobody has yet makes the contact, with the ticket's customer and
        department, if the key's owner sees every contact (C(customers:manage), C(tickets:view_all)) or owns the customer.
      - If O(customer) is not given, the contact's customer is meant, also for recognising the ticket.
    type: str
  tags:
    description:
      - Free words. The order does not matter.
    type: list
    elements: str
  labels:
    description:
      - Names of existing labels. The order does not matter.
    type: list
    elements: str
  source:
    description:
      - Where the ticket came from. Without it, V(ansible) is meant.
    type: str
    choices: [api, console, portal, email, ansible]
  comment:
    description:
      - A message in Markdown. It is written when this task opens or ends the ticket, and on each repetition with
        O(on_repeat=comment).
    type: str
  internal:
    description:
      - Whether O(comment) and O(attachments) are for the desk alone, as without it. V(false) needs C(tickets:read_internal).
    type: bool
  state:
    description:
      - V(present) opens the ticket, or changes the open one.
      - V(resolved) and V(closed) end the open one. If there is none, nothing changes.
      - V(absent) deletes the open one for good.
      - Without it, V(present) is meant.
    type: str
    choices: [present, resolved, closed, absent]
  on_repeat:
    description:
      - What a repeated O(state=present) does to the ticket that is already open.
      - V(ignore), which is meant without it, changes nothing if nothing differs.
      - V(count) raises its number of occurrences.
      - V(comment) adds O(comment) as a message.
    type: str
    choices: [ignore, count, comment]
  reopen_within:
    description:
      - If the last ticket with the same key ended at most this long ago, it is reopened instead of opening a new one.
      - Minutes, or a duration such as V(30m), V(2h) or V(1d).
    type: raw
  update_fields:
    description:
      - Which of title and description are also changed on a ticket that is already open.
    type: list
    elements: str
    choices: [title, description]
seealso:
  - module: deskplane.helpdesk.ticket_info
  - module: deskplane.helpdesk.sla_policy
"""

EXAMPLES = r"""
---
- name: Open an incident when a deployment fails
  deskplane.helpdesk.ticket:
    deskplane_url: https://desk.example.com
    deskplane_api_key: "{{ vault_deskplane_api_key }}"
    customer: Example Ltd
    title: Deployment of the shop failed
    correlation_key: deploy/shop/production
    type: incident
    priority: high
    description: |
      The deployment to production failed.
      See the pipeline's log for details.
    state: present
  register: incident

# The tasks below take the connection from DESKPLANE_URL and DESKPLANE_API_KEY in the environment,
# or from module_defaults for group/deskplane.helpdesk.all.

- name: Count how often it happens, and reopen the ticket of the last hour
  deskplane.helpdesk.ticket:
    customer: Example Ltd
    title: Disk of the build server is full
    correlation_key: disk/build-1
    on_repeat: count
    reopen_within: 1h

- name: Say who called, and which of his things it is about
  deskplane.helpdesk.ticket:
    title: The printer is out of toner
    contact: kim@example.com
    group: Second level
    assets: [printer 4]
    movement:
      asset: printer 4
      at: "2027-01-15T09:00:00Z"

- name: Say which pipeline failed, and which problem causes it
  deskplane.helpdesk.ticket:
    customer: Example Ltd
    title: Deployment of the shop failed
    correlation_key: deploy/shop/production
    links:
      - type: caused_by
        ticket: TKT-000007
    references:
      - type: pipeline
        title: Deployment 4711
        url: https://git.example.com/shop/pipelines/4711

- name: Put the log of the controller on it, and what the failed task said
  deskplane.helpdesk.ticket:
    customer: Example Ltd
    title: Deployment of the shop failed
    correlation_key: deploy/shop/production
    attachments:
      - path: deployment.log
      - name: failed-task.json
        content: "{{ ansible_failed_result | default({}) | to_nice_json }}"

- name: Resolve the incident after the next good deployment, if there is one
  deskplane.helpdesk.ticket:
    customer: Example Ltd
    correlation_key: deploy/shop/production
    state: resolved
    comment: The next deployment succeeded.
    internal: false
"""

RETURN = r"""
---
ticket:
  description:
    - The ticket after the task, or in check mode as it would be, then without number and times.
    - V(null) if there is none, after O(state=absent) and where O(state=resolved) or O(state=closed) found none.
  returned: success
  type: dict
  contains:
    number:
      description: Its number.
      type: str
    title:
      description: What it is about.
      type: str
    description:
      description: The whole story, in Markdown.
      type: str
    type:
      description: Name of its type.
      type: str
    priority:
      description: How urgent it was declared to be.
      type: str
    effective_priority:
      description: How urgent it is, after the least priority of its service level policy.
      type: str
    status:
      description: Where the work stands.
      type: str
    remind_at:
      description: When to remind of it.
      type: str
    customer:
      description: Name of the customer.
      type: str
    department:
      description: Name of the department.
      type: str
    reporter:
      description: Who reported it.
      type: raw
    assignee:
      description: User name of who works on it.
      type: str
    owner:
      description: User name of who answers for it.
      type: str
    group:
      description: Name of the group whose members work on it.
      type: str
    contact:
      description: Mail address of who wrote in.
      type: str
    contact_assets:
      description: Names of the assets that the contact uses. Not in lists.
      type: list
      elements: str
    assets:
      description: Names of the assets that it is about.
      type: list
      elements: str
    movement:
      description: The movement that it is about, with the names C(asset) and C(at).
      type: dict
    links:
      description: Its links to other tickets.
      type: list
      elements: dict
      returned: when O(links) is given
    references:
      description: What it refers to outside of the desk.
      type: list
      elements: dict
      returned: when O(references) is given
    attachments:
      description:
        - Those of O(attachments), first the ones that were there. In check mode the ones that would be sent have name, size
          and SHA-256 only.
      type: list
      elements: dict
      returned: when O(attachments) is given
      contains:
        id: {description: "Its ID.", type: str}
        name: {description: "Its name.", type: str}
        content_type: {description: "Its media type.", type: str}
        size: {description: "Its size in bytes.", type: int}
        sha256: {description: "SHA-256 of what it holds.", type: str}
        internal: {description: "Whether only those of the desk read it.", type: bool}
        message: {description: "ID of the message that it is part of.", type: int}
        author: {description: "Who sent it.", type: str}
        created_at: {description: "When.", type: str}
    tags:
      description: Free words.
      type: list
      elements: str
    labels:
      description: Names of its labels.
      type: list
      elements: str
    source:
      description: Where it came from.
      type: str
    correlation_key:
      description: By what it is recognised.
      type: str
    occurrences: {description: "How often it was reported.", type: int}
    reopened_count: {description: "How often it was reopened.", type: int}
    created_at: {description: "When it was opened.", type: str}
    updated_at: {description: "When it was last changed.", type: str}
    resolved_at: {description: "When it was resolved.", type: str}
    closed_at: {description: "When it was closed.", type: str}
    last_contact_at: {description: "When the last message was written that is not internal.", type: str}
    last_contact_direction: {description: "Whether that one was V(outbound) or V(inbound).", type: str}
    sla:
      description: The service level policy that applies, and the state and deadline of response and resolution.
      type: dict
      contains:
        policy:
          description: Name of the policy.
          type: str
        state:
          description: The worst state of its deadlines.
          type: str
        response:
          description: State, due time and thresholds of the first response.
          type: dict
        resolution:
          description: State, due time and thresholds of the resolution.
          type: dict
    url:
      description: Address of the ticket for people.
      type: str
  sample:
    number: TKT-000042
    title: Deployment of the shop failed
    type: incident
    priority: high
    status: open
    customer: Example Ltd
    correlation_key: deploy/shop/production
    occurrences: 1
    sla:
      policy: high-2h
      state: ok
      response: {state: ok, due_at: "2027-01-15T10:00:00Z"}
      resolution: {state: ok, due_at: "2027-01-15T16:00:00Z"}
action:
  description: What was done, or in check mode would be done.
  returned: success
  type: str
  choices: [create, update, none, delete]
  sample: create
changes:
  description: Each field that differs.
  returned: success
  type: list
  elements: dict
  contains:
    field:
      description: Name of the field.
      type: str
    before:
      description: What it was.
      type: raw
    after:
      description: What it is now.
      type: raw
  sample:
    - field: priority
      before: medium
      after: high
problem:
  description: The desk's problem document (RFC 9457), with every bad field.
  returned: when the desk refused
  type: dict
"""

from ansible_collections.deskplane.helpdesk.plugins.module_utils import attachments
from ansible_collections.deskplane.helpdesk.plugins.module_utils.module import run
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import HARMLESS, KEYED, Resource


class Ticket(Resource):
    def subject(self, given):
        name = given.get("title") or given.get("correlation_key")
        return "ticket '%s'" % name if name else "ticket"

    def gathered(self, given, files=None):
        if given.get("attachments"):
            given["attachments"] = attachments.gathered(given["attachments"], files)
        return given, set()

    def act(self, desk, wanted, check_mode):
        files = wanted.get("attachments")
        if not files:
            return super().act(desk, wanted, check_mode)
        result = super().act(desk, dict(wanted, attachments=[file.declared() for file in files]), check_mode)
        return attachments.completed(desk, self.subject(wanted), files, wanted.get("internal"), result, check_mode)


def repetition(wanted):
    return HARMLESS if wanted.get("on_repeat") in (None, "ignore") else KEYED


TEXT = {"type": "str"}
WORDS = {"type": "list", "elements": "str"}
NEEDED = {"type": "str", "required": True}
LINK = dict(
    NEEDED,
    choices=[
        *("relates_to", "duplicates", "causes", "blocks", "parent_of"),
        *("duplicated_by", "caused_by", "blocked_by", "child_of"),
    ],
)
REFERENCE = dict(NEEDED, choices=["board_card", "pull_request", "issue", "pipeline", "url"])

DECLARATION = Ticket(
    kind="ticket",
    path="tickets",
    key=["correlation_key", "title"],
    implied={"source": "ansible"},
    repetition=repetition,
    is_managed=False,
    formats={"reopen_within": "duration"},
    constraints={"required_one_of": [["title", "correlation_key"]]},
    options={
        "title": TEXT,
        "description": TEXT,
        "correlation_key": {"type": "str", "no_log": False},
        "customer": TEXT,
        "department": TEXT,
        "type": TEXT,
        "priority": {"type": "str", "choices": ["low", "medium", "high", "critical"]},
        "status": {"type": "str", "choices": ["open", "in_progress", "waiting", "resolved", "closed", "cancelled"]},
        "remind_at": TEXT,
        "assignee": TEXT,
        "owner": TEXT,
        "group": TEXT,
        "contact": TEXT,
        "assets": WORDS,
        "movement": {"type": "dict", "options": {"asset": TEXT, "at": TEXT}},
        "links": {"type": "list", "elements": "dict", "options": {"type": LINK, "ticket": NEEDED}},
        "references": {"type": "list", "elements": "dict", "options": {"type": REFERENCE, "title": NEEDED, "url": NEEDED}},
        "attachments": {
            "type": "list",
            "elements": "dict",
            "options": {"path": {"type": "path"}, "content": TEXT, "name": TEXT, "content_type": TEXT},
            "mutually_exclusive": [["path", "content"]],
            "required_one_of": [["path", "content"]],
            "required_by": {"content": ["name"]},
        },
        "tags": WORDS,
        "labels": WORDS,
        "source": {"type": "str", "choices": ["api", "console", "portal", "email", "ansible"]},
        "comment": TEXT,
        "internal": {"type": "bool"},
        "state": {"type": "str", "choices": ["present", "resolved", "closed", "absent"]},
        "on_repeat": {"type": "str", "choices": ["ignore", "count", "comment"]},
        "reopen_within": {"type": "raw"},
        "update_fields": {"type": "list", "elements": "str", "choices": ["title", "description"]},
    },
)


def main():
    run(DECLARATION)


if __name__ == "__main__":
    main()
