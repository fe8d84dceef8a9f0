# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.deskplane.helpdesk.plugins.filter.to_configuration import kinds, to_configuration

DEPARTMENT = {
    "id": "019a",
    "name": "support",
    "customer": None,
    "members": [],
    "imap": {"server": "imap.example.com", "password": "(secret)", "username": None},
    "smtp": {"server": None, "password": None},
    "created_at": "2026-03-02T09:00:00Z",
    "updated_at": "2026-03-02T09:00:00Z",
}
CLEAN = {
    "name": "support",
    "members": [],
    "imap": {"server": "imap.example.com", "password": {"$secret": "department/support/imap.password"}},
}


def test_only_what_can_be_applied_is_left():
    result = {"changed": False, "failed": False, "departments": [DEPARTMENT], "invocation": {}}
    assert to_configuration(result) == {"departments": [CLEAN]}


def test_a_list_of_objects_needs_the_name_of_their_kind():
    for name in ("department", "departments"):
        assert to_configuration([DEPARTMENT], name) == {"departments": [CLEAN]}
    with pytest.raises(AnsibleFilterError, match="name the kind"):
        to_configuration([DEPARTMENT])


def test_results_of_several_modules_and_of_loops_are_joined_in_their_order():
    labels = [{"changed": False, "labels": [{"id": "1", "name": name, "color": "#ffffff"}]} for name in ("b", "a")]
    found = to_configuration([{"departments": [DEPARTMENT]}, {"results": labels, "changed": False}])
    assert list(found) == ["departments", "labels"]
    assert found["labels"] == [{"name": "b", "color": "#ffffff"}, {"name": "a", "color": "#ffffff"}]
    assert to_configuration({"results": labels}, "label")["labels"] == found["labels"]


def test_of_several_kinds_one_can_be_taken():
    both = {"departments": [DEPARTMENT], "labels": [{"name": "a"}]}
    assert to_configuration(both, "label") == {"labels": [{"name": "a"}]}


def test_a_document_stays_what_it_is():
    document = {"departments": [CLEAN]}
    assert to_configuration(document) == document
    assert to_configuration({"configuration": document}) == document
    assert to_configuration(to_configuration({"departments": [DEPARTMENT]})) == document


def test_secrets_are_named_by_the_whole_key():
    hooks = [{"name": "chat", "department": None, "secret": "(secret)"}, {"name": "chat", "department": "a", "secret": "(secret)"}]
    found = to_configuration(hooks, "webhook")["webhooks"]
    assert [hook["secret"]["$secret"] for hook in found] == ["webhook/-/chat/secret", "webhook/a/chat/secret"]
    setting = to_configuration([{"key": "smtp.password", "value": "(secret)", "default": None}], "setting")
    assert setting == {"settings": [{"key": "smtp.password", "value": {"$secret": "setting/smtp.password/value"}}]}


def test_users_keep_their_memberships_and_lose_what_only_the_desk_can_say():
    user = {
        "id": "1",
        "username": "mia",
        "memberships": [{"customer": "ACME", "role": "member"}],
        "password": "(secret)",
        "last_login_at": None,
        "password_changed_at": "2026-03-02T09:00:00Z",
    }
    assert to_configuration({"users": [user]}) == {
        "users": [
            {
                "username": "mia",
                "memberships": [{"customer": "ACME", "role": "member"}],
                "password": {"$secret": "user/mia/password"},
            }
        ]
    }
    assert to_configuration([user], "user_credential") == to_configuration([user], "users")


def test_an_object_whose_field_is_named_like_a_kind_is_still_one_object():
    user = {"username": "mia", "roles": ["agent"], "groups": ["Second level"]}
    assert to_configuration([user], "user") == {"users": [{"username": "mia", "roles": ["agent"]}]}
    contact = {"email": "kim@acme.example", "customer": None, "assets": ["printer 4"]}
    assert to_configuration([contact], "contact") == {"contacts": [{"email": "kim@acme.example"}]}
    asset = {"customer": "ACME", "name": "printer 4", "contacts": ["kim@acme.example"]}
    assert to_configuration({"results": [asset]}, "asset") == {"assets": [asset]}


def test_an_object_without_its_whole_name_is_refused():
    with pytest.raises(AnsibleFilterError, match="an object of the kind asset has no customer"):
        to_configuration({"assets": [{"name": "printer 4"}]})


def test_empty_fields_can_be_kept():
    found = to_configuration([DEPARTMENT], "department", nulls=True)["departments"][0]
    assert found["customer"] is None and found["smtp"] == {"server": None, "password": None} and "id" not in found


def test_none_of_a_kind_is_an_empty_list():
    assert to_configuration({"departments": []}) == {"departments": []}
    assert to_configuration([], "department") == {"departments": []}


@pytest.mark.parametrize("value", [{"changed": False, "msg": "x"}, "text", 5, None, [1], {"departments": ["x"]}, {"departments": [{}]}])
def test_what_holds_no_objects_is_refused(value):
    with pytest.raises(AnsibleFilterError, match="^to_configuration: "):
        to_configuration(value)


def test_an_unknown_kind_is_refused_with_those_that_are_known():
    with pytest.raises(AnsibleFilterError, match="no kind 'ticket'.*departments"):
        to_configuration([], "ticket")


def test_every_kind_with_a_module_is_known():
    assert {"customers", "departments", "labels", "roles", "settings", "sla_policies", "ticket_types", "users", "webhooks"} <= set(kinds())
