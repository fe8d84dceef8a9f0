"""What every answer tells browsers: whatever a page of somebody else's makes of an address of ours, nothing of it runs,
is framed, is sniffed, or is kept.

Shown by taking the defence out: without `headers.tell` in `kernel/http.py` all but the last fail; with `FILE` taken
from the attachments the third; with another style in the page than in its policy the fourth.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pytest
from werkzeug.test import TestResponse

from conftest import Api, settings
from deskplane.app import create_app, make_desk, make_operations, make_registry
from deskplane.kernel import headers
from deskplane.kernel.problem import Problem, busy

OPERATIONS = make_operations(make_registry())
PERSONAL = ("GET", "/labels")


def look(answer: TestResponse, where: Any) -> None:
    """Fails where an answer leaves something to browsers that it should not."""
    for name, value in headers.ALWAYS:
        assert answer.headers.get_all(name) == [value], (where, name)
    (policy,) = answer.headers.get_all(headers.CSP)
    said = dict(part.strip().partition(" ")[::2] for part in policy.split(";"))
    assert said["default-src"] == said["base-uri"] == said["frame-ancestors"] == said["form-action"] == "'none'", where
    assert "unsafe" not in policy, where
    assert answer.headers.get_all("Cache-Control") == ["no-store"], where
    assert "Server" not in answer.headers, where
    if answer.data:
        assert answer.content_type.startswith(("text/", "application/")), where


@pytest.mark.only_on("sqlite")
def test_every_operation_says_so_whatever_comes_of_it(api: Api) -> None:
    statuses = set()
    for operation in OPERATIONS:
        path = re.sub(r"\{\w+\}", "nothing", operation.path)
        for key in (api.key, None, "dpk_000000000000_nonsense"):
            sent = {"Authorization": f"Bearer {key}"} if key else {}
            body = {} if operation.body is not None else None
            answer = api.client.open(path, method=operation.method, json=body, headers=sent)
            look(answer, (operation.name, key, answer.status_code))
            statuses.add(answer.status_code)
    assert {200, 401, 403, 404, 422} <= statuses


@pytest.mark.only_on("sqlite")
@pytest.mark.provokes(500, 503, 507, "unexpected error")
def test_every_sort_of_error_says_so_too(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    json = {"Content-Type": "application/json"}
    asked: dict[int, TestResponse] = {
        400: api.request("POST", "/labels/apply", data=b"{", headers=json),
        404: api.client.get("/nothing/at/all"),
        405: api.request("PUT", "/labels"),
        413: api.request("POST", "/labels/apply", data=b" " * 2_000_000, headers=json),
        415: api.request("POST", "/labels/apply", data=b"x", headers={"Content-Type": "text/html"}),
    }
    troubles: dict[int, Exception] = {
        409: Problem(409, "conflict", "x"), 500: ValueError("x"), 503: busy(), 507: Problem(507, "disk_full", "x")
    }  # fmt: skip
    for status, trouble in troubles.items():

        def fail(*_: Any, found: Exception = trouble, **__: Any) -> None:
            raise found

        with monkeypatch.context() as patched:
            patched.setattr(api.desk.database, "run", fail)
            asked[status] = api.request("GET", "/labels")
    for status, answer in asked.items():
        assert answer.status_code == status
        look(answer, status)
        assert answer.content_type == "application/problem+json"
    assert b"ValueError" not in asked[500].data
    assert b"Traceback" not in asked[500].data


def test_a_file_is_a_download_that_a_browser_does_nothing_with(api: Api) -> None:
    number = api.call("POST", "/tickets", {"title": "x"}, 201)["number"]
    bad = b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'><script>alert(1)</script></svg>"
    for kind, name in (("image/svg+xml", "a.svg"), ("text/html", "a.html"), ("application/xml", "a.xml")):
        sent = {"Content-Type": kind, "Content-Disposition": f"attachment; filename={name}"}
        made = api.request("POST", f"/tickets/{number}/attachments", data=bad, headers=sent)
        assert made.status_code == 201, made.data
        path = f"/tickets/{number}/attachments/{made.get_json()['id']}"
        for answer in (api.request("GET", path), api.request("GET", f"{path}/text")):
            if answer.status_code == 200:
                look(answer, name)
                assert answer.headers[headers.CSP].startswith("sandbox;")
                assert answer.headers["Content-Disposition"].startswith("attachment")
                assert answer.content_type in ("application/octet-stream", "text/plain; charset=utf-8")
        assert api.request("GET", path).data == bad
    backup = api.request("POST", "/admin/backup")
    look(backup, "backup")
    assert backup.headers[headers.CSP].startswith("sandbox;")


@pytest.mark.only_on("sqlite")
def test_the_one_page_has_its_style_and_nothing_else(api: Api) -> None:
    page = api.request("GET", "/docs")
    look(page, "docs")
    text = page.get_data(as_text=True)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert page.headers[headers.CSP] == f"{headers.NOTHING}; style-src 'sha256-{digest}'"
    assert not re.search(r"<script|<img|<iframe|<link|\son\w+=|\sstyle=", text)


@pytest.mark.only_on("sqlite")
def test_browsers_are_told_to_stay_with_https_where_the_desk_has_it(api: Api, database_url: str) -> None:
    def said(secure: bool = False, **options: Any) -> list[str]:
        desk = make_desk(settings(database_url, **options), api.desk.clock)
        try:
            answer = create_app(desk).test_client().get("/healthz", base_url=f"http{'s' * secure}://desk.example.org")
            return answer.headers.get_all(headers.HSTS)
        finally:
            desk.database.dispose()

    at = "https://desk.example.org"
    assert said(public_address=at) == ["max-age=63072000"]
    assert said(public_address=at, hsts_subdomains=True) == ["max-age=63072000; includeSubDomains"]
    assert said(secure=True) == ["max-age=63072000"]
    assert said() == said(public_address="http://desk.example.org") == said(public_address=at, hsts_seconds=0) == []


def test_no_answer_is_left_out_of_the_crawl() -> None:
    assert len(OPERATIONS) > 100
