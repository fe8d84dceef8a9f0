# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs a task in the controller: starting a module's process costs ten times the request itself."""

from __future__ import annotations

import os

from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from ansible_collections.deskplane.helpdesk.plugins.module_utils import arguments
from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk import DeskFailure
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import perform


class DeskplaneAction(ActionBase):
    """An action file names its module's declaration as ``declaration``; everything else is here."""

    declaration = None
    # A network device's connection must not be opened for a task that never uses it.
    _requires_connection = False

    def run(self, tmp=None, task_vars=None):
        if self._task.async_val:
            return {
                "failed": True,
                "changed": False,
                "msg": "%s cannot run with async: it is one short request made by the controller; leave async and poll out"
                % self._task.action,
            }
        result = super().run(tmp, task_vars)
        environ = dict(os.environ, **self._task_environment())
        if self._is_delegated_away():
            result.update(self._run_there(environ, task_vars))
        else:
            files = TaskFiles(self)
            result.update(perform(self.declaration, self._task.args, self._task.check_mode, self._task.diff, environ, files))
        return result

    def _task_environment(self):
        if not any(self._task.environment or ()):
            return {}
        found = {}
        self._compute_environment_string(found)
        return {str(name): str(value) for name, value in found.items()}

    def _is_delegated_away(self):
        return bool(self._task.delegate_to) and self._connection.transport != "local"

    def _run_there(self, environ, task_vars):
        name, kind = self._task.resolved_action or self._task.action, self.declaration.kind
        try:
            given = arguments.with_environment(arguments.plain(self._task.args), environ)
            given, gathered = self.declaration.portable(given, TaskFiles(self))
        except arguments.BadArguments as error:
            return {"failed": True, "changed": False, "msg": "%s: %s" % (kind, error)}
        except DeskFailure as error:
            return {"failed": True, "changed": False, "msg": str(error), "errors": getattr(error, "mistakes", [])}
        result = self._execute_module(module_name=name, module_args=given, task_vars=task_vars)
        return self.declaration.placed(result, gathered)


class TaskFiles:
    """Files as a task means them: relative ones beside the playbook or role, encrypted ones decrypted."""

    def __init__(self, action):
        self._action = action

    def find(self, path):
        """Where the file or directory is; the path itself where there is none."""
        try:
            return str(self._action._find_needle("files", os.path.expanduser(path)))
        except AnsibleError:
            return path

    def plain(self, path):
        """Where the content of a file lies, decrypted if it was encrypted. Raises OSError."""
        try:
            return self._action._loader.get_real_file(path)
        except AnsibleError as error:
            raise OSError(0, " ".join(str(error).split()), path) from error

    def read_text(self, path):
        """The text of a file. Raises OSError, UnicodeDecodeError."""
        with open(self.plain(path), encoding="utf-8-sig") as handle:
            return handle.read()
