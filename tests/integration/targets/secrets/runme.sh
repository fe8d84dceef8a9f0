#!/usr/bin/env bash
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Secrets of every kind go into a desk, in every way there is, and nothing that anybody can read has one of them.

set -eu

python try_secrets.py ../../integration_config.yml
