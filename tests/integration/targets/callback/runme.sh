#!/usr/bin/env bash
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The callback looks on while ansible-playbook runs, as it does for users: enabled by the environment.

set -eu

python try_callback.py ../../integration_config.yml
