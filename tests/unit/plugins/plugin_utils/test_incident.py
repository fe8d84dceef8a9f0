# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.deskplane.helpdesk.plugins.plugin_utils import incident

MASK = "********"


@pytest.fixture
def project(tmp_path):
    root = tmp_path / "shop"
    (root / "playbooks").mkdir(parents=True)
    (root / "ansible.cfg").write_text("")
    return root


def names(project, inventories=(), extra=None, name=None):
    return incident.names_of(str(project / "playbooks" / "deploy.yml"), inventories, extra or {}, name)


def test_a_run_is_known_by_project_playbook_and_inventory(project):
    inventory = str(project / "inventories" / "production" / "hosts.yml")
    assert names(project, [inventory])["default"] == "ansible/shop/playbooks/deploy.yml@inventories/production/hosts.yml"
    assert names(project, [inventory], name="web")["default"].startswith("ansible/web/playbooks/")
    assert names(project, ["web1, web2,"])["inventory"] == "web1,web2"
    assert names(project)["inventory"] == "localhost"


def test_two_inventories_outside_of_the_project_stay_apart(project, tmp_path):
    found = {names(project, [str(tmp_path / "etc" / name / "hosts")])["inventory"] for name in ("staging", "production")}
    assert found == {"staging/hosts", "production/hosts"}


def test_without_a_mark_the_folder_of_the_playbook_is_the_project(tmp_path):
    (tmp_path / "loose").mkdir()
    found = incident.names_of(str(tmp_path / "loose" / "site.yml"), [], {})
    if not any(os.path.exists(str(above / ".git")) for above in tmp_path.parents):
        assert (found["project"], found["playbook"]) == ("loose", "site.yml")


def test_a_collection_is_a_project_of_two_words(tmp_path):
    root = tmp_path / "ansible_collections" / "deskplane" / "helpdesk"
    (root / "playbooks").mkdir(parents=True)
    (root / "MANIFEST.json").write_text("{}")
    found = incident.names_of(str(root / "playbooks" / "site.yml"), [], {})
    assert found["default"] == "ansible/deskplane.helpdesk/playbooks/site.yml@localhost"


@pytest.mark.parametrize("name", ["awx", "tower"])
def test_in_awx_it_is_the_job_template(project, name):
    extra = {name + "_job_template_id": 42, name + "_job_template_name": "Deploy shop", name + "_job_id": 7}
    found = names(project, [], extra)
    assert (found["default"], found["name"], found["job_id"]) == ("awx/job-template/42", "Deploy shop", "7")


def test_a_job_without_template_is_known_as_elsewhere(project):
    assert names(project, [], {"awx_job_id": 7})["default"].startswith("ansible/shop/")


def test_words_are_filled_in_and_nothing_else():
    assert incident.filled("{project}: {other} {}", {"project": "{name}", "name": "x"}) == "{name}: {other} {}"


def test_a_long_key_stays_one_of_its_own():
    first, second = (incident.key_of("k" * 300 + end) for end in "ab")
    assert len(first) <= 200 and len(second) <= 200 and first != second
    assert incident.key_of("short\n key ") == "short key"


@pytest.mark.parametrize(
    "text",
    [
        "password=s3cr3t-canary",
        "PASSWORD: s3cr3t-canary, next",
        "'api_key': 's3cr3t-canary'",
        '"token": "s3cr3t-canary with spaces"',
        "mysql --password s3cr3t-canary -h db",
        "Authorization: Bearer s3cr3t-canary",
        "authorization: basic czNjcjN0LWNhbmFyeQ==s3cr3t-canary",
        "git clone https://me:s3cr3t-canary@git.example.com/x.git",
        "redis://:s3cr3t-canary@cache:6379/0",
        "-----BEGIN OPENSSH PRIVATE KEY-----\ns3cr3t-canary\n-----END OPENSSH PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_secret_is_masked(text):
    found = incident.masked(text, set())
    assert "s3cr3t" not in found and MASK in found


@pytest.mark.parametrize(
    "text", ["the password is wrong", "no token was given", "https://desk.example.com:8080/path", "Task failed: exit code 1", "mail me@example.com"]
)
def test_what_does_not_is_left(text):
    assert incident.masked(text, set()) == text


class Vaulted(str):
    _ciphertext = "..."


def test_secrets_are_known_by_their_names_and_by_the_vault():
    variables = {
        "db_password": "one-canary",
        "API_TOKEN": "two-canary",
        "nested": {"deep": [{"client_secret": ["three-canary"]}]},
        "vault_anything": {"user": "four-canary"},
        "innocent": Vaulted("five-canary"),
        "key_file": "private\nlines",
        "ssh_private_key": "-----BEGIN\nsix-canary\n",
        "password_is_set": True,
        "pass": "abc",
        "other_password": "{{ vault_other }}",
        "author": "Mia Meier",
        "compass": "northwest",
        "hostvars": {"web": {"password": "not looked at"}},
        "PWD": "/srv/playbooks",
    }
    found = incident.secrets_among(variables)
    assert {"%s-canary" % number for number in ("one", "two", "three", "four", "five", "six")} <= found
    assert not found & {"Mia Meier", "northwest", "abc", "True", "not looked at", "/srv/playbooks", "{{ vault_other }}"}


def test_results_of_tasks_with_no_log_are_never_read():
    for result in (
        {"censored": "the output has been hidden", "msg": "canary"},
        {"_ansible_no_log": True, "msg": "canary"},
        {"msg": "some failed", "results": [{"failed": True, "_ansible_no_log": True, "msg": "canary"}]},
        {"censored": "hidden", "results": [{"failed": True, "msg": "canary"}]},
    ):
        text = "\n".join(incident.Failure("web", "Fail", result).lines(set()))
        assert "canary" not in text and "no_log" in text


def test_items_that_failed_say_why():
    result = {"msg": "One or more items failed", "results": [{"msg": "fine"}, {"failed": True, "msg": "bad", "rc": 3}]}
    text = "\n".join(incident.Failure("web", "Fail", result).lines(set()))
    assert "bad" in text and "exit code 3" in text and "fine" not in text


def test_a_report_is_bounded_and_holds_nothing_that_the_desk_refuses(project):
    failures = [incident.Failure("web%d" % n, "Task", {"msg": "\x1b[31mred\x1b[0m\x00 line\r\n" * 500}) for n in range(50)]
    text = incident.report(names(project), failures, {failure.host for failure in failures}, set())
    assert len(text) < 20000 and "Hosts that failed: 50" in text and "And 40 more" in text
    assert not set("\x1b\x00\r") & set(text)


def test_names_are_no_markup(project):
    failure = incident.Failure("<img>", "[x](http://y) `a` **b**\nc", {"msg": "<script>"})
    text = incident.report(names(project), [failure], {"<img>"}, set())
    assert "\\<img\\>" in text and "\\[x\\](http://y)" in text
    assert "    <script>" in text
