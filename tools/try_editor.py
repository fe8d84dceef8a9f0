"""Try what an editor makes of a desk's files: yaml-language-server, with the schema that a desk of its own serves.

    tools/python tools/try_editor.py            # a desk is started for it
    tools/python tools/try_editor.py --url URL  # the schema of a desk that runs

The example files, and what a desk exports, must have no findings; mistakes must be found in their lines; and kinds,
fields and values must be offered: where the editor's settings name the schema, where the file does, and with a copy
that the command line made. The language server comes from npm, as tools/editor/package-lock.json pins it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import threading
from contextlib import closing
from pathlib import Path
from queue import Empty, Queue
from typing import Any

from desk import Desk, free_port
from toolchain import ROOT, RUN, ToolError, node_packages, say

EDITOR = ROOT / "tools" / "editor"
EXAMPLES = ROOT / "docs" / "examples"
PATIENCE_S = 60

# Text of a file, the line of each finding from 0, and a word of it.
MISTAKES: list[tuple[str, int, str]] = [
    ("label:\n  - name: x\n", 0, "label"),
    ("labels:\n  - name: x\n    colour: red\n", 2, "colour"),
    ("labels:\n  - name: x\n    color: red\n", 2, "pattern"),
    ("departments:\n  - name: x\n    imap:\n      port: many\n", 3, "integer"),
    ("sla_policies:\n  - name: x\n    priorities: [urgent]\n", 2, "low"),
    ("labels: printer\n", 0, "array"),
    ("labels:\n  - name: x\n  - color: '#112233'\n", 2, 'missing property "name"'),
    (
        "webhooks:\n  - name: x\n    department: y\n    url: https://x\n    events: [ticket_opend]\n",
        4,
        "ticket_created",
    ),
    ("departments:\n  - name: x\n    enabled: maybe\n", 2, "boolean"),
]
# Text with | where the cursor is, and what must be offered there.
OFFERS: list[tuple[str, set[str]]] = [
    ("|", {"labels", "departments", "sla_policies", "webhooks"}),
    ("labels:\n  - |", {"name", "color"}),
    ("departments:\n  - name: x\n    imap:\n      |", {"server", "port", "password"}),
    ("sla_policies:\n  - name: x\n    priorities:\n      - |", {"low", "critical"}),
]
# Text with | where the mouse rests, and a word of the explanation.
EXPLANATIONS: list[tuple[str, str]] = [("sla_policies:\n  - name: x\n    response_mi|nutes: 30m\n", "first answer")]


class Editor:
    """Speaks the Language Server Protocol with one server on its standard input and output."""

    def __init__(self, command: list[str], folder: Path, schema: str | None = None) -> None:
        """Files are opened as those of `folder`; `schema` stands in the settings, without it files name their own."""
        self.folder = folder
        self.settings = {
            "validate": True,
            "completion": True,
            "schemaStore": {"enable": False},
            "schemas": {schema: ["*.yml"]} if schema else {},
        }
        # The desk is on this machine, whatever the environment says about the world outside.
        variables = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=variables)
        self.numbers = itertools.count(1)
        self.answers: Queue[dict[str, Any]] = Queue()
        self.findings: Queue[dict[str, Any]] = Queue()
        threading.Thread(target=self._listen, daemon=True).start()
        about = {"workspace": {"configuration": True}, "textDocument": {"completion": {}}}
        self.ask("initialize", processId=os.getpid(), rootUri=None, capabilities=about)
        self.tell("initialized")
        self.tell("workspace/didChangeConfiguration", settings={"yaml": self.settings})

    def close(self) -> None:
        self.process.kill()
        self.process.wait()

    def _send(self, **message: Any) -> None:
        content = json.dumps({"jsonrpc": "2.0", **message}).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(b"Content-Length: %d\r\n\r\n" % len(content) + content)
        self.process.stdin.flush()

    def _listen(self) -> None:
        stream = self.process.stdout
        assert stream is not None
        while True:
            size = 0
            while (line := stream.readline().strip()) or not size:
                if not line:
                    return
                if line.lower().startswith(b"content-length:"):
                    size = int(line.split(b":")[1])
            message = json.loads(stream.read(size))
            if message.get("method") == "textDocument/publishDiagnostics":
                self.findings.put(message["params"])
            elif "method" in message and "id" in message:
                wanted = message["params"].get("items", []) if message["method"] == "workspace/configuration" else []
                ours = [self.settings if item.get("section") == "yaml" else {} for item in wanted]
                self._send(id=message["id"], result=ours or None)
            elif "id" in message:
                self.answers.put(message)

    def tell(self, method: str, **params: Any) -> None:
        self._send(method=method, params=params)

    def ask(self, method: str, **params: Any) -> Any:
        number = next(self.numbers)
        self._send(id=number, method=method, params=params)
        while True:
            answer = _soon(self.answers, method)
            if answer["id"] == number:
                if "error" in answer:
                    raise ToolError(f"the language server refuses {method}: {answer['error']['message']}")
                return answer["result"]

    def open(self, text: str) -> tuple[str, list[dict[str, Any]]]:
        """The address of a new file with this text, and what is found in it."""
        uri = (self.folder / f"{next(self.numbers)}.yml").as_uri()
        self.tell("textDocument/didOpen", textDocument={"uri": uri, "languageId": "yaml", "version": 1, "text": text})
        while True:
            found = _soon(self.findings, "diagnostics")
            if found["uri"] == uri:
                return uri, found["diagnostics"]

    def ask_at(self, method: str, marked: str) -> Any:
        """Open a text, and ask about the place of the | in it."""
        before, after = marked.split("|")
        uri, _ = self.open(before + after)
        place = {"line": before.count("\n"), "character": len(before.rpartition("\n")[2])}
        return self.ask(method, textDocument={"uri": uri}, position=place) or {}

    def explanation(self, marked: str) -> str:
        """What is shown where the mouse rests on the | of a text."""
        return str(self.ask_at("textDocument/hover", marked).get("contents", {}).get("value", ""))

    def offers(self, marked: str) -> set[str]:
        """What is offered at the | of a text."""
        found = self.ask_at("textDocument/completion", marked)
        return {item["label"] for item in (found.get("items") if isinstance(found, dict) else found) or []}


def _soon(queue: Queue[dict[str, Any]], what: str) -> dict[str, Any]:
    try:
        return queue.get(timeout=PATIENCE_S)
    except Empty:
        raise ToolError(f"the language server did not answer {what} within {PATIENCE_S} s") from None


def language_server() -> list[str]:
    """The command that starts it; what the lock names is installed where it is not."""
    program = node_packages(EDITOR) / "node_modules" / "yaml-language-server" / "bin" / "yaml-language-server"
    return ["node", str(program), "--stdio"]


def wrong_in_files(editor: Editor, folder: Path) -> list[str]:
    """What is found in the files below a folder, which have no mistakes."""
    found = []
    files = sorted(folder.rglob("*.yml"))
    if not files:
        raise ToolError(f"there are no files below {folder}")
    for file in files:
        for finding in editor.open(file.read_text(encoding="utf-8"))[1]:
            found.append(f"{file}:{finding['range']['start']['line'] + 1}: {finding['message']}")
    say(f"{len(files)} files below {folder} were opened")
    return found


def wrong_in_mistakes(editor: Editor, head: str = "") -> list[str]:
    """`head` is what each file begins with."""
    found = []
    for text, line, word in MISTAKES:
        seen = editor.open(head + text)[1]
        told = [(one["range"]["start"]["line"] - head.count("\n"), one["message"]) for one in seen]
        say(f"{text.splitlines()[line].strip()!r}: {'; '.join(message for _, message in told) or 'nothing found'}")
        if not any(at == line and word in message.lower() for at, message in told):
            found.append(f"{head + text!r}: no finding in line {line + 1} with the word {word}: {told}")
    return found


def wrong_in_help(editor: Editor) -> list[str]:
    found = []
    for marked, wanted in OFFERS:
        offered = editor.offers(marked)
        say(f"{(marked.splitlines() or [''])[-1].strip()!r} in {marked.split(':')[0]!r}: {', '.join(sorted(offered))}")
        if not wanted <= offered:
            found.append(f"{marked!r}: lacks {', '.join(sorted(wanted - offered))}")
    for marked, word in EXPLANATIONS:
        shown = editor.explanation(marked)
        say(f"{marked.splitlines()[-1].strip()!r}: {' '.join(shown.split())}")
        if word not in shown:
            found.append(f"{marked!r}: the explanation lacks the word {word}: {shown}")
    return found


def command_line(*arguments: str, **connection: str) -> None:
    """Run `deskplane configuration`, with nothing of the caller's own settings."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("DESKPLANE_")}
    command = [RUN.command("deskplane"), "configuration", *arguments]
    done = subprocess.run(command, env={**variables, **connection}, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ToolError(f"deskplane configuration {arguments[0]}: {done.stderr.strip()}")


def exported(desk: Desk, folder: Path) -> Path:
    """What a desk made of the example files exports, with every field."""
    connection = {"DESKPLANE_URL": desk.url, "DESKPLANE_API_KEY": desk.key}
    command_line("apply", "-f", str(EXAMPLES / "desk"), "--yes", **connection)
    command_line("export", "--full", "-o", str(folder), **connection)
    return folder


def try_editor(url: str, home: Path, good: list[Path]) -> list[str]:
    """Everything that is not as an editor should have it."""
    command, schema = language_server(), f"{url}/api/v1/configuration/schema.json"
    files = home / "desk"
    say("The schema stands in the editor's settings:")
    with closing(Editor(command, files, schema)) as editor:
        found = [finding for folder in good for finding in wrong_in_files(editor, folder)]
        found += [*wrong_in_mistakes(editor), *wrong_in_help(editor)]
    with closing(Editor(command, files)) as editor:
        say("The file names it:")
        found += wrong_in_mistakes(editor, f"# yaml-language-server: $schema={schema}\n")
        say("The file names a copy:")
        command_line("schema", "--url", url, "-o", str(home / "desk.schema.json"))
        found += wrong_in_mistakes(editor, "# yaml-language-server: $schema=../desk.schema.json\n")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--url", help="address of a desk that runs; without it, one is started")
    options = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as name:
            home = Path(name)
            if options.url:
                found = try_editor(options.url.rstrip("/"), home, [EXAMPLES])
            else:
                desk = Desk(home, free_port())
                try:
                    desk.open(worker=False)
                    found = try_editor(desk.url, home, [EXAMPLES, exported(desk, home / "export")])
                finally:
                    desk.stop()
    except ToolError as error:
        found = [str(error)]
    for line in found:
        print(line, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
