#!/usr/bin/python
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: webhook_delivery_info
short_description: Read what a webhook of a Deskplane desk sent
version_added: 0.1.0
description:
  - Reads the deliveries of one webhook, the newest first, as far as the desk still keeps them.
author:
  - Deskplane contributors (@deskplane)
extends_documentation_fragment:
  - deskplane.helpdesk.connection
  - deskplane.helpdesk.attributes.info
options:
  name:
    description:
      - Name of the webhook.
    type: str
    required: true
  department:
    description:
      - Its department. A webhook of all departments, if not given.
    type: str
  delivery:
    description:
      - ID of one delivery, to read its last request and answer and each of its attempts along with it.
    type: str
  state:
    description:
      - Only those in this state.
    type: str
    choices: [pending, succeeded, failed, cancelled]
  event:
    description:
      - Only those of this event.
    type: str
    choices:
      - ticket_created
      - ticket_updated
      - ticket_closed
      - ticket_assigned
      - comment_added
      - sla_warning
      - sla_breached
      - auto_closed
  since:
    description:
      - Only those that were made at this instant or later, such as V(2026-03-01T08:30:00Z).
    type: str
  limit:
    description:
      - At most this many. All, if not given.
    type: int
seealso:
  - module: deskplane.helpdesk.webhook
"""

EXAMPLES = r"""
---
# These tasks take the connection from DESKPLANE_URL and DESKPLANE_API_KEY in the environment,
# or from module_defaults for group/deskplane.helpdesk.all.

- name: Read what the chat was not told
  deskplane.helpdesk.webhook_delivery_info:
    name: chat
    department: Service Desk
    state: failed
  register: missed

- name: Read why, with the request and the answer
  deskplane.helpdesk.webhook_delivery_info:
    name: chat
    department: Service Desk
    delivery: "{{ missed.deliveries[0].id }}"
  when: missed.deliveries | length > 0
"""

RETURN = r"""
---
deliveries:
  description:
    - The deliveries that were found.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its ID, which is the C(webhook-id) of every attempt.
      type: str
      sample: 019a9d3c-8a52-7c1e-b1f0-5f5b0c6f0a19
    event:
      description: Which event it tells of.
      type: str
      sample: ticket_created
    ticket:
      description: Number of the ticket.
      type: str
      sample: TKT-000042
    state:
      description: What became of it.
      type: str
      sample: failed
    attempts:
      description: Attempts since it was made, or asked for anew.
      type: int
      sample: 10
    created_at:
      description: When it was made.
      type: str
      sample: "2026-03-01T08:30:00Z"
    next_at:
      description: When it is attempted next; null if it is not.
      type: str
    last_at:
      description: When it was attempted last.
      type: str
      sample: "2026-03-04T12:05:00Z"
    status:
      description: Status of the last answer; null where none came.
      type: int
      sample: 500
    milliseconds:
      description: How long the last attempt took.
      type: int
      sample: 31
    error:
      description: Why the last attempt failed.
      type: str
      sample: "answered: the receiver said 500"
    request:
      description: Method, URL, headers and body of the last attempt, without the secret headers.
      returned: when O(delivery) names it
      type: dict
    response:
      description: The first bytes of the last answer's body.
      returned: when O(delivery) names it
      type: str
    log:
      description: Each attempt ever.
      returned: when O(delivery) names it
      type: list
      elements: dict
problem:
  description: The desk's problem document (RFC 9457), with every bad field.
  returned: when the desk refused
  type: dict
"""

from urllib.parse import quote

from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk import DeskFailure
from ansible_collections.deskplane.helpdesk.plugins.module_utils.module import run
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import Listing, everything

FILTERS = ("state", "event", "since", "limit")


class Deliveries(Listing):
    def act(self, desk, wanted, check_mode):
        name, department, delivery = wanted.pop("name"), wanted.pop("department", None), wanted.pop("delivery", None)
        named = {"name": name} if department is None else {"name": name, "department": department}
        found = [hook for hook in everything(desk, "webhooks", named, "webhooks") if hook["department"] == department]
        if not found:
            missing = "there is no webhook '%s' of %s" % (name, department or "all departments")
            if not check_mode:
                raise DeskFailure(missing)
            hint = "check mode: %s yet; an earlier task of this play may make it, without it the real run fails here" % missing
            return {"changed": False, "deliveries": [], "warnings": [hint]}
        path = "webhooks/%s/deliveries" % found[0]["id"]
        if delivery is None:
            most = wanted.pop("limit", None)
            return {"changed": False, "deliveries": everything(desk, path, wanted, self.plural, most)}
        one = desk.get("%s/%s" % (path, quote(delivery, safe="")), subject="delivery '%s'" % delivery)
        return {"changed": False, "deliveries": [one]}


TEXT = {"type": "str"}

DECLARATION = Deliveries(
    kind="webhook_delivery",
    plural="deliveries",
    path="webhooks",
    constraints={"mutually_exclusive": [["delivery", name] for name in FILTERS]},
    options={
        "name": {"type": "str", "required": True},
        "department": TEXT,
        "delivery": TEXT,
        "state": {"type": "str", "choices": ["pending", "succeeded", "failed", "cancelled"]},
        "event": {
            "type": "str",
            "choices": [
                "ticket_created",
                "ticket_updated",
                "ticket_closed",
                "ticket_assigned",
                "comment_added",
                "sla_warning",
                "sla_breached",
                "auto_closed",
            ],
        },
        "since": TEXT,
        "limit": {"type": "int"},
    },
)


def main():
    run(DECLARATION)


if __name__ == "__main__":
    main()
