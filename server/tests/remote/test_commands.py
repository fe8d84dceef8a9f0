"""`deskplane configuration` against a desk that answers what a test wants."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deskplane.cli import main
from remote.desk_answers import ScriptedDesk, changed, planned, problem

KEY = "dpk_0123456789ab_" + "s" * 40
CANARY = "correct-horse-canary-staple"
DESK = """\
# What the desk should be.
labels:
  - name: printer
    color: "#ff0000"
departments:
  - name: support
    imap:
      password: {$secret: support/imap}
"""
CHANGES = planned(
    changed("label printer", "create", "#/labels/0", ("color", None, "#ff0000"), ("description", None, "a\nb")),
    changed(
        "department support",
        "update",
        "#/departments/0",
        ("imap.port", 993, 143),
        ("members", ["mia", "tom"], ["mia", "eve"]),
        ("description", "one\ntwo\n", "one\nthree\n"),
        ("imap.password", "(secret)", "(secret)"),
        released=["enabled"],
        adopted=True,
        renamed_from="help",
        warnings=["looks odd"],
    ),
    changed("label old", "delete", None, ("color", "#00ff00", None), pruned=True),
    summary={"create": 1, "update": 1, "delete": 1, "none": 3, "adopt": 1, "release": 1},
    needs_secret=[{"kind": "department", "key": {"name": "support"}, "field": "imap.password", "secret": "x"}],
    not_declared=[{"kind": "label", "label": "label left"}],
)
SHOWN = """\
+ label printer  desk.yml:3
    color: #ff0000
    description: a
      b
~ department support (renamed from help, adopted)  desk.yml:6
    imap.port: 993 → 143
    members:  -tom +eve
    description: 
      @@ -1,2 +1,2 @@
       one
      -two
      +three
    imap.password: (secret) → (secret)
    released, and left as they are: enabled
    ! looks odd
- label old (pruned)
! the desk has no imap.password of department support yet: give support/imap by --secrets
! declared no longer, and left alone without --prune: label left
Plan: 1 to create, 1 to update, 1 to delete, 3 without change, 1 adopted, 1 released
"""


@pytest.fixture
def desk() -> Iterator[ScriptedDesk]:
    with ScriptedDesk() as started:
        started.script = [CHANGES]
        yield started


Run = Callable[..., Result]


@pytest.fixture
def run(desk: ScriptedDesk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs `deskplane configuration` in a directory that has desk.yml."""
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("DESKPLANE_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    Path("desk.yml").write_text(DESK)

    def call(*arguments: str, text: str = "", **variables: str) -> Result:
        environment = {"DESKPLANE_URL": desk.url, "DESKPLANE_API_KEY": KEY, **variables}
        done = CliRunner(env=environment).invoke(main, ["configuration", *arguments], input=text)
        assert done.exception is None or isinstance(done.exception, SystemExit), repr(done.exception)
        assert "Traceback" not in done.output
        assert KEY not in done.output
        return done

    return call


def test_a_plan_shows_each_change_with_its_place_and_what_to_look_at(run: Run, desk: ScriptedDesk) -> None:
    done = run("plan", "-f", "desk.yml")
    assert (done.exit_code, done.stdout, done.stderr) == (0, SHOWN, "")
    ((method, path, body),) = desk.requests
    assert (method, path) == ("POST", "/api/v1/configuration/plan")
    assert body["configuration"]["departments"] == [
        {"name": "support", "imap": {"password": {"$secret": "support/imap"}}}
    ]
    assert desk.headers[0]["User-Agent"].startswith("deskplane/")


def test_options_are_sent_where_they_are_given(run: Run, desk: ScriptedDesk) -> None:
    given = ["--manager", "git:a", "--revision", "3f1", "--prune", "--max-deletions", "3", "--on-blocked", "disable"]
    run("plan", "-f", "desk.yml", *given, "--adopt", "--force", "--allow-unresolved")
    run("plan", "-f", "desk.yml", DESKPLANE_MANAGER="git:env", DESKPLANE_REVISION="9a9")
    bodies = [{name: value for name, value in body.items() if name != "configuration"} for _, _, body in desk.requests]
    options = {"manager": "git:a", "revision": "3f1", "prune": True, "max_deletions": 3, "on_blocked": "disable"}
    assert bodies[0] == {**options, "adopt": True, "force": True, "allow_unresolved": True}
    assert bodies[1] == {"manager": "git:env", "revision": "9a9"}


def test_exit_codes_tell_changes_from_errors(run: Run, desk: ScriptedDesk) -> None:
    assert run("plan", "-f", "desk.yml", "--detailed-exitcode").exit_code == 2
    desk.script = [planned()]
    done = run("plan", "-f", "desk.yml", "--detailed-exitcode")
    assert (done.exit_code, done.stdout) == (0, "No change: nothing is declared\n")
    desk.script = [problem(422, "invalid", "no")]
    assert run("plan", "-f", "desk.yml", "--detailed-exitcode").exit_code == 1
    for misuse in (["plan", "--nonsense"], ["plam"], ["apply", "--on-blocked", "maybe"], ["plan", "-f"]):
        done = run(*misuse)
        assert (done.exit_code, "Error: " in done.stderr) == (1, True), misuse


def test_json_is_the_desks_answer_with_places(run: Run, desk: ScriptedDesk) -> None:
    document = json.loads(run("plan", "-f", "desk.yml", "--json").stdout)
    assert [(change["file"], change["line"]) for change in document["changes"]] == [
        ("desk.yml", 3),
        ("desk.yml", 6),
        (None, None),
    ]
    assert document["digest"] == "sha256:1"
    error = {"pointer": "#/labels/0/color", "code": "x", "detail": "must be a colour"}
    desk.script = [problem(422, "invalid", "no", error)]
    done = run("plan", "-f", "desk.yml", "--json")
    (mistake,) = json.loads(done.stdout)["errors"]
    assert (done.exit_code, mistake["file"], mistake["line"]) == (1, "desk.yml", 4)


def test_all_mistakes_of_all_files_are_lines_of_their_own(run: Run, desk: ScriptedDesk) -> None:
    Path("more.yml").write_text("labels:\n  - name: NO\nlabel: []\n")
    desk.script = [problem(422, "invalid", "no", {"pointer": "#/labels/0/color", "code": "x", "detail": "is wrong"})]
    given = ("-f", "desk.yml", "-f", "more.yml", "-f", "gone.yml")
    done = run("apply", *given, "--yes")
    assert (done.exit_code, [path for _, path, _ in desk.requests]) == (1, ["/api/v1/configuration/plan"])
    lines = done.stderr.splitlines()
    assert lines[:2] == [
        "desk.yml:4: labels/0 (printer): color: is wrong",
        "gone.yml: there is no such file or directory",
    ]
    assert lines[2].startswith("more.yml:2: name: NO without quotes is false")
    assert lines[3] == "more.yml:3: unknown kind label (did you mean labels?)"
    assert lines[4:] == ["deskplane: 4 mistakes, and nothing was changed"]
    # Without a desk to ask, what is in the files is told all the same.
    assert len(run("plan", *given, DESKPLANE_URL="").stderr.splitlines()) == 4
    errors = [{"pointer": f"#/labels/0/{name}", "code": "x", "detail": "is wrong"} for name in ("color", "name")]
    desk.script = [problem(409, "owned_by_another", "git:first owns it", *errors)]
    done = run("plan", "-f", "desk.yml")
    assert done.stderr.splitlines() == [
        "desk.yml:3: labels/0 (printer): name: is wrong",
        "desk.yml:4: labels/0 (printer): color: is wrong",
        "deskplane: 2 conflicts, and nothing was changed",
    ]


def test_an_apply_needs_somebody_who_agrees(run: Run, desk: ScriptedDesk) -> None:
    done = run("apply", "-f", "desk.yml")
    assert (done.exit_code, len(desk.requests)) == (1, 1)
    assert (
        done.stderr == "deskplane: nobody is here to agree to the plan: give --yes, or apply the file of plan --out\n"
    )
    done = run("apply", "-f", "desk.yml", "--yes", "--detailed-exitcode")
    assert (done.exit_code, desk.requests[-1][1]) == (2, "/api/v1/configuration/apply")
    assert "plan_digest" not in desk.requests[-1][2]
    assert done.stdout.endswith("Applied: 1 created, 1 updated, 1 deleted, 3 without change, 1 adopted, 1 released\n")
    run("apply", "-f", "desk.yml", "--yes", "--digest", "sha256:9")
    assert desk.requests[-1][2]["plan_digest"] == "sha256:9"
    run("apply", "-f", "desk.yml", "--yes", "--digest", "")  # a variable that was not set: the desk refuses it
    assert desk.requests[-1][2]["plan_digest"] == ""


def test_an_apply_without_a_change_asks_nobody_and_tells_the_desk(run: Run, desk: ScriptedDesk) -> None:
    desk.script = [planned(summary={"none": 2})]
    done = run("apply", "-f", "desk.yml", "--detailed-exitcode")
    assert (done.exit_code, done.stdout) == (0, "No change: 2 without change\n")
    assert [path.rsplit("/", 1)[1] for _, path, _ in desk.requests] == ["plan", "apply"]


@pytest.mark.parametrize(("said", "requests"), [("y\n", 2), ("n\n", 1)])
def test_at_a_terminal_the_plan_is_shown_in_colour_and_asked_about(
    run: Run, desk: ScriptedDesk, said: str, requests: int
) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "DESKPLANE_URL": desk.url, "DESKPLANE_API_KEY": KEY, "TERM": "xterm", "NO_COLOR": ""}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    command = [
        sys.executable,
        "-c",
        "from deskplane.cli import main; main()",
        "configuration",
        "apply",
        "-f",
        "desk.yml",
    ]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    while b"Apply this to" not in shown:
        shown += os.read(ours, 4096)
    os.write(ours, said.encode())
    try:
        while chunk := os.read(ours, 4096):
            shown += chunk
    except OSError:
        pass  # what Linux says at the end of a terminal
    os.close(ours)
    assert process.wait() == (0 if said == "y\n" else 1)
    assert b"\x1b[1;32m+ label printer" in shown
    assert b"Planning 2 objects on http://127.0.0.1:" in shown
    assert (b"Applying 2 objects on http://127.0.0.1:" in shown) is (said == "y\n")
    assert len(desk.requests) == requests
    if said == "y\n":
        assert desk.requests[-1][2]["plan_digest"] == "sha256:1"


def test_a_plan_in_a_file_is_applied_as_it_was_planned(run: Run, desk: ScriptedDesk) -> None:
    Path("secrets.yml").write_text(f"support/imap: {CANARY}\nother: unused-secret\n")
    done = run(
        "plan", "-f", "desk.yml", "--manager", "git:a", "--prune", "--out", "plan.json", "--secrets", "secrets.yml"
    )
    assert done.stderr == "The plan is in plan.json: deskplane configuration apply plan.json\n"
    assert Path("plan.json").stat().st_mode & 0o777 == 0o600
    assert CANARY not in Path("plan.json").read_text()
    Path("desk.yml").write_text("labels: []\n")

    done = run("apply", "plan.json")
    assert "was made with the secret support/imap, which it does not hold: give it by --secrets" in done.stderr
    assert len(desk.requests) == 1
    done = run("apply", "plan.json", "--secrets", "secrets.yml")
    assert done.exit_code == 0
    first, second = desk.requests[0][2], desk.requests[1][2]
    assert second == {**first, "plan_digest": "sha256:1"}
    assert second["configuration"]["departments"][0]["imap"]["password"] == CANARY
    assert "desk.yml:3" in done.stdout


def test_a_desk_that_changed_meanwhile_shows_the_new_plan(run: Run, desk: ScriptedDesk) -> None:
    desk.script = [CHANGES, problem(409, "plan_changed", "the plan is another now", plan=CHANGES[1])]
    run("plan", "-f", "desk.yml", "--out", "plan.json")
    done = run("apply", "plan.json")
    assert done.exit_code == 1
    assert "has changed since it was planned. The plan is now:\n+ label printer  desk.yml:3\n" in done.stdout
    assert done.stderr == "deskplane: configuration: the plan is another now\n"
    done = run("apply", "plan.json", "--json")
    assert json.loads(done.stdout)["problem"]["plan"]["digest"] == "sha256:1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is no plan"),
        ("labels: []", "is no plan"),
        ("[1]", "is no plan"),
        ("[" * 100_000, "is no plan"),
        ('{"deskplane_plan": 2}', "is a plan of another version"),
    ],
)
def test_what_is_no_plan_is_called_so(run: Run, desk: ScriptedDesk, text: str, said: str) -> None:
    Path("plan.json").write_text(text)
    done = run("apply", "plan.json")
    assert (done.exit_code, len(done.stderr.splitlines())) == (1, 1)
    assert said in done.stderr
    assert "gone.json: No such file" in run("apply", "gone.json").stderr
    assert "give --secrets at most beside it" in run("apply", "plan.json", "-f", "desk.yml").stderr
    assert "say with -f" in run("apply").stderr


def test_secrets_are_read_and_never_shown(run: Run, desk: ScriptedDesk) -> None:
    Path("good.json").write_text(json.dumps({"support/imap": CANARY}))
    Path("odd.yml").write_text("mail: 0123987\n")
    Path("list.yml").write_text("- a\n")
    Path("number.yml").write_text("mail: 5\n")
    done = run("plan", "-f", "desk.yml", "--secrets", "good.json", "--json")
    assert CANARY not in done.output
    assert desk.requests[0][2]["configuration"]["departments"][0]["imap"]["password"] == CANARY
    done = run("plan", "-f", "desk.yml", "--secrets", "odd.yml")
    assert done.stderr.startswith("odd.yml:1: what stands here without quotes")
    assert "0123987" not in done.output
    assert "must be one map" in run("plan", "-f", "desk.yml", "--secrets", "list.yml").stderr
    assert "the secret of mail must be text" in run("plan", "-f", "desk.yml", "--secrets", "number.yml").stderr


EXPORT = {"labels": [{"name": "NO", "color": "#fff"}], "roles": [{"name": "x", "permissions": ["{{ y }}", "${z}"]}]}


def test_an_export_goes_to_a_directory_a_file_or_the_output(run: Run, desk: ScriptedDesk) -> None:
    desk.script = [(200, {"configuration": EXPORT})]
    done = run("export", "-o", "out", "--manager", "git:a", "--full", "--detailed-exitcode")
    assert (done.exit_code, done.stdout) == (2, "written: out/labels.yml\nwritten: out/roles.yml\n")
    assert desk.requests[0][1] == "/api/v1/configuration?manager=git%3Aa&full=true"
    text = Path("out/labels.yml").read_text()
    assert text.startswith("---\n# Exported from a Deskplane desk: labels.\n")
    assert text.endswith("labels:\n  - name: 'NO'\n    color: '#fff'\n")
    done = run("export", "-o", "out", "--detailed-exitcode")
    assert (done.exit_code, done.stdout) == (0, "the same: out/labels.yml\nthe same: out/roles.yml\n")
    run("export", "-o", "all.json")
    assert json.loads(Path("all.json").read_text()) == EXPORT
    assert json.loads(run("export", "--json").stdout) == EXPORT
    Path("printed.yml").write_text(run("export").stdout)
    desk.script = [planned()]
    for source in ("out", "all.json", "printed.yml"):
        run("plan", "-f", source)
        assert desk.requests[-1][2]["configuration"] == EXPORT
    Path("file").write_text("")
    desk.script = [(200, {"configuration": EXPORT})]
    assert run("export", "-o", "file").stderr.startswith("deskplane: file")


def test_the_schema_is_printed_or_written_and_needs_no_key(run: Run, desk: ScriptedDesk) -> None:
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Ein Schreibtisch, größer"}
    desk.script = [(200, document)]
    done = run("schema", DESKPLANE_API_KEY="")
    assert (done.exit_code, json.loads(done.stdout), desk.requests[0][:2]) == (
        0,
        document,
        ("GET", "/api/v1/configuration/schema.json"),
    )
    assert run("schema", "-o", "schema.json").stdout == ""
    assert json.loads(Path("schema.json").read_text()) == document
    assert all("Authorization" not in headers for headers in desk.headers)
    assert "set DESKPLANE_URL in the environment, or give --url\n" in run("schema", DESKPLANE_URL="").stderr


def test_drift_is_a_table(run: Run, desk: ScriptedDesk) -> None:
    field = {"kind": "label", "label": "label a", "change": "field", "field": "color", "before": "#1", "after": None}
    gone = {"kind": "label", "label": "label b", "change": "deleted", "field": None, "before": None, "after": None}
    items = [{**field, "who": "mia", "when": "2026-11-02T09:14:03Z"}, {**gone, "who": None, "when": None}]
    desk.script = [(200, {"drifted": True, "items": items})]
    done = run("drift", "--manager", "git:a", "--detailed-exitcode")
    assert done.exit_code == 2
    rows = [line.split() for line in done.stdout.splitlines() if line.strip() and "─" not in line]
    assert rows[0] == ["object", "field", "declared", "now", "who", "when"]
    assert rows[1] == ["label", "a", "color", "#1", "null", "mia", "2026-11-02T09:14:03Z"]
    assert rows[2] == ["label", "b", "-", "deleted", "-", "-"]
    assert rows[3] == ["2", "differences", "in", "2", "objects"]
    assert json.loads(run("drift", "--json").stdout)["items"] == items
    desk.script = [(200, {"drifted": False, "items": []})]
    done = run("drift", "--detailed-exitcode")
    assert (done.exit_code, done.stdout) == (0, "No drift: the desk is as it was declared\n")


def test_what_stands_between_us_and_the_desk_is_one_line(run: Run, desk: ScriptedDesk) -> None:
    def line(*arguments: str, **variables: str) -> str:
        done = run("drift", *arguments, **variables)
        assert (done.exit_code, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
        return done.stderr

    assert line(DESKPLANE_URL="") == (
        "deskplane: set DESKPLANE_URL in the environment, or give --url and --api-key-file\n"
    )
    assert "is not an address" in line("--url", "desk.example.com")
    assert "is the desk running" in line("--url", "http://127.0.0.1:1")
    assert "DESKPLANE_CA_PATH gone does not exist" in line("--url", "https://127.0.0.1:1", "--ca-path", "gone")
    assert "gone: No such file" in line("--api-key-file", "gone")
    for seconds in ("0", "nan", "inf", "1e300"):
        assert "DESKPLANE_TIMEOUT must be more than 0 seconds" in line("--timeout", seconds)
    desk.script = [(200, "<html><title>Hotel Wi-Fi</title></html>")]
    assert 'an HTML page ("Hotel Wi-Fi") instead of a desk\'s answer' in line()
    desk.script = [problem(401, "unauthorized", "the key is unknown")]
    assert "check DESKPLANE_API_KEY" in line()
    desk.script = [problem(403, "forbidden", "this needs the permission configuration:plan")]
    assert "this needs the permission configuration:plan" in line()


def test_a_key_in_a_file_is_used(run: Run, desk: ScriptedDesk) -> None:
    desk.script = [(200, {"drifted": False, "items": []})]
    Path("key").write_text(KEY + "\n")
    assert run("drift", "--api-key-file", "key", DESKPLANE_API_KEY="").exit_code == 0
    assert desk.headers[0]["Authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize("command", ["plan", "apply", "export", "drift", "schema"])
def test_help_has_examples(run: Run, command: str) -> None:
    done = run(command, "--help")
    assert done.exit_code == 0
    assert f"deskplane configuration {command}" in done.stdout.split("Examples:")[1]
