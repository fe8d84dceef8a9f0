"""The OpenAPI document: valid, complete, and kept by every answer."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from conftest import Api
from deskplane.app import make_operations, make_registry
from deskplane.kernel import openapi
from deskplane.kernel.fields import Ref
from deskplane.kernel.operation import Operation

OPERATIONS = make_operations(make_registry())
DOCUMENT = openapi.document(OPERATIONS)


def test_the_document_is_openapi_3_1() -> None:
    assert list(OpenAPIV31SpecValidator(DOCUMENT).iter_errors()) == []


def test_every_schema_in_it_is_json_schema() -> None:
    found = 0

    def walk(value: Any) -> None:
        nonlocal found
        if isinstance(value, dict):
            if "schema" in value and isinstance(value["schema"], dict) and "$ref" not in value["schema"]:
                jsonschema_rs.Draft202012Validator(value["schema"], validate_formats=True)
                found += 1
            for inner in value.values():
                walk(inner)
        elif isinstance(value, list):
            for inner in value:
                walk(inner)

    walk(DOCUMENT)
    assert found > 100


def test_there_is_no_route_outside_the_document(api: Api) -> None:
    served = {
        (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule))
        for rule in api.client.application.url_map.iter_rules()
        for method in (rule.methods or ()) - {"HEAD"}
    }
    documented = {
        (method.upper(), path)
        for path, methods in DOCUMENT["paths"].items()
        for method in methods
        if method != "parameters"
    }
    assert served == documented
    assert api.call("GET", "/openapi.json")["paths"] == json.loads(json.dumps(DOCUMENT["paths"]))


def test_names_of_operations_are_unique_and_each_says_what_it_needs() -> None:
    names = [entry["operationId"] for methods in DOCUMENT["paths"].values() for entry in methods.values()]
    assert len(set(names)) == len(names)
    for operation in OPERATIONS:
        entry = DOCUMENT["paths"][operation.path][operation.method.lower()]
        if operation.public:
            assert entry["security"] == []
        else:
            assert entry.get("x-permission", []) == list(operation.permission)
            assert not operation.session or entry["security"] == [{"session": []}]
            assert {"401", "403"} <= set(entry["responses"])


def test_a_secret_may_be_sent_and_its_sign_be_answered() -> None:
    answer = DOCUMENT["paths"]["/api/v1/users/{id}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    body = DOCUMENT["paths"]["/api/v1/users/apply"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert body["properties"]["password"]["writeOnly"] is True
    assert "writeOnly" not in json.dumps(answer)


def test_what_must_be_sent_is_required_in_the_document() -> None:
    def required(path: str) -> list[str] | None:
        entry = DOCUMENT["paths"][f"/api/v1/{path}"]["post"]
        found: list[str] | None = entry["requestBody"]["content"]["application/json"]["schema"].get("required")
        return found

    assert required("tickets") == ["title"]
    assert required("tickets/apply") is None  # a correlation_key names it as well
    assert required("labels/apply") == ["name"]


# --- every answer keeps to it


class Checked(Api):
    """A client that holds each answer against the document."""

    def request(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        answer = super().request(method, path, body, **options)
        check(method, answer.request.path, answer)
        return answer


def operation_at(method: str, path: str) -> Operation | None:
    exact = [found for found in OPERATIONS if found.path == path and found.method == method]
    for operation in exact or OPERATIONS:
        pattern = re.sub(r"\\\{\w+\\\}", "[^/]+", re.escape(operation.path))
        if operation.method == method and re.fullmatch(pattern, path):
            return operation
    return None


def check(method: str, path: str, answer: Any) -> None:
    operation = operation_at("GET" if method == "HEAD" else method, path)
    assert operation is not None, f"{method} {path} is in the document"
    responses = DOCUMENT["paths"][operation.path][operation.method.lower()]["responses"]
    where = f"{method} {path} {answer.status_code}: {answer.data[:500]!r}"
    assert str(answer.status_code) in responses, where
    content = responses[str(answer.status_code)].get("content")
    if not content:
        assert not answer.data, where
        return
    assert answer.mimetype in content, where
    schema = content[answer.mimetype]["schema"]
    if answer.mimetype.endswith("json") and method != "HEAD":
        whole = {**schema, "components": DOCUMENT["components"]}
        errors = [
            f"{error.instance_path}: {error.message[:200]}"
            for error in jsonschema_rs.Draft202012Validator(whole, validate_formats=True).iter_errors(answer.get_json())
        ]
        assert errors == [], where


@pytest.fixture
def checked(api: Api) -> Checked:
    return Checked(api.client, api.key, api.desk)


def test_every_operation_answers_as_it_is_documented(checked: Checked) -> None:
    """A walk over all operations: what they answer to good, bad, stale, repeated and forbidden requests."""
    tried: set[str] = set()
    registry = make_registry()
    for kind in registry:
        names = {name: value for name, value in kind.sample.items() if name in kind.written}
        for example in kind.examples:
            wanted = {name: value for name, value in example["options"].items() if value is not None}
            checked.request("POST", f"/{kind.path}/apply?dry_run=true&allow_unresolved=true", wanted)
        needed = {name: part for name, part in kind.written.items() if part.must_have}
        for name, part in needed.items():
            if isinstance(part, Ref):
                target = registry[part.kind]
                checked.apply(target.path, **{target.key[0]: names[name]})
        key = {name: names[name] for name in kind.key if name in needed}
        made = checked.apply(kind.path, **{name: names[name] for name in needed})
        address = f"/{kind.path}/{made['after']['id']}"
        tag = checked.request("GET", address).headers["ETag"]
        assert checked.request("GET", address, headers={"If-None-Match": tag}).status_code == 304
        assert checked.request("GET", f"/{kind.path}?limit=1").status_code == 200
        assert checked.request("PATCH", address, {}).status_code == 200
        assert checked.request("PATCH", address, {"no": 1}).status_code == 422
        assert checked.request("PATCH", address, {}, headers={"If-Match": '"99"'}).status_code == 412
        assert checked.request("POST", f"/{kind.path}/apply", {}).status_code == 422
        assert (
            checked.request("POST", f"/{kind.path}/apply?dry_run=true", {**key, "state": "absent"}).status_code == 200
        )
        assert checked.request("GET", f"/{kind.path}/nothing").status_code == 404
        if not kind.fixed:
            assert checked.request("DELETE", address, headers={"If-Match": '"99"'}).status_code == 412
            assert checked.request("DELETE", address).status_code == 204
            assert checked.request("DELETE", address).status_code == 404
        tried |= {kind.name}
    keys = {"Idempotency-Key": "one"}
    ticket = checked.request("POST", "/tickets", {"title": "One", "description": "*x*"}, headers=keys).get_json()
    checked.request("POST", "/tickets", {"title": "One", "description": "*x*"}, headers=keys)
    checked.request("POST", "/tickets", {"title": "Two"}, headers=keys)
    number = ticket["number"]
    for state in ("present", "resolved", "closed", "absent"):
        checked.request("POST", "/tickets/apply", {"title": "Disk", "correlation_key": "disk", "state": state})
        checked.request("POST", "/tickets/apply?dry_run=true", {"title": "Disk", "state": state})
    checked.request("PATCH", f"/tickets/{number}", {"status": "waiting", "comment": "x", "tags": ["b", "a"]})
    checked.request("PATCH", f"/tickets/{number}", {"status": "nowhere"})
    conversation = f"/tickets/{number}/messages"
    for body in ({"body": "x"}, {"body_html": "<p>x</p>"}, {"body": "x", "direction": "internal"}):
        message_id = checked.call("POST", conversation, body, status=201)["id"]
        checked.call("GET", f"{conversation}/{message_id}")
    checked.request("POST", conversation, {"body": ""})
    files = f"/tickets/{number}/attachments"
    for name in ("x.txt", "x.exe", ""):
        checked.request("POST", f"{files}?name={name}", data=b"hello", headers={"Content-Type": "text/plain"})
    checked.request("POST", files, data=b"hello", headers={"Content-Type": "text/plain", "If-Match": '"99"'})
    checked.apply("settings", key="attachments.max_bytes", value=1024)
    assert checked.request("POST", f"{files}?name=x", data=b"x" * 1025).status_code == 413
    (entry,) = checked.call("GET", files)["items"]
    for path in ("", "/text"):
        assert checked.request("GET", f"{files}/{entry['id']}{path}").data == b"hello"
    checked.call("DELETE", f"{files}/{entry['id']}", status=204)
    checked.request("POST", conversation, {"body": "x"}, headers={"If-Match": '"99"'})
    for path in ("", f"/{number}", f"/{number}/history", f"/{number}/messages", "/TKT-999999", "?limit=0", "?cursor=x"):
        checked.request("GET", f"/tickets{path}")
    checked.request("DELETE", f"/tickets/{number}", headers={"If-Match": '"99"'})
    checked.request("DELETE", f"/tickets/{number}")
    for path in ("/healthz", "/readyz", "/version", "/metrics", "/openapi.json", "/docs"):
        assert checked.request("GET", path).status_code == 200
        checked.request("GET", f"{path}?no=1")
        checked.request("HEAD", path)


def test_every_refusal_of_every_operation_is_documented(checked: Checked) -> None:
    nobody = Checked(checked.client, None, checked.desk)
    powerless = checked.as_user("powerless")
    powerless = Checked(powerless.client, powerless.key, powerless.desk)
    for operation in OPERATIONS:
        path = re.sub(r"\{\w+\}", "nothing", operation.path)
        for client in (nobody, powerless, checked):
            body = {} if operation.body else None
            assert client.request(operation.method, path, body).status_code < 500
            assert client.request(operation.method, f"{path}?no_such=1", body).status_code < 500
            if operation.body:
                for headers, raw in (({}, b"{}"), ({"Content-Type": "application/json"}, b"{"), ({}, b"")):
                    assert client.request(operation.method, path, data=raw, headers=headers).status_code < 500
