# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's side of a task, for tasks that are delegated to another host."""

from __future__ import annotations

import copy

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import perform


class _Module(AnsibleModule):
    """Remembers what was given: validation fills every other option with None."""

    given = {}

    def _load_params(self):
        super()._load_params()
        self.given = {name: copy.deepcopy(value) for name, value in self.params.items() if not name.startswith("_ansible_")}


def run(declaration):
    """Run the declared module and exit."""
    module = _Module(argument_spec=declaration.argument_spec, supports_check_mode=True, **declaration.constraints)
    result = perform(declaration, module.given, module.check_mode, module._diff)
    result.pop("invocation", None)
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)
