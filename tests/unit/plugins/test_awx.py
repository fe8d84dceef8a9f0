# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The credential type for AWX: what AWX checks when it is made, and what a job then has, as AWX renders it."""

from __future__ import annotations

import pathlib
import re

import pytest
import yaml
from ansible_collections.deskplane.helpdesk.plugins.module_utils.arguments import CONNECTION, validated, with_environment
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import perform
from ansible_collections.deskplane.helpdesk.plugins.modules.label_info import DECLARATION
from ansible_collections.deskplane.helpdesk.tests.unit.conftest import KEY
from ansible_collections.deskplane.helpdesk.tests.unit.scripted_server import answer
from jinja2 import StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

FILE = pathlib.Path(__file__).parents[3] / "extensions" / "awx" / "credential_type.yml"
TYPE = yaml.safe_load(FILE.read_text(encoding="utf-8"))
FIELDS = {field["id"]: field for field in TYPE["inputs"]["fields"]}
ENV = TYPE["injectors"]["env"]


class Filenames:
    """What AWX calls ``tower``: the names of the files that it wrote."""

    def __init__(self, names):
        self.filename = names


def job_environment(folder, **given):
    """The variables of a job with a credential of these inputs, and its files, as AWX makes them."""
    namespace = {name: value for name, value in given.items() if value is True or value}
    for name, field in FIELDS.items():
        if field["type"] == "boolean":
            namespace.setdefault(name, False)
    renderer, names = ImmutableSandboxedEnvironment(), {}
    for label, template in TYPE["injectors"]["file"].items():
        path = folder / ("tmp" + label)
        path.write_text(renderer.from_string(template).render(**namespace), encoding="utf-8")
        names[label.split(".")[1]] = str(path)
    namespace["tower"] = Filenames(names)
    return {name: renderer.from_string(template).render(**namespace) for name, template in ENV.items()}


def test_awx_takes_the_type():
    assert set(TYPE) == {"name", "description", "kind", "inputs", "injectors"}
    assert TYPE["kind"] in ("cloud", "net")
    for field in FIELDS.values():
        assert {"id", "label"} <= set(field) <= {"id", "label", "type", "help_text", "multiline", "secret", "default"}
        assert field["type"] == "string" or not {"multiline", "secret"} & set(field)
    assert len(FIELDS) == len(TYPE["inputs"]["fields"]) and set(TYPE["inputs"]["required"]) <= set(FIELDS)
    assert [name for name, field in FIELDS.items() if field.get("secret")] == ["api_key"]
    assert set(TYPE["injectors"]) == {"env", "file"}
    assert all(re.match(r"template\.[a-zA-Z_]\w*\Z", label) for label in TYPE["injectors"]["file"])
    strict = ImmutableSandboxedEnvironment(undefined=StrictUndefined)
    files = {label.split(".")[1]: "EXAMPLE_FILENAME" for label in TYPE["injectors"]["file"]}
    example = dict({name: "EXAMPLE" for name in FIELDS}, tower=Filenames(files))
    for template in [*ENV.values(), *TYPE["injectors"]["file"].values()]:
        assert template.isascii() and strict.from_string(template).render(example)


def test_a_job_has_the_variables_that_the_collection_reads():
    assert set(ENV) == {CONNECTION["deskplane_" + name] for name in ("url", "api_key", "validate_certs", "ca_path")}


def test_a_job_reaches_its_desk(server, tmp_path):
    server.script = [answer(200, {"items": []})]
    environ = job_environment(tmp_path, url=server.url, api_key=KEY, ca_certificate="")
    assert environ == {"DESKPLANE_URL": server.url, "DESKPLANE_API_KEY": KEY, "DESKPLANE_CA_PATH": "", "DESKPLANE_VALIDATE_CERTS": "true"}
    assert perform(DECLARATION, {}, environ=environ)["labels"] == []
    assert server.requests[0].headers["authorization"] == "Bearer " + KEY


def test_the_authority_of_the_credential_is_the_one_that_is_trusted(tmp_path):
    environ = job_environment(tmp_path, url="https://127.0.0.1:1", api_key=KEY, ca_certificate="no certificate")
    assert environ["DESKPLANE_CA_PATH"] == str(tmp_path / "tmptemplate.ca")
    assert "tmptemplate.ca holds no usable certificate" in perform(DECLARATION, {}, environ=environ)["msg"]


@pytest.mark.parametrize("given, checks", [({}, True), ({"insecure": False}, True), ({"insecure": True}, False)])
def test_certificates_are_checked_unless_the_box_is_ticked(tmp_path, given, checks):
    environ = job_environment(tmp_path, url="https://127.0.0.1:1", api_key=KEY, **given)
    found = with_environment({}, environ)
    spec = {"deskplane_validate_certs": DECLARATION.argument_spec["deskplane_validate_certs"]}
    assert validated(spec, {"deskplane_validate_certs": found["deskplane_validate_certs"]})["deskplane_validate_certs"] is checks
    assert "deskplane_ca_path" not in found
