"""A desk on a real socket that gives the answers that a test wrote down, in turn, the last one again and again."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


class ScriptedDesk:
    """`script` holds (status, document or raw text); `requests` what came in: (method, path, body)."""

    def __init__(self) -> None:
        self.script: list[tuple[int, Any]] = []
        self.requests: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []
        desk = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                size = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(size)) if size else None
                desk.requests.append((self.command, self.path, body))
                desk.headers.append(dict(self.headers))
                status, document = desk.script.pop(0) if len(desk.script) > 1 else desk.script[0]
                is_text = isinstance(document, str)
                content = document.encode() if is_text else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if is_text else "application/json")
                self.send_header("Content-Length", str(len(content)))
                if not is_text:
                    self.send_header("Deskplane-Version", "0.1.0")
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> ScriptedDesk:
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.server.shutdown()
        self.server.server_close()


def planned(*changes: dict[str, Any], digest: str = "sha256:1", **more: Any) -> tuple[int, dict[str, Any]]:
    """The answer to a plan or an apply."""
    summary: dict[str, int] = {}
    for change in changes:
        summary[change["action"]] = summary.get(change["action"], 0) + 1
    document = {"changed": bool(changes), "digest": digest, "summary": summary, "changes": list(changes)}
    document |= {"manager": None, "revision": None, "needs_secret": [], "unresolved": [], "not_declared": []}
    return 200, {**document, "warnings": [], **more}


def changed(label: str, action: str, pointer: str | None, *fields: tuple[str, Any, Any], **more: Any) -> dict[str, Any]:
    """An entry of the list of changes."""
    kind, name = label.split(" ", 1)
    entry = {"kind": kind, "key": {"name": name}, "label": label, "action": action, "id": None, "renamed_from": None}
    entry["changes"] = [{"field": field, "before": before, "after": after} for field, before, after in fields]
    entry |= {"adopted": False, "released": [], "pruned": False, "disabled": False, "pointer": pointer, "warnings": []}
    return {**entry, **more}


def problem(status: int, code: str, detail: str, *errors: dict[str, Any], **more: Any) -> tuple[int, dict[str, Any]]:
    """A refusal."""
    document = {"type": f"urn:deskplane:problem:{code}", "title": "No", "status": status, "detail": detail}
    return status, {**document, "request_id": "r1", **({"errors": list(errors)} if errors else {}), **more}
