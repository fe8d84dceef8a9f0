# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module's side of a task, for tasks that are delegated to another host."""

from __future__ import annotations

import copy

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import perform, shown


class _Module(AnsibleModule):
    """Remembers what was given: validation fills every other option with None.

    Neither its result nor the host's system log has an option that holds secrets, even where Ansible refuses the options.
    """

    given = {}

    def _load_params(self):
        super()._load_params()
        self.given = {name: copy.deepcopy(value) for name, value in self.params.items() if not name.startswith("_ansible_")}

    def _log_invocation(self):
        params = self.params
        self.params = shown(self.argument_spec, params)
        try:
            super()._log_invocation()
        finally:
            self.params = params

    def _return_formatted(self, kwargs):
        kwargs["invocation"] = {"module_args": shown(self.argument_spec, self.given)}
        super()._return_formatted(kwargs)


def run(declaration):
    """Run the declared module and exit."""
    module = _Module(argument_spec=declaration.argument_spec, supports_check_mode=True, **declaration.constraints)
    result = perform(declaration, module.given, module.check_mode, module._diff)
    for warning in result.pop("warnings", ()):
        module.warn(warning)
    if result.get("failed"):
        module.fail_json(**result)
    module.exit_json(**result)
