# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime

import pytest
import yaml
from ansible_collections.deskplane.helpdesk.plugins.module_utils import arguments

SPEC = {
    "name": {"type": "str", "required": True},
    "country": {"type": "str"},
    "from": {"type": "str"},
    "minutes": {"type": "raw"},
    "port": {"type": "int"},
    "enabled": {"type": "bool"},
    "level": {"type": "str", "choices": ["low", "high"]},
    "tags": {"type": "list", "elements": "str"},
    "headers": {"type": "dict"},
    "imap": {
        "type": "dict",
        "options": {"port": {"type": "int"}, "password": {"type": "str", "no_log": True}, "tls": {"type": "str"}},
    },
    "keys": {"type": "list", "elements": "dict", "options": {"name": {"type": "str"}, "days": {"type": "int"}}},
}
FORMATS = {"from": "time", "minutes": "duration"}


class Tagged(str):
    """As Ansible's own strings are: no exact str."""


def checked(text):
    return arguments.validated(SPEC, arguments.plain(yaml.safe_load(text)), FORMATS)


@pytest.mark.parametrize(
    "text",
    [
        "{name: a}",
        "{name: a, imap: {port: 993}}",
        "{name: a, imap: {}}",
        "{name: a, country: null, imap: {port: null}, tags: null, level: null}",
        "{name: a, keys: [{name: x}, {days: 3}]}",
        "{name: a, headers: {X-One: '1', X-None: null}}",
        "{name: a, tags: [], keys: []}",
    ],
)
def test_exactly_what_is_given_is_kept(text):
    assert checked(text) == yaml.safe_load(text)


def test_values_are_converted_at_every_depth():
    assert checked("{name: 5, enabled: 'yes', imap: {port: '993'}, keys: [{days: '7'}], tags: 'a,b'}") == {
        "name": "5",
        "enabled": True,
        "imap": {"port": 993},
        "keys": [{"days": 7}],
        "tags": ["a", "b"],
    }


def test_a_dictionary_written_as_text_gains_no_empty_options():
    assert checked("{name: a, imap: 'port=993'}") == {"name": "a", "imap": {"port": 993}}


def test_a_duration_that_a_template_made_is_a_number_again():
    assert checked("{name: a, minutes: '30'}")["minutes"] == 30
    assert checked("{name: a, minutes: 30m}")["minutes"] == "30m"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{name: a, from: 17:30}", "from: YAML read a time without quotes as the number 1050; write it in quotes: '17:30'"),
        ("{name: a, from: 24:00}", "the number 1440; write it in quotes: '24:00'"),
        ("{name: a, country: NO}", "country: YAML read a word like yes, no, on or off as false; write it in quotes"),
        ("{name: a, tags: [x, on]}", "tags: YAML read a word"),
        ("{name: a, imap: {tls: off}}", "imap.tls: YAML read a word"),
        ("{name: a, headers: {on: x}}", "the key true was a YAML word"),
        ("{name: a, tags: [x, null]}", "tags: an item of the list is empty"),
        ("{name: a, prot: 1}", r"unknown option prot \(did you mean port\?\)"),
        ("{name: a, imap: {pasword: x}}", r"unknown option imap.pasword \(did you mean imap.password\?\)"),
        ("{name: a, zzz: 1}", r"unknown option zzz \(known: country, enabled"),
        ("{name: null}", "missing required arguments: name"),
        ("{name: a, level: mid}", "value of level must be one of: low, high, got: mid"),
        ("{name: a, port: many}", "port.* to int"),
    ],
)
def test_what_cannot_be_meant_is_refused(text, words):
    with pytest.raises(arguments.BadArguments, match=words):
        checked(text)


def test_tagged_values_become_plain():
    given = {Tagged("a"): [Tagged("b"), (1, 2.5, True, None)], "at": datetime.date(2027, 1, 2)}
    made = arguments.plain(given)
    assert made == {"a": ["b", [1, 2.5, True, None]], "at": "2027-01-02"}
    assert [text.__class__ for text in (*made, made["a"][0])] == [str, str, str]


def test_secrets_are_found_at_every_depth():
    assert arguments.secrets_of(SPEC, {"name": "a", "imap": {"port": 1, "password": "geheim"}}) == {"geheim"}


def test_text_in_place_of_a_container_of_secrets_is_one():
    assert arguments.secrets_of(SPEC, {"imap": "password=geheim"}) == {"password=geheim"}


def test_what_is_shown_of_the_options_hides_secrets_and_what_is_not_known():
    shown = arguments.hidden(SPEC, {"name": "a", "imap": {"port": 1, "password": "geheim"}, "pasword": "geheim"})
    assert shown == {"name": "a", "imap": {"port": 1, "password": arguments.HIDDEN}, "pasword": arguments.HIDDEN}


def test_the_longest_secret_is_masked_first():
    assert arguments.mask({"a": ["x abcdef", "abc"]}, {"abc", "abcdef"}) == {"a": ["x ********", "********"]}


def test_the_tasks_own_value_wins_over_the_environment():
    given = {"deskplane_url": "http://task", "deskplane_timeout": None, "name": None}
    environ = {"DESKPLANE_URL": "http://env", "DESKPLANE_TIMEOUT": "5", "DESKPLANE_CA_PATH": ""}
    assert arguments.with_environment(given, environ) == {"deskplane_url": "http://task", "deskplane_timeout": "5", "name": None}
