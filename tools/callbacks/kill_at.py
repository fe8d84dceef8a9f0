"""Callback of Ansible: kills the run, as a machine that loses its power does, where it is told to.

Every task that begins is a line in the file that KILL_AT_LOG names. Before the task of the number KILL_AT_TASK begins,
or with KILL_AT_SECONDS so long after it began, the whole process group is killed (SIGKILL).
"""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

from ansible.plugins.callback import CallbackBase  # type: ignore[import-untyped]

LOOKS = frozenset({"assert", "debug", "fail", "find", "include_tasks", "meta", "set_fact", "setup", "slurp", "stat"})
"""What leaves a machine as it is. A command may do something, whatever its task says of itself."""


def kill() -> None:
    os.killpg(os.getpgrp(), signal.SIGKILL)


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Counts tasks. `DOCUMENTATION` is left out: nobody configures it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kill_at"

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.task = int(os.environ.get("KILL_AT_TASK", "0"))
        self.seconds = float(os.environ.get("KILL_AT_SECONDS", "0"))

    def note(self, word: str, name: str) -> None:
        with open(os.environ["KILL_AT_LOG"], "a", encoding="utf-8") as log:
            log.write(f"{self.count}\t{word}\t{name}\n")

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        self.count += 1
        self.note("began", task.get_name())
        if self.count == self.task:
            if self.seconds:
                threading.Timer(self.seconds, kill).start()
            else:
                kill()

    def v2_runner_on_ok(self, result: Any) -> None:
        found = result._result if hasattr(result, "_result") else {}
        looks = result._task.action.removeprefix("ansible.builtin.") in LOOKS and not found.get("changed")
        self.note("looked" if looks else "touched", result._task.get_name())
