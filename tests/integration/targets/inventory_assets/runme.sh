#!/usr/bin/env bash
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Inventory sources are read by the commands, as users do it: ansible-inventory and ansible-playbook.

set -eu

python try_assets.py ../../integration_config.yml
