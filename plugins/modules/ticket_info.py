#!/usr/bin/python
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: ticket_info
short_description: Read tickets of a Deskplane desk
version_added: 0.1.0
description:
  - Reads the tickets that all of the filters leave, as far as the key's owner may see them.
author:
  - Deskplane contributors (@deskplane)
extends_documentation_fragment:
  - deskplane.helpdesk.connection
  - deskplane.helpdesk.attributes.info
options:
  q:
    description:
      - Only those in which all of these words stand, in number, title, description, messages, the assignee's username, or
        the contact's name and mail address. Words of three letters and more may be the beginning of one; case and accents
        make no difference.
      - Without O(sort) the best of the newest 1,000 matches come first, and no more than those.
    type: str
  view:
    description:
      - ID of a saved view. Its filters and order hold where none is given here.
    type: str
  sort:
    description:
      - The order. V(due_at) has tickets without a running resolution clock at the end; V(reminders) begins with waiting
        ones whose reminder is due today or earlier; V(relevance) goes with O(q) only.
      - Without it the last changed come first.
    type: str
    choices:
      - -updated_at
      - updated_at
      - -created_at
      - created_at
      - number
      - -number
      - due_at
      - -due_at
      - priority
      - -priority
      - reminders
      - relevance
  due_before:
    description:
      - Only those whose running resolution clock is due before this instant, such as V(2026-03-01T08:30:00Z).
    type: str
  created_since:
    description:
      - Only those that were opened at this instant or later.
    type: str
  created_before:
    description:
      - Only those that were opened before this instant.
    type: str
  updated_since:
    description:
      - Only those that were changed at this instant or later.
    type: str
  updated_before:
    description:
      - Only those that were last changed before this instant.
    type: str
  number:
    description:
      - Only the ticket with this number. No ticket is found if there is none, which is no error.
    type: str
  correlation_key:
    description:
      - Only those with this key.
    type: str
  customer:
    description:
      - Only those about the customer with this name.
    type: str
  department:
    description:
      - Only those of the department with this name.
    type: str
  status:
    description:
      - Only those with one of these.
    type: list
    elements: str
    choices: [open, in_progress, waiting, resolved, closed, cancelled]
  priority:
    description:
      - Only those declared with one of these.
    type: list
    elements: str
    choices: [low, medium, high, critical]
  type:
    description:
      - Only those of the type with this name.
    type: str
  assignee:
    description:
      - Only those on which the user with this name works; V(none) for those that nobody works on.
    type: str
  owner:
    description:
      - Only those for which the user with this name answers.
    type: str
  reporter:
    description:
      - Only those that the user with this name reported.
    type: str
  group:
    description:
      - Only those of the group with this name; V(none) for those of no group.
    type: str
  contact:
    description:
      - Only those of the contact with this mail address; V(none) for those without one.
    type: str
  asset:
    description:
      - Only those that are about an asset with this name.
    type: str
  open:
    description:
      - V(true) for open tickets only, V(false) for those that have ended.
    type: bool
  title:
    description:
      - Only those with exactly this title.
    type: str
  sla_state:
    description:
      - Only those whose service level is in this state, as C(sla.state) of a ticket shows it.
    type: str
    choices: [none, met, ok, warning, critical, breached, paused]
  label:
    description:
      - Only those with this label.
    type: str
  tag:
    description:
      - Only those with this tag.
    type: str
  attachments:
    description:
      - Whether to tell of each ticket's attachments, too, as far as the key's owner may read them. It takes one request
        more for each ticket.
    type: bool
  limit:
    description:
      - At most this many. All, if not given.
    type: int
seealso:
  - module: deskplane.helpdesk.ticket
"""

EXAMPLES = r"""
---
- name: Read one ticket
  deskplane.helpdesk.ticket_info:
    deskplane_url: https://desk.example.com
    deskplane_api_key: "{{ vault_deskplane_api_key }}"
    number: TKT-000001
  register: one

# The tasks below take the connection from DESKPLANE_URL and DESKPLANE_API_KEY in the environment,
# or from module_defaults for group/deskplane.helpdesk.all.

- name: Read what is open and urgent
  deskplane.helpdesk.ticket_info:
    open: true
    priority: [high, critical]
    sort: due_at
  register: urgent

- name: Read a ticket with the files on it
  deskplane.helpdesk.ticket_info:
    number: TKT-000001
    attachments: true
  register: with_files

- name: Look for what was written about a host
  deskplane.helpdesk.ticket_info:
    q: web-04 certificate
    limit: 10
  register: about
"""

RETURN = r"""
---
tickets:
  description:
    - The tickets that were found. See M(deskplane.helpdesk.ticket) for what they hold; C(attachments) only if
      O(attachments) asks for them.
  returned: success
  type: list
  elements: dict
  sample:
    - number: TKT-000042
      title: Deployment of the shop failed
      type: incident
      priority: high
      status: open
      customer: Example Ltd
problem:
  description: The desk's problem document (RFC 9457), with every bad field.
  returned: when the desk refused
  type: dict
"""

from urllib.parse import quote

from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk import DeskFailure
from ansible_collections.deskplane.helpdesk.plugins.module_utils.module import run
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import Listing, everything


class Tickets(Listing):
    def act(self, desk, wanted, check_mode):
        with_files = wanted.pop("attachments", None)
        number = wanted.pop("number", None)
        result = super().act(desk, wanted, check_mode) if number is None else self._one(desk, number)
        for ticket in result["tickets"] if with_files else ():
            path = "tickets/%s/attachments" % ticket["number"]
            ticket["attachments"] = everything(desk, path, {}, "ticket '%s'" % ticket["number"])
        return result

    def _one(self, desk, number):
        try:
            found = [desk.get("tickets/" + quote(number, safe=""), subject="ticket '%s'" % number)]
        except DeskFailure as failure:
            if (failure.problem or {}).get("status") != 404:
                raise
            found = []
        return {"changed": False, "tickets": found}


TEXT = {"type": "str"}

TIMES = ("created_since", "created_before", "updated_since", "updated_before")

DECLARATION = Tickets(
    kind="ticket",
    plural="tickets",
    path="tickets",
    constraints={
        "mutually_exclusive": [
            ["number", name]
            for name in (
                *("correlation_key", "customer", "department", "status", "open", "priority", "type", "title"),
                *("assignee", "owner", "reporter", "group", "contact", "asset", "sla_state", "label", "tag"),
                *("q", "view", "sort", "due_before", *TIMES),
            )
        ]
    },
    options={
        "q": TEXT,
        "view": TEXT,
        "sort": {
            "type": "str",
            "choices": [
                "-updated_at",
                "updated_at",
                "-created_at",
                "created_at",
                "number",
                "-number",
                "due_at",
                "-due_at",
                "priority",
                "-priority",
                "reminders",
                "relevance",
            ],
        },
        "due_before": TEXT,
        **dict.fromkeys(TIMES, TEXT),
        "number": TEXT,
        "correlation_key": {"type": "str", "no_log": False},
        "customer": TEXT,
        "department": TEXT,
        "status": {
            "type": "list",
            "elements": "str",
            "choices": [
                "open",
                "in_progress",
                "waiting",
                "resolved",
                "closed",
                "cancelled",
            ],
        },
        "priority": {
            "type": "list",
            "elements": "str",
            "choices": ["low", "medium", "high", "critical"],
        },
        "type": TEXT,
        "assignee": TEXT,
        "owner": TEXT,
        "reporter": TEXT,
        "group": TEXT,
        "contact": TEXT,
        "asset": TEXT,
        "open": {"type": "bool"},
        "title": TEXT,
        "sla_state": {
            "type": "str",
            "choices": [
                "none",
                "met",
                "ok",
                "warning",
                "critical",
                "breached",
                "paused",
            ],
        },
        "label": TEXT,
        "tag": TEXT,
        "attachments": {"type": "bool"},
        "limit": {"type": "int"},
    },
)


def main():
    run(DECLARATION)


if __name__ == "__main__":
    main()
