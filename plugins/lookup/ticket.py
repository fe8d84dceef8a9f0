# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: ticket
short_description: Read tickets of a Deskplane desk
version_added: 0.1.0
author: Deskplane contributors (@deskplane)
description:
  - Answers the tickets with the given numbers, or, where no number is given, those that all of the filters leave.
  - Only tickets that the key's owner may see are found.
options:
  _terms:
    description: Numbers of tickets, such as V(TKT-000123). One that is not there is an error.
    type: list
    elements: str
  correlation_key:
    description: Only those with this key.
    type: str
  customer:
    description: Only those about the customer with this name; V(none) for those without one.
    type: str
  department:
    description: Only those of the department with this name; V(none) for those without one.
    type: str
  status:
    description: Only those with one of these.
    type: list
    elements: str
    choices: [open, in_progress, waiting, resolved, closed, cancelled]
  priority:
    description: Only those declared with one of these.
    type: list
    elements: str
    choices: [low, medium, high, critical]
  type:
    description: Only those of the type with this name.
    type: str
  assignee:
    description: Only those on which the user with this name works; V(none) for those that nobody works on.
    type: str
  owner:
    description: Only those for which the user with this name answers.
    type: str
  reporter:
    description: Only those that the user with this name reported.
    type: str
  open:
    description: V(true) for open tickets only, V(false) for those that have ended.
    type: bool
  title:
    description: Only those with exactly this title.
    type: str
  sla_state:
    description: Only those whose service level is in this state.
    type: str
    choices: [none, met, ok, warning, critical, breached]
  label:
    description: Only those with this label.
    type: str
  tag:
    description: Only those with this tag.
    type: str
  limit:
    description: At most this many, those that were changed last. All, if not given.
    type: int
extends_documentation_fragment:
  - deskplane.helpdesk.controller
notes:
  - C(query) always answers a list. C(lookup) answers a list too where more than one ticket was found, and the ticket
    itself where one was, as it does with every lookup; C(wantlist=true) makes it a list always.
  - C(module_defaults) have no effect on lookups. Give the connection in the environment, in C(ansible.cfg) or as options.
seealso:
  - plugin: deskplane.helpdesk.ticket_info
    plugin_type: module
"""

EXAMPLES = r"""
- name: Deploy only while no critical incident is open
  ansible.builtin.assert:
    that: incidents | length == 0
    fail_msg: "{{ incidents | map(attribute='number') | join(', ') }} must end first"
  vars:
    incidents: "{{ query('deskplane.helpdesk.ticket', open=true, priority=['critical'], type='incident') }}"

- name: Show what became of a ticket
  ansible.builtin.debug:
    msg: "{{ lookup('deskplane.helpdesk.ticket', 'TKT-000001').status }}"
"""

RETURN = r"""
_list:
  description: The tickets. See M(deskplane.helpdesk.ticket) for what they hold.
  type: list
  elements: dict
"""

from urllib.parse import quote

from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

from ansible_collections.deskplane.helpdesk.plugins.module_utils import arguments
from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk import DeskFailure
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import everything
from ansible_collections.deskplane.helpdesk.plugins.plugin_utils.controller import desk_of

FILTERS = (
    "correlation_key",
    "customer",
    "department",
    "status",
    "priority",
    "type",
    "assignee",
    "owner",
    "reporter",
    "open",
    "title",
    "sla_state",
    "label",
    "tag",
)


class LookupModule(LookupBase):
    """Reads in the controller, at the moment when the template is filled."""

    def run(self, terms, variables=None, **kwargs):
        self.set_options(var_options=variables, direct=kwargs)
        numbers = [str(term).strip() for term in arguments.plain(terms)]
        wanted = {name: arguments.plain(self.get_option(name)) for name in FILTERS if self.get_option(name) is not None}
        most = self.get_option("limit")
        if numbers and (wanted or most is not None):
            raise AnsibleError("deskplane.helpdesk.ticket: give numbers, or filters (%s), not both" % ", ".join(wanted or ["limit"]))
        if most is not None and most < 1:
            raise AnsibleError("deskplane.helpdesk.ticket: limit must be 1 or more")
        try:
            desk = desk_of(self)
            if numbers:
                return [self._one(desk, number) for number in numbers]
            return everything(desk, "tickets", wanted, "tickets", most)
        except (DeskFailure, arguments.BadArguments) as error:
            raise AnsibleError("deskplane.helpdesk.ticket: %s" % error) from None

    def _one(self, desk, number):
        if not number:
            raise AnsibleError("deskplane.helpdesk.ticket: the number of a ticket is empty")
        try:
            return desk.get("tickets/" + quote(number, safe=""), subject="ticket '%s'" % number)
        except DeskFailure as failure:
            if failure.problem and failure.problem.get("status") == 404:
                raise AnsibleError(
                    "deskplane.helpdesk.ticket: there is no ticket '%s', or the key's owner may not see it" % number
                ) from None
            raise
