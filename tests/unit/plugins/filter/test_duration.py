# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.deskplane.helpdesk.plugins.filter.duration import MOST_MINUTES, duration


@pytest.mark.parametrize(
    ("text", "minutes"),
    [("30m", 30), ("1h 30m", 90), ("1h30m", 90), (" 2d ", 2880), ("1w 1d 1h 1m", 11581), ("90m", 90), ("0m", 0), ("0", 0), ("90", 90)],
)
def test_text_becomes_minutes(text, minutes):
    assert duration(text) == minutes


@pytest.mark.parametrize(
    ("minutes", "text"), [(0, "0m"), (59, "59m"), (90, "1h 30m"), (1440, "1d"), (11581, "1w 1d 1h 1m"), (60.0, "1h")]
)
def test_numbers_become_the_shortest_text(minutes, text):
    assert duration(minutes) == text


def test_what_becomes_of_it_can_be_said():
    assert duration("90m", to="text") == "1h 30m"
    assert duration("90", to="text") == "1h 30m"
    assert duration(90, to="minutes") == 90


def test_there_and_back_is_the_same():
    for minutes in (0, 1, 59, 60, 61, 1439, 1440, 10079, 10080, 123456, MOST_MINUTES):
        assert duration(duration(minutes)) == minutes


@pytest.mark.parametrize(
    "value",
    ["", "x", "1H", "30 minutes", "1m 1h", "-5m", "1.5h", "٣m", "٣", True, None, 1.5, -1, MOST_MINUTES + 1, "9999w", ["30m"]],
)
def test_what_the_desk_would_refuse_is_refused(value):
    with pytest.raises(AnsibleFilterError, match="^duration: "):
        duration(value)


def test_an_unknown_target_is_refused():
    with pytest.raises(AnsibleFilterError, match="minutes or text"):
        duration("1h", to="hours")
