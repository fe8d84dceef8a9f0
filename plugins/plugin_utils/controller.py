# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What callback, inventory and lookup have in common: their desk is named by the plugin's own options."""

from __future__ import annotations

from ansible_collections.deskplane.helpdesk.plugins.module_utils import arguments
from ansible_collections.deskplane.helpdesk.plugins.module_utils.arguments import BadArguments
from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk import desk_for

OPTIONS = ("deskplane_url", "deskplane_api_key", "deskplane_validate_certs", "deskplane_ca_path", "deskplane_timeout")
"""The options of the documentation fragment ``controller``."""


def connection_of(plugin):
    """The connection options of a plugin whose options are set. Raises `BadArguments` where one is missing."""
    found = {name: arguments.plain(plugin.get_option(name)) for name in OPTIONS}
    missing = [name for name in OPTIONS[:2] if not found[name]]
    if missing:
        raise BadArguments(
            "%s not set: give it as an option of the plugin, in the section [deskplane] of ansible.cfg, or in the environment as %s"
            % (
                " and ".join(missing) + (" is" if len(missing) == 1 else " are"),
                " and ".join(arguments.CONNECTION[name] for name in missing),
            )
        )
    return found


def desk_of(plugin):
    """The desk of a plugin. Raises `BadArguments` and `DeskFailure`."""
    return desk_for(connection_of(plugin))
