# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

from ansible.plugins.connection.local import Connection as Local

DOCUMENTATION = r"""
name: elsewhere
short_description: This machine, as if it were another
description: Runs modules as on a host of its own, so that delegation can be tried without one.
version_added: 0.1.0
author: [Deskplane contributors (@deskplane)]
extends_documentation_fragment: [connection_pipelining]
"""


class Connection(Local):
    transport = "elsewhere"

    def exec_command(self, cmd, in_data=None, sudoable=True):
        with open(os.environ["ELSEWHERE_LOG"], "a", encoding="utf-8") as log:
            log.write(str(cmd) + "\n")
        return super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
