#!/usr/bin/env bash
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The desk itself works through every example of every module, in check mode: they need objects that are not there.

set -eu

python run_examples.py ../../integration_config.yml
