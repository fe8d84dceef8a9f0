# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: duration
short_description: Turn a duration such as 1h 30m into minutes, and minutes into a duration
version_added: 0.1.0
author: Deskplane contributors (@deskplane)
description:
  - Reads durations by the rules of the desk, so that a playbook and the desk never differ about one. Weeks, days, hours
    and minutes in this order, each as a whole number with C(w), C(d), C(h) or C(m), with or without spaces between.
  - A day has 24 hours and a week seven days, on the clock and not of working time.
  - Text becomes minutes, and a number of minutes becomes text, unless O(to) says otherwise.
positional: to
options:
  _input:
    description: A duration such as V(1h 30m), or a number of minutes.
    type: raw
    required: true
  to:
    description:
      - What to make of it, whatever it is. V(text) brings every duration into its one shortest form, V(minutes) makes
        minutes of everything, also of text that is a number.
      - If not set, text becomes minutes and numbers become text.
    type: str
    choices: [minutes, text]
"""

EXAMPLES = r"""
- name: Minutes to reckon with
  ansible.builtin.debug:
    msg: "{{ '1h 30m' | deskplane.helpdesk.duration }}" # 90

- name: Text to read
  ansible.builtin.debug:
    msg: "{{ 2970 | deskplane.helpdesk.duration }}" # 2d 1h 30m

- name: One spelling
  ansible.builtin.debug:
    msg: "{{ '90m' | deskplane.helpdesk.duration(to='text') }}" # 1h 30m
"""

RETURN = r"""
_value:
  description: Minutes as a whole number, or text such as V(2d 1h 30m); V(0m) for none.
  type: raw
"""

import re

from ansible.errors import AnsibleFilterError

# The desk's own rule and bound (kernel/fields.py, Minutes).
_DURATION = re.compile(r"(?:([0-9]{1,6})w)?(?:([0-9]{1,6})d)?(?:([0-9]{1,7})h)?(?:([0-9]{1,9})m)?")
MOST_MINUTES = 10 * 366 * 24 * 60
UNITS = (("w", 7 * 24 * 60), ("d", 24 * 60), ("h", 60), ("m", 1))


def minutes_of(value):
    """The minutes that ``value`` means. Raises `AnsibleFilterError`."""
    minutes = None
    if isinstance(value, int) and not isinstance(value, bool):
        minutes = int(value)
    elif isinstance(value, float) and value.is_integer():
        minutes = int(value)
    elif isinstance(value, str):
        text = value.strip()
        found = _DURATION.fullmatch(text.replace(" ", ""))
        if text.isascii() and text.isdigit():
            minutes = int(text)
        elif found and any(found.groups()):
            minutes = sum(int(part or 0) * size for part, (_unit, size) in zip(found.groups(), UNITS))
    if minutes is None:
        raise AnsibleFilterError("duration: %r is no duration; write minutes, or text such as 30m, 4h, 2d or 1h 30m" % _shown(value))
    if not 0 <= minutes <= MOST_MINUTES:
        raise AnsibleFilterError("duration: %s must be between 0 and %d minutes" % (_shown(value), MOST_MINUTES))
    return minutes


def text_of(minutes):
    """The shortest text for these minutes."""
    parts = []
    for unit, size in UNITS:
        count, minutes = divmod(minutes, size)
        if count:
            parts.append("%d%s" % (count, unit))
    return " ".join(parts) or "0m"


def _shown(value):
    return value[:40] if isinstance(value, str) else value


def duration(value, to=None):
    """The filter."""
    if to not in (None, "minutes", "text"):
        raise AnsibleFilterError("duration: to is minutes or text, not %r" % to)
    minutes = minutes_of(value)
    if to is None:
        to = "minutes" if isinstance(value, str) else "text"
    return minutes if to == "minutes" else text_of(minutes)


class FilterModule:
    """What Ansible asks for."""

    def filters(self):
        return {"duration": duration}
