#!/usr/bin/env bash
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Every playbook and every command that the guides print runs as it stands.

set -eu

python run_guides.py ../../integration_config.yml
