#!/usr/bin/env bash
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

set -eu

export ANSIBLE_CONNECTION_PLUGINS="${PWD}/connection_plugins"
# What was run "elsewhere", so that the play can tell where a task ran.
ELSEWHERE_LOG="${OUTPUT_DIR:-$(mktemp -d)}/elsewhere.log"
export ELSEWHERE_LOG
: > "${ELSEWHERE_LOG}"
for playbook in rescue delegation environment module_defaults loops; do
    ansible-playbook -i inventory.ini -e @../../integration_config.yml "${playbook}.yml" "$@"
done
