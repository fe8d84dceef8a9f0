# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    """How every module reaches its desk."""

    DOCUMENTATION = r"""
options:
  deskplane_url:
    description:
      - Address of the desk, for example V(https://desk.example.com), with a path if it is served below one.
      - If not set, the value of the environment variable E(DESKPLANE_URL) is used, in the task's own
        C(environment) first.
    type: str
    required: true
  deskplane_api_key:
    description:
      - API key with the rights that the task needs.
      - If not set, the value of the environment variable E(DESKPLANE_API_KEY) is used.
    type: str
    required: true
  deskplane_validate_certs:
    description:
      - Whether the desk's certificate is checked.
      - Set to V(false) only where nobody can listen in. Use O(deskplane_ca_path) for an authority of your own.
      - If not set, the value of the environment variable E(DESKPLANE_VALIDATE_CERTS) is used.
    type: bool
    default: true
  deskplane_ca_path:
    description:
      - File or directory with the certificates of the authorities that are trusted, in place of the system's.
      - It is read where the task runs, which is the controller unless the task is delegated.
      - If not set, the value of the environment variable E(DESKPLANE_CA_PATH) is used.
    type: path
  deskplane_timeout:
    description:
      - Seconds to wait for a connection, and for each part of an answer.
      - If not set, the value of the environment variable E(DESKPLANE_TIMEOUT) is used.
    type: float
    default: 30
  deskplane_manager:
    description:
      - In whose name configuration is declared, for example V(git:helpdesk). The desk remembers it for each field that
        is declared, refuses the same field of another manager, and reports changes by hand as drift.
      - Modules that only read, and those of tickets, take it and do nothing with it.
      - If not set, the value of the environment variable E(DESKPLANE_MANAGER) is used.
    type: str
    version_added: 0.1.0
  deskplane_revision:
    description:
      - What the manager's declaration was made from, for example the id of a commit. The desk shows it beside the manager.
      - If not set, the value of the environment variable E(DESKPLANE_REVISION) is used.
    type: str
    version_added: 0.1.0
notes:
  - The task runs in the controller and makes one request, whatever the host's own connection is. The host needs no
    Python, no library, and not even to be reachable. C(become) has no effect.
  - Delegated to a host whose connection is not V(local), the task runs there, with Python only.
    Connection options from the environment are still those of the controller.
  - Proxies are taken from E(http_proxy), E(https_proxy) and E(no_proxy), in the task's own C(environment) first.
  - In a loop over items that hold secrets, set C(loop_control.label) or C(no_log), because Ansible prints each item itself.
  - Set the connection once with C(module_defaults) for C(group/deskplane.helpdesk.all).
"""
