# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: incident
type: notification
short_description: Open a ticket when a playbook fails, and resolve it when it succeeds again
version_added: 0.1.0
author: Deskplane contributors (@deskplane)
description:
  - Opens one ticket on a Deskplane desk when a run of a playbook ends with failed or unreachable hosts, and resolves it
    after the next run that ends without any. However many hosts fail, and however often, it stays one ticket.
  - Hosts that fail in a block that rescues them have not failed, and neither have tasks with C(ignore_errors) or
    C(ignore_unreachable). Unreachable hosts have failed; a C(rescue) does not see them, this plugin does.
  - A run resolves the ticket only if it was a whole one that had hosts. Runs with C(--check), C(--limit), C(--tags),
    C(--skip-tags), C(--start-at-task) or C(--step) never do. Runs with C(--check) open none either.
  - Never changes what a play does, nor its exit code. A desk that is down, slow or refuses costs one line of warning and
    at most O(time_limit) seconds at the end of the run.
  - Of what failed, the ticket holds the hosts, the names of the tasks, their messages and exit codes. It never holds
    results of tasks with C(no_log), arguments of tasks, or their output. In messages, values of variables that are
    encrypted with Ansible Vault or have a name like C(password), C(token), C(secret) or C(api_key) are masked, those of
    the environment too, and what looks like a password, a key or a login in an address.
options:
  correlation_key:
    description:
      - What the desk knows the trouble by. There is one open ticket with it for a customer.
      - C({default}) is C(awx/job-template/) and the job template's id in AWX and Automation Controller, which they give
        to each job as C(awx_job_template_id) and C(tower_job_template_id); elsewhere C(ansible/), project, playbook and
        inventory.
      - C({project}), C({playbook}), C({inventory}), C({template_id}), C({template_name}) and C({name}) can be used too.
        Two AWX that share a desk need a key that tells them apart, such as V(west/{default}).
    type: str
    default: "{default}"
    env:
      - name: DESKPLANE_INCIDENT_CORRELATION_KEY
    ini:
      - section: callback_incident
        key: correlation_key
  project:
    description:
      - Name of the project.
      - If not set, the name of the folder that holds the playbook and is a Git checkout, or has an C(ansible.cfg).
    type: str
    env:
      - name: DESKPLANE_INCIDENT_PROJECT
    ini:
      - section: callback_incident
        key: project
  title:
    description: Title of the ticket, with the same words in braces as O(correlation_key).
    type: str
    default: "{name} failed ({inventory})"
    env:
      - name: DESKPLANE_INCIDENT_TITLE
    ini:
      - section: callback_incident
        key: title
  type:
    description: Name of the ticket's type.
    type: str
    default: incident
    env:
      - name: DESKPLANE_INCIDENT_TYPE
    ini:
      - section: callback_incident
        key: type
  priority:
    description: How much it matters.
    type: str
    choices: [low, medium, high, critical]
    default: high
    env:
      - name: DESKPLANE_INCIDENT_PRIORITY
    ini:
      - section: callback_incident
        key: priority
  customer:
    description: Name of the customer.
    type: str
    env:
      - name: DESKPLANE_INCIDENT_CUSTOMER
    ini:
      - section: callback_incident
        key: customer
  department:
    description: Name of the department; else that of the key's owner, else the desk's default one.
    type: str
    env:
      - name: DESKPLANE_INCIDENT_DEPARTMENT
    ini:
      - section: callback_incident
        key: department
  assignee:
    description: Username of who works on it.
    type: str
    env:
      - name: DESKPLANE_INCIDENT_ASSIGNEE
    ini:
      - section: callback_incident
        key: assignee
  labels:
    description: Names of labels.
    type: list
    elements: str
    default: []
    env:
      - name: DESKPLANE_INCIDENT_LABELS
    ini:
      - section: callback_incident
        key: labels
  tags:
    description: Free words.
    type: list
    elements: str
    default: []
    env:
      - name: DESKPLANE_INCIDENT_TAGS
    ini:
      - section: callback_incident
        key: tags
  on_repeat:
    description:
      - What another failed run does to the open ticket. V(count) raises its occurrences, V(comment) adds an internal
        message that tells of the run, V(ignore) does nothing.
    type: str
    choices: [count, comment, ignore]
    default: count
    env:
      - name: DESKPLANE_INCIDENT_ON_REPEAT
    ini:
      - section: callback_incident
        key: on_repeat
  reopen_within:
    description:
      - Reopen the last ticket instead of opening a new one, if it ended no longer ago than this, such as V(12h).
        V(0) for never.
    type: str
    default: 1d
    env:
      - name: DESKPLANE_INCIDENT_REOPEN_WITHIN
    ini:
      - section: callback_incident
        key: reopen_within
  resolve:
    description: Whether a run that succeeds resolves the ticket.
    type: bool
    default: true
    env:
      - name: DESKPLANE_INCIDENT_RESOLVE
    ini:
      - section: callback_incident
        key: resolve
  time_limit:
    description: The longest that the end of a run waits for the desk, in seconds, with all repetitions.
    type: float
    default: 10
    env:
      - name: DESKPLANE_INCIDENT_TIME_LIMIT
    ini:
      - section: callback_incident
        key: time_limit
extends_documentation_fragment:
  - deskplane.helpdesk.controller
requirements:
  - Enable it in C(ansible.cfg) or by E(ANSIBLE_CALLBACKS_ENABLED), as V(deskplane.helpdesk.incident).
notes:
  - A run that ends before its last play has ended, by Ctrl-C or an error of syntax, is neither failed nor green.
"""

EXAMPLES = r"""
example: |
  # ansible.cfg; the key comes from the environment, as DESKPLANE_API_KEY
  [defaults]
  callbacks_enabled = deskplane.helpdesk.incident

  [deskplane]
  url = https://desk.example.com

  [callback_incident]
  customer = Example Ltd
  department = Platform Operations
  labels = deployment
  reopen_within = 1d
"""

import os
import threading

from ansible import context
from ansible.plugins.callback import CallbackBase

from ansible_collections.deskplane.helpdesk.plugins.module_utils import arguments
from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk import DeskFailure
from ansible_collections.deskplane.helpdesk.plugins.plugin_utils import incident
from ansible_collections.deskplane.helpdesk.plugins.plugin_utils.controller import connection_of, desk_of


class CallbackModule(CallbackBase):
    """Looks on during a run, and speaks with the desk once, when it has ended."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "deskplane.helpdesk.incident"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self._playbook = None
        self._play = None
        self._failures = []
        self._plays_of_hosts = {}
        self._had_hosts = False
        self._earlier = {}
        self._gave_up = False

    # What happens during the run. An error of this plugin must never become one of the play.

    def v2_playbook_on_start(self, playbook):
        self._playbook = playbook._file_name
        self._failures, self._plays_of_hosts, self._had_hosts = [], {}, False
        try:
            connection_of(self)
        except arguments.BadArguments as error:
            self._playbook = None
            self._warn("it watches nothing: %s" % error)

    def v2_playbook_on_play_start(self, play):
        self._play = play

    def v2_runner_on_start(self, host, task):
        self._had_hosts = True

    def v2_runner_on_failed(self, result, ignore_errors=False):
        if not ignore_errors:
            self._note(result, unreachable=False)

    def v2_runner_on_unreachable(self, result):
        self._note(result, unreachable=True)

    def _note(self, result, unreachable):
        if self._playbook is None:
            return
        try:
            host = result._host
            self._plays_of_hosts[host.get_name()] = (self._play, host)
            self._failures.append(incident.Failure(host.get_name(), result._task.get_name(), result._result, unreachable))
        except Exception as error:
            self._warn("a failure could not be read: %s" % error)

    def v2_playbook_on_stats(self, stats):
        if self._playbook is None or self._gave_up:
            return
        try:
            # Ansible counts over all playbooks of a command.
            now = {name: (stats.failures.get(name, 0), stats.dark.get(name, 0)) for name in stats.processed}
            failed = {name: self._since(name, counted) for name, counted in now.items()}
            failed = {name: count for name, count in failed.items() if count}
            self._earlier = now
            body, subject = self._wanted(failed)
            if body is not None:
                self._tell(body, subject)
        except Exception as error:
            self._warn(str(error))

    def _since(self, name, counted):
        before = self._earlier.get(name, (0, 0))
        return sum(counted) - sum(before)

    # What the desk is told.

    def _wanted(self, failed):
        """The body of the request and what it is about; None where there is nothing to say."""
        options = context.CLIARGS
        if options.get("check"):
            return None, None
        extra_vars = self._play.get_variable_manager().extra_vars if self._play else {}
        words = incident.names_of(self._playbook, options.get("inventory") or (), extra_vars, self.get_option("project"))
        secrets = self._secrets(extra_vars)
        key = incident.key_of(incident.filled(self.get_option("correlation_key"), words))
        body = {"correlation_key": key, "customer": self.get_option("customer"), "source": "ansible"}
        if not failed:
            if not (self.get_option("resolve") and self._had_hosts and _is_whole(options)):
                return None, None
            body.update(state="resolved", comment="A run of the playbook %s succeeded." % words["playbook"])
            return body, "resolving the incident '%s'" % key
        told = self._told(failed)
        text = incident.report(words, told, set(failed), secrets)
        body.update(
            title=incident.line(incident.masked(incident.filled(self.get_option("title"), words), secrets)),
            description=text,
            type=self.get_option("type"),
            priority=self.get_option("priority"),
            labels=list(self.get_option("labels")),
            tags=list(self.get_option("tags")),
            on_repeat=self.get_option("on_repeat"),
            state="present",
        )
        for name in ("department", "assignee"):
            if self.get_option(name):
                body[name] = self.get_option(name)
        if self.get_option("reopen_within") not in ("", "0"):
            body["reopen_within"] = self.get_option("reopen_within")
        if self.get_option("on_repeat") == "comment":
            body["comment"] = text
        return body, "opening the incident '%s'" % key

    def _told(self, failed):
        """The failures that counted: a host's last ones, since those before them were rescued."""
        left, told = dict(failed), []
        for failure in reversed(self._failures):
            if left.get(failure.host):
                left[failure.host] -= 1
                told.insert(0, failure)
        return told

    def _secrets(self, extra_vars):
        found = incident.secrets_among(dict(os.environ)) | incident.secrets_among(extra_vars)
        for play, host in self._plays_of_hosts.values():
            found |= incident.secrets_among(play.get_variable_manager().get_vars(play=play, host=host))
        key = self.get_option("deskplane_api_key")
        return found | {str(key)}

    def _tell(self, body, subject):
        """Sends it, or warns. In a thread, since only so everything together is bounded: names, waits, slow answers."""
        body = arguments.plain({name: value for name, value in body.items() if value is not None})
        failed = []

        def send():
            try:
                # Counting and commenting leave a trace each time: the desk must know a repetition.
                desk_of(self).apply("tickets", body, False, subject, keyed=True)
            except (DeskFailure, arguments.BadArguments) as error:
                failed.append(str(error))
            except Exception as error:
                failed.append("%s: %s" % (subject, error))

        thread = threading.Thread(target=send, daemon=True)
        thread.start()
        thread.join(self.get_option("time_limit"))
        if thread.is_alive():
            # The thread still has the connection, and another playbook of this command must not wait once more.
            self._gave_up = True
            self._warn("%s: the desk did not answer within %g s (time_limit)" % (subject, self.get_option("time_limit")))
        elif failed:
            self._warn(failed[0])

    def _warn(self, text):
        key = self.get_option("deskplane_api_key")
        text = arguments.mask(" ".join(text.split()), {str(key)} if key else set())
        self._display.warning("deskplane.helpdesk.incident: %s" % text)


def _is_whole(options):
    """Whether a run was one of the whole playbook on all of its hosts."""
    partly = options.get("subset") or options.get("skip_tags") or options.get("start_at_task") or options.get("step")
    return not partly and list(options.get("tags") or ("all",)) == ["all"]
