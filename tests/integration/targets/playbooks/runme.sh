#!/usr/bin/env bash
# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
#
# The example playbooks: what the check shows is what the run does, and a second run changes nothing.

set -eu

values() {
    python -c 'import sys, yaml; print(yaml.safe_load(open("../../integration_config.yml"))[sys.argv[1]])' "$1"
}

DESKPLANE_URL="$(values deskplane_url)"
DESKPLANE_API_KEY="$(values deskplane_api_key)"
export DESKPLANE_URL DESKPLANE_API_KEY
export ANSIBLE_NOCOLOR=1 ANSIBLE_LOCALHOST_WARNING=false ANSIBLE_INVENTORY_UNPARSED_WARNING=false

out="${OUTPUT_DIR:-$(mktemp -d)}"

run() {
    log="$1"
    playbook="$2"
    shift 2
    ansible-playbook "deskplane.helpdesk.${playbook}" "$@" > "${out}/${log}" 2>&1 || { cat "${out}/${log}"; exit 1; }
}

# Only what would be and was done: each task that changes, and its diff.
deeds() {
    grep -E '^(TASK|changed:|[-+@])' "${out}/$1" | grep -vE '^TASK \[(Show|Wait|Read)'
}

require() {
    grep -qE "$2" "${out}/$1" || { cat "${out}/$1"; echo "$1 lacks: $2"; exit 1; }
}

ansible-playbook -e @../../integration_config.yml clean.yml

for playbook in provision_service_levels incident_on_failed_deployment; do
    run "${playbook}.check" "${playbook}" --check --diff
    run "${playbook}.first" "${playbook}" --diff
    run "${playbook}.second" "${playbook}" --diff
    run "${playbook}.late-check" "${playbook}" --check --diff
    diff <(deeds "${playbook}.check") <(deeds "${playbook}.first")
    require "${playbook}.first" ' changed=[1-9]'
    for quiet in second late-check; do
        require "${playbook}.${quiet}" ' changed=0 '
        if grep -E ' changed=[1-9]' "${out}/${playbook}.${quiet}"; then exit 1; fi
    done
done

require provision_service_levels.check 'which does not exist yet'
require provision_service_levels.first 'critical-30m: critical, response within 30 min, resolution within 240 min'
require incident_on_failed_deployment.first 'rescued=1'
require incident_on_failed_deployment.first '[A-Z]+-[0-9]{6}: Deployment of shop to production failed'
require incident_on_failed_deployment.first 'first response due 20'
require incident_on_failed_deployment.first 'resolution due 20'

ansible-playbook -e @../../integration_config.yml one_ticket.yml
if (run must-succeed incident_on_failed_deployment -e deployment_must_succeed=true) > /dev/null; then
    echo "a pipeline that must stop went on"
    exit 1
fi
