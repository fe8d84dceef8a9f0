# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.deskplane.helpdesk.plugins.module_utils import desk_files, desk_yaml
from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk_files import BadFiles, declared_in, declared_inline


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """Writes files below a directory that is the working directory."""
    monkeypatch.chdir(tmp_path)

    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/").replace("_DOT_", ".")
            path = path if path.suffix else path.with_suffix(".yml")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return write


def findings(*sources, **how):
    with pytest.raises(BadFiles) as caught:
        declared_in([list(sources)], **how)
    return str(caught.value).splitlines()


def test_files_of_a_directory_are_put_together_in_the_order_of_their_names(desk):
    desk(
        d__b="labels: [{name: b}]",
        d__a="labels: [{name: a}]\nroles: []",
        d__a__z="labels: [{name: z}]",
        d__c_DOT_json='{"labels":\t[{"name": "\\ud83d\\ude00"}]}',
        d__d_DOT_yaml="---\nroles: []\n---\nlabels: [{name: d}]",
        d___hidden="labels: [{name: hidden}]",
        d__empty="# nothing\n",
    )
    found = declared_in([["d"]])
    assert [label["name"] for label in found.configuration["labels"]] == ["a", "z", "b", "😀", "d"]
    assert found.configuration["roles"] == []
    assert found.count == 5


def test_what_is_quoted_and_what_looks_like_a_template_stays_as_it_is(desk):
    desk(
        d="webhooks:\n"
        "  - name: '17:30'\n"
        '    body: {"text": "{{ ticket.title }} ${subject}", on_call: "NO"}\n'
        "    date: 2026-11-21\n"
        "    port: 0x1f\n"
        "    ratio: 1.5\n"
        "    tagged: !!str 17:30\n"
        "    none: ~\n"
    )
    assert declared_in([["d.yml"]]).configuration["webhooks"] == [
        {
            "name": "17:30",
            "body": {"text": "{{ ticket.title }} ${subject}", "on_call": "NO"},
            "date": "2026-11-21",
            "port": 31,
            "ratio": 1.5,
            "tagged": "17:30",
            "none": None,
        }
    ]


@pytest.mark.parametrize(
    "text, said",
    [
        ("17:30", "17:30 without quotes is the number 1050"),
        ("24:00", "24:00 without quotes is the number 1440"),
        ("NO", "NO without quotes is false"),
        ("on", "on without quotes is true"),
        ("010", "010 without quotes is one number to some"),
        ("1e5", "1e5 without quotes is one number to some"),
        ("1_000", "1_000 without quotes"),
        (".inf", ".inf without quotes"),
        ("!vault abc", "the tag !vault means nothing here: secrets are given by {$secret: …}"),
        ("!!python/object:os.system {}", "the tag !!python/object:os.system means nothing here"),
        ("a: b", "a text with a colon and a space in it needs quotes"),
        ("*nobody", "the alias *nobody names no anchor above it"),
        ("&a [*a]", "an alias (*name) stands for something that it is itself in"),
        ("[" * 100000, "is nested too deeply"),
    ],
)
def test_what_is_read_differently_or_not_at_all_is_named_with_its_line(desk, text, said):
    desk(d="labels:\n  - name: x\n    description: %s\n" % text)
    (found,) = findings("d.yml")
    assert found.startswith("d.yml:3: ") and said in found


def test_a_tab_is_called_one(desk):
    desk(d="labels:\n\t- name: x\n")
    assert findings("d.yml") == ["d.yml:2: cannot be read: a tab stands where YAML wants spaces"]


def test_a_value_that_may_be_a_secret_is_not_repeated(desk):
    desk(d="departments:\n  - name: x\n    imap: {password: 0123456}\n")
    (found,) = findings("d.yml")
    assert found.startswith("d.yml:3: imap.password: what stands here") and "0123456" not in found


def test_nor_is_one_in_a_list_of_secrets(desk):
    desk(d="departments:\n  - name: x\n    tokens: [0123456, {a: 0123456}]\n")
    for found in findings("d.yml"):
        assert "what stands here" in found and "0123456" not in found


def test_two_objects_whose_names_are_misread_are_not_called_the_same(desk):
    desk(d="labels:\n  - name: NO\n  - name: off\n")
    assert [line.split(" ")[:2] for line in findings("d.yml")] == [["d.yml:2:", "name:"], ["d.yml:3:", "name:"]]


def test_an_alias_repeats_and_a_merge_gives_what_is_not_there(desk):
    desk(d="labels:\n  - &base {name: a, color: red}\n  - <<: *base\n    name: b\n")
    assert declared_in([["d.yml"]]).configuration["labels"][1] == {"name": "b", "color": "red"}


def test_aliases_that_multiply_end_soon(desk):
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += ["a%d: &a%d [%s]" % (n, n, ", ".join(["*a%d" % (n - 1)] * 10)) for n in range(1, 9)]
    desk(d="\n".join(lines))
    assert any("its aliases (*name) repeat each other" in line for line in findings("d.yml"))


def test_mistakes_of_shape_are_named_with_what_was_meant(desk):
    desk(
        d="sla_policy: []\nlabels: {name: x}\nroles:\nticket-types: []\nsettings: [a]\nlabels: []\nzzz: 1\n",
        e="- name: x\n",
    )
    text = findings("d.yml", "e.yml", "gone", ".")
    assert "d.yml:1: unknown kind sla_policy (did you mean sla_policies?)" in text
    assert "d.yml:2: labels must be a list, each object beginning with -, got an object" in text
    assert "d.yml:3: roles is empty: write roles: [] if there are to be none" in text
    assert "d.yml:4: unknown kind ticket-types (did you mean ticket_types?)" in text
    assert "d.yml:5: settings/0 must be an object, got text" in text
    assert "d.yml:6: labels is given a second time; first in line 2" in text
    assert any(line.startswith("d.yml:7: unknown kind zzz (known: ") for line in text)
    assert "e.yml:1: must hold lists of objects by kind, such as labels:, got a list" in text
    assert "gone: there is no such file or directory" in text


def test_files_that_cannot_be_read_are_named(desk):
    root = desk(d="labels: []", vault="$ANSIBLE_VAULT;1.1;AES256\n3232\n")
    (root / "latin.yml").write_bytes(b"labels: [{name: \xfc}]")
    (root / "nul.yml").write_bytes(b"labels: [{name: \0}]")
    (root / "empty").mkdir()
    text = "\n".join(findings("latin.yml", "vault.yml", "nul.yml", "empty"))
    assert "latin.yml: is not text in UTF-8 (byte 17)" in text
    assert "vault.yml:1: the file is encrypted by Ansible Vault" in text
    assert "nul.yml:1: cannot be read" in text or "nul.yml: cannot be read" in text
    assert "empty: the directory holds no *.yml, *.yaml or *.json file" in text


def test_the_same_object_twice_in_one_layer_names_both_places(desk):
    desk(d__a="labels:\n  - name: x\n", d__b="labels:\n  - name: y\n  - name: x\n")
    assert findings("d") == ["d/b.yml:3: label 'x' is declared a second time; first at d/a.yml:2"]


def test_the_same_name_in_two_departments_is_two_objects(desk):
    desk(d="webhooks: [{name: x, department: a}, {name: x, department: b}, {name: x}]")
    assert declared_in([["d.yml"]]).count == 3
    desk(d="webhooks: [{name: x, department: a}, {name: x, department: a}]")
    assert "webhook 'a/x' is declared a second time" in findings("d.yml")[0]


def test_a_later_layer_overrides_field_by_field_and_adds_what_is_new(desk):
    desk(
        base="departments:\n  - name: support\n    description: base\n    imap:\n      server: a\n      port: 993\n    members: [mia]\n"
        "webhooks:\n  - name: w\n    headers: {A: a}\n",
        prod="departments:\n  - name: support\n    imap:\n      server: b\n    members: [tom, eve]\n  - name: new\n"
        "webhooks:\n  - name: w\n    headers: {B: b}\n",
    )
    found = declared_in([["base.yml"], ["prod.yml"]])
    assert found.configuration == {
        "departments": [
            {"name": "support", "description": "base", "imap": {"server": "b", "port": 993}, "members": ["tom", "eve"]},
            {"name": "new"},
        ],
        "webhooks": [{"name": "w", "headers": {"B": "b"}}],
    }
    places = {
        "#/departments/0/description": "base.yml:3",
        "#/departments/0/imap/server": "prod.yml:4",
        "#/departments/0/imap/port": "base.yml:6",
        "#/departments/0/imap": "base.yml:4",
        "#/departments/0/members/1": "prod.yml:5",
        "#/departments/0/nothing": "base.yml:2",
        "#/departments/1": "prod.yml:6",
        "#/webhooks/0/headers/B": "prod.yml:9",
    }
    assert {pointer: str(found.place(pointer)) for pointer in places} == places
    assert [found.place(pointer) for pointer in ("#/manager", "#/departments", "#/departments/9", "")] == [None] * 4


def test_the_desks_errors_are_shown_where_they_stand(desk):
    desk(d="departments:\n  - name: support\n    imap:\n      port: 70000\n    workflow: itli\n")
    found = declared_in([["d.yml"]])
    errors = [
        {"pointer": "#/departments/0/imap/port", "code": "out_of_range", "detail": "must be between 1 and 65535"},
        {"pointer": "#/departments/0/workflow", "code": "x", "detail": "is unknown", "allowed": ["free", "itil"]},
        {"pointer": "#/departments/0/members/3", "code": "x", "detail": "is missing"},
        {"pointer": "#/max_deletions", "code": "x", "detail": "must be positive"},
    ]
    assert [desk_files.located(mistake) for mistake in found.mistakes({"errors": errors})] == [
        "d.yml:2: departments/0 (support): members[3]: is missing",
        "d.yml:4: departments/0 (support): imap.port: must be between 1 and 65535",
        "d.yml:5: departments/0 (support): workflow: is unknown (allowed: free, itil), did you mean itil?",
        "max_deletions: must be positive",
    ]


def test_files_are_shown_as_they_were_named_and_read_as_the_caller_reads_them(desk):
    root = desk(elsewhere__a="labels: [{name: x}, {name: x}]")
    shown = findings("desk", locate=lambda source: str(root / "elsewhere"))
    assert shown == ["desk/a.yml:1: label 'x' is declared a second time; first at desk/a.yml:1"]
    found = declared_in([["elsewhere"]], read_text=lambda path: "labels: [{name: read}]")
    assert found.configuration == {"labels": [{"name": "read"}]}


def test_what_a_task_declares_itself_is_checked_for_what_yaml_made_of_it():
    with pytest.raises(BadFiles) as caught:
        declared_inline(
            {"labels": [{"name": False}], "departments": [{"name": "a", "imap": {"server": True}}], "label": [], "roles": {}}
        )
    text = str(caught.value)
    assert "labels/0.name: YAML read a word like yes, no, on or off as false; write it in quotes" in text
    assert "departments/0.imap.server: YAML read a word" in text
    assert "unknown kind label (did you mean labels?)" in text
    assert "roles must be a list" in text


def test_references_are_replaced_by_the_secrets_that_are_given():
    configuration = {"departments": [{"name": "a", "imap": {"password": {"$secret": "x"}}, "smtp": {"password": {"$secret": "y"}}}]}
    assert desk_files.references_in(configuration) == {"x", "y"}
    (found,) = desk_files.with_secrets(configuration, {"x": "hunter2"})["departments"]
    assert (found["imap"], found["smtp"]) == ({"password": "hunter2"}, {"password": {"$secret": "y"}})
    plain = {"departments": [{"imap": {"password": "hunter3"}}], "users": [{"password": "hunter4"}], "labels": [{"name": "l"}]}
    plain["webhooks"] = [{"headers": {"X-A": "b"}, "secret_headers": {"X-C": "hunter5"}}, {"secret_headers": {"$secret": "x"}}]
    assert desk_files.plain_secrets(plain) == {"hunter3", "hunter4", "hunter5"}


TEXTS = ["NO", "y", "17:30", "08:30", "010", "0o17", "1e5", "1_000", "2026-11-21", "~", "", " a ", "a: b", "- x", "#", "=", "<<"]
TEXTS += ["{{ x }}", "${subject}", "a\nb\n", "a\n b\n\n", "a\r\nb", "😀", "true", "null", "1.5", "'", '"', "@x", "%x", "&a", "!t", "\u0085"]


def test_what_is_written_is_read_as_it_was_by_every_reader(desk):
    import yaml

    objects = [{"name": text, "n": [1, 1.5, 1e300, -3, True, None, {}, []]} for text in TEXTS]
    desk(d=desk_yaml.dump({"labels": objects}))
    assert declared_in([["d.yml"]]).configuration["labels"] == objects
    with open("d.yml", encoding="utf-8") as handle:
        assert yaml.safe_load(handle)["labels"] == objects
    desk(d_DOT_json=desk_yaml.dump_json({"labels": objects}))
    assert declared_in([["d.json"]]).configuration["labels"] == objects
    assert json.loads(desk_yaml.dump_json({"a": "ü"})) == {"a": "ü"}


def test_a_directory_that_leads_in_circles_is_read_once(desk):
    root = desk(d__a="labels: [{name: x}]")
    (root / "d" / "again").symlink_to(root / "d")
    assert declared_in([["d", "d/a.yml"]]).count == 1
