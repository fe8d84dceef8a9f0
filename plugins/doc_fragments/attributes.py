# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """What the modules can do; C(.info) for those that only read."""

    DOCUMENTATION = r"""
attributes:
  action:
    description: Has an action plugin of its own, which runs on the controller.
    support: full
  action_group:
    description: Use C(group/deskplane.helpdesk.all) in C(module_defaults) to set options for all modules of the collection.
    support: full
    membership: [deskplane.helpdesk.all]
  async:
    description: Can be run with C(async).
    support: none
    details: Refused with a clear message. It is one short request.
  check_mode:
    description: Can predict changes without making them.
    support: full
    details: The desk itself works out what the real run would do and rolls it back. An object that an earlier task
      would have made is reported by a warning.
  diff_mode:
    description: Shows the fields that differ.
    support: full
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
  platform:
    description: Where it runs.
    support: full
    platforms: all
"""

    INFO = r"""
attributes:
  action:
    description: Has an action plugin of its own, which runs on the controller.
    support: full
  action_group:
    description: Use C(group/deskplane.helpdesk.all) in C(module_defaults) to set options for all modules of the collection.
    support: full
    membership: [deskplane.helpdesk.all]
  async:
    description: Can be run with C(async).
    support: none
    details: Refused with a clear message. It is one short request.
  check_mode:
    description: Can predict changes without making them.
    support: full
    details: It only reads.
  diff_mode:
    description: Shows the fields that differ.
    support: N/A
    details: It only reads.
  idempotent:
    description: A second run with the same options changes nothing.
    support: full
  platform:
    description: Where it runs.
    support: full
    platforms: all
"""
