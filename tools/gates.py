"""The gates of `make test`, one function each, in the order in which they start."""

from __future__ import annotations

import json
import os
import re
import shutil
import tarfile
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import machine_gates
import toolchain
from ci import WORK, Failed, Job, Outcome, Step
from desk import Desk, free_port
from toolchain import BINARY, DOCS, EDA, GALAXY, LINT, ROOT, RUN, TEST, Environment

SERVER = ROOT / "server"
NAME = Path("ansible_collections", "deskplane", "helpdesk")


def count(folder: Path, pattern: str) -> Outcome:
    """Count the cases of JUnit files. Raises Failed when there is none: a suite that ran nothing has not passed."""
    total = failed = 0
    for file in sorted(folder.glob(pattern)):
        # Written a moment ago by our own test runners, not by a stranger.
        for suite in ElementTree.parse(file).getroot().iter("testsuite"):  # noqa: S314
            cases = suite.findall("testcase")
            total += sum(1 for case in cases if case.find("skipped") is None)
            failed += sum(1 for case in cases if case.find("failure") is not None or case.find("error") is not None)
    if not total:
        raise Failed("it ran no test")
    return Outcome(total - failed, failed)


def counted(job: Job, folder: Path, pattern: str, code: int) -> Outcome:
    """The cases, and a failure also when the runner itself failed without a failed case."""
    outcome = count(folder, pattern)
    if code and not outcome.failed:
        outcome.failed, outcome.note = 1, f"the test runner ended with exit code {code}"
    return outcome


# --- environments ---


def environment(job: Job, *environments: Environment) -> Outcome:
    for one in environments:
        job.write(f"{one.name} ({', '.join(one.locks)}): {'built' if one.ensure() else 'up to date'}")
    return Outcome()


# --- server ---


def ruff_check(job: Job) -> Outcome:
    for folder in ("server", "tools"):
        job.call([RUN.command("ruff"), "check", folder])
    return Outcome()


def ruff_format(job: Job) -> Outcome:
    for folder in ("server", "tools"):
        job.call([RUN.command("ruff"), "format", "--check", folder])
    return Outcome()


def types(job: Job) -> Outcome:
    job.call([RUN.command("mypy")], cwd=SERVER)
    job.call([RUN.command("mypy"), "--strict", "--exclude", "conftest", "."], cwd=ROOT / "tools")
    return Outcome()


def imports(job: Job) -> Outcome:
    job.call([RUN.command("lint-imports"), "--no-cache"], cwd=SERVER)
    return Outcome()


def house(job: Job) -> Outcome:
    job.call([RUN.command("python"), str(ROOT / "tools" / "check_house.py")])
    return Outcome()


def tools_tests(job: Job) -> Outcome:
    report = WORK / "tools-tests.xml"
    report.unlink(missing_ok=True)
    command = [RUN.command("pytest"), "-q", "--color=no", f"--junitxml={report}", "-p", "no:cacheprovider"]
    code = job.call([*command, str(ROOT / "tools" / "tests")], cwd=ROOT / "tools", allowed=(0, 1))
    return counted(job, report.parent, report.name, code)


def server_tests(job: Job, database: str) -> Outcome:
    report = WORK / f"{job.step.name}.xml"
    report.unlink(missing_ok=True)
    code = job.call(
        [RUN.command("pytest"), "-q", "--color=no", "--durations=15", f"--junitxml={report}"],
        cwd=SERVER,
        variables={**os.environ, "DESKPLANE_TEST_DATABASES": database},
        allowed=(0, 1),
    )
    return counted(job, report.parent, report.name, code)


def api(job: Job) -> Outcome:
    report = WORK / "api.xml"
    report.unlink(missing_ok=True)
    command = [RUN.command("python"), str(ROOT / "tools" / "try_api.py"), "--report", str(report), "--seed", "1"]
    code = job.call([*command, "--home", str(WORK / "desks" / "api")], allowed=(0, 1))
    return counted(job, report.parent, report.name, code)


def playbooks(job: Job) -> Outcome:
    command = [RUN.command("python"), str(ROOT / "tools" / "try_playbooks.py")]
    job.call([*command, "--home", str(WORK / "desks" / "playbooks")])
    return Outcome()


def editor(job: Job) -> Outcome:
    job.call([RUN.command("python"), str(ROOT / "tools" / "try_editor.py")])
    return Outcome()


def generated(job: Job) -> Outcome:
    kinds = WORK / "kinds.json"
    job.call([RUN.command("deskplane"), "describe-kinds"], output=kinds)
    job.call([RUN.command("python"), str(ROOT / "tools" / "generate_modules.py"), str(kinds), "--check"])
    job.call([RUN.command("python"), str(ROOT / "tools" / "generate_client.py"), "--check"])
    job.call([RUN.command("python"), str(ROOT / "tools" / "generate_reference.py"), "--check"])
    job.call([RUN.command("python"), str(ROOT / "tools" / "licences.py"), "--check"])
    return Outcome()


# --- collection ---


def artefact(job: Job) -> Outcome:
    """Build what would be published; every later gate of the collection looks at this, not at the checkout."""
    target = WORK / "artefact"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    job.call(
        [RUN.command("ansible-galaxy"), "collection", "build", "--force", "--output-path", str(target)],
        variables=toolchain.tool_environment(RUN, home("build", RUN)),
    )
    return Outcome(note=f"{built().name}, {built().stat().st_size >> 10} KB")


def contents(job: Job) -> Outcome:
    """What must not be published is not in the artefact, and what must be is."""
    with tarfile.open(built()) as archive:
        names = archive.getnames()
    job.write("\n".join(names))
    strays = [name for name in names if name.split("/")[0] in {"server", "tools", "var"} or name.startswith(".")]
    if strays:
        raise Failed(f"the artefact has what does not belong in it: {', '.join(strays[:5])}")
    if not any(name.startswith("plugins/modules/") for name in names):
        raise Failed("the artefact has no modules")
    return Outcome(note=f"{len(names)} files")


def built() -> Path:
    files = list((WORK / "artefact").glob("deskplane-helpdesk-*.tar.gz"))
    if len(files) != 1:
        raise Failed("there is no built artefact")
    return files[0]


def unpack(job: Job) -> Path:
    """Install the artefact, into a tree of its own for each step, as ansible-test writes into what it tests."""
    tree = WORK / "trees" / job.step.name
    shutil.rmtree(tree, ignore_errors=True)
    job.call(
        [RUN.command("ansible-galaxy"), "collection", "install", "--offline", "-p", str(tree), str(built())],
        variables=toolchain.tool_environment(RUN, home(f"{job.step.name}-install", RUN)),
    )
    # A repository of its own: else ansible-test asks the checkout's, finds the tree ignored there, and tests nothing.
    job.call(["git", "init", "--quiet", str(tree / NAME)])
    (tree / NAME / ".git" / "info" / "exclude").write_text("/tests/output/\n")
    return tree / NAME


def home(name: str, used: Environment) -> Path:
    """A home folder for the Ansible tools: nothing of the caller's own settings decides a result."""
    folder = WORK / "homes" / name
    folder.mkdir(parents=True, exist_ok=True)
    toolchain.write_pip_settings(folder, used)
    return folder


GET_PIP = '''"""Stands in for the get-pip script that ansible-test would download from a server of its own: a closed
network refuses that. pip comes from the package index that is set up here anyway, and runs from its wheel: ansible-test
makes an environment for each of its sanity tests, and to bring pip into one by ensurepip takes twice as long."""
import subprocess
import sys

wheel = {wheel!r}
# Options of get-pip itself, which pip does not know.
wanted = [word for word in sys.argv[1:] if word not in ("--no-setuptools", "--no-wheel")]
wanted = [wheel if word.startswith("pip==") else word for word in wanted]
sys.exit(subprocess.run([sys.executable, wheel + "/pip", "install", *wanted]).returncode)
'''


def stand_in_for_get_pip(job: Job, used: Environment, folder: Path) -> None:
    sources = list(used.path.glob("lib/python3*/site-packages/ansible_test/_internal/python_requirements.py"))
    versions = set(re.findall(r"pip='([\d.]+)'", sources[0].read_text())) if sources else set()
    if not versions:
        raise Failed("cannot tell which pip this ansible-test wants")
    cache = folder / ".ansible" / "test" / "cache"
    cache.mkdir(parents=True, exist_ok=True)
    # Under a lock, as several steps at once use one home, and none may find half a wheel.
    with toolchain.lock(cache / "pip.lock"):
        for version in versions:
            wheel = cache / f"pip-{version}-py3-none-any.whl"
            if not wheel.exists():
                command = [used.command("python"), "-m", "pip", "download", "--quiet", "--no-deps", "--no-input"]
                job.call([*command, "--dest", str(cache), f"pip=={version}"])
            (cache / f"get_pip_{version.replace('.', '_')}.py").write_text(GET_PIP.format(wheel=str(wheel)))


def python_version(used: Environment) -> str:
    line = next(line for line in (used.path / "pyvenv.cfg").read_text().splitlines() if line.startswith("version"))
    return ".".join(line.split("=")[1].strip().split(".")[:2])


def ansible_test(job: Job, used: Environment, tree: Path, *arguments: str) -> int:
    folder = home(used.name.strip("."), used)
    stand_in_for_get_pip(job, used, folder)
    return job.call(
        [
            used.command("ansible-test"),
            *arguments,
            "--python",
            python_version(used),
            "--color",
            "no",
            "--truncate",
            "0",
        ],
        cwd=tree,
        variables=toolchain.tool_environment(used, folder),
        allowed=(0, 1),
    )


def sanity(job: Job, used: Environment) -> Outcome:
    tree = unpack(job)
    # Skipped where its own program is missing, silently, by ansible-test; these two look at no file that we have.
    code = ansible_test(job, used, tree, "sanity", "--junit", "--skip-test", "pslint")
    return counted(job, tree / "tests" / "output" / "junit", "*.xml", code)


def units(job: Job, used: Environment) -> Outcome:
    tree = unpack(job)
    code = ansible_test(job, used, tree, "units", "--venv")
    return counted(job, tree / "tests" / "output" / "junit", "*.xml", code)


RAN = re.compile(r"^Running (\S+) integration test (?:role|script)$", re.MULTILINE)
LISTED = re.compile(r"^FATAL: The \d+ integration test\(s\) listed below .*\n((?:[\w-]+\n)+)", re.MULTILINE)


def count_targets(said: str, code: int) -> Outcome:
    """Targets are what counts here, not tasks: a task that fails, and is rescued, may be what its target wants."""
    ran = set(RAN.findall(said))
    if not ran:
        raise Failed("it ran no target")
    found = LISTED.search(said)
    failed = ran & set(found[1].split()) if found else set()
    bad = len(failed) or int(code != 0)
    return Outcome(
        len(ran) - bad, bad, f"targets that failed: {', '.join(sorted(failed)) or 'see the log'}" if bad else ""
    )


def integration(job: Job, used: Environment) -> Outcome:
    # ansible-test makes a key before it runs any target, whether one needs it or not.
    toolchain.require_program("ssh-keygen", "openssh-client")
    tree = unpack(job)
    desk = Desk(WORK / "desks" / job.step.name, free_port())
    shutil.rmtree(desk.home, ignore_errors=True)
    try:
        desk.open()
        values = {
            "deskplane_url": desk.url,
            "deskplane_api_key": desk.key,
            "deskplane_admin": "admin",
            "deskplane_database": str(desk.database),
            "deskplane_command": RUN.command("deskplane"),
            "deskplane_config": str(desk.config),
        }
        # ansible-test hands no variables on; this file is its way. JSON is YAML.
        config = tree / "tests" / "integration" / "integration_config.yml"
        config.write_text(json.dumps(values, indent=2) + "\n")
        code = ansible_test(job, used, tree, "integration", "--continue-on-error")
        desk.require_alive()
        desk.require_no_faults()
    finally:
        desk.stop()
    return count_targets(job.log.read_text(errors="replace"), code)


def event_source(job: Job) -> Outcome:
    """The event source against a real server, and under the real ansible-rulebook, whose rule engine is Java's."""
    toolchain.require_program("java", "openjdk-17-jre-headless")
    report = WORK / "event-source.xml"
    report.unlink(missing_ok=True)
    command = [EDA.command("python"), "-m", "pytest", "-q", "--color=no", "-p", "no:cacheprovider"]
    code = job.call([*command, f"--junitxml={report}"], cwd=ROOT / "tests" / "eda", allowed=(0, 1))
    return counted(job, report.parent, report.name, code)


def ansible_lint(job: Job) -> Outcome:
    tree = unpack(job)
    # The artefact has its metadata as MANIFEST.json; the linter has rules for the source of it.
    shutil.copy(ROOT / "galaxy.yml", tree)
    # Not published, and linted all the same.
    shutil.copytree(ROOT / "extensions" / "molecule", tree / "extensions" / "molecule")
    job.call(
        [LINT.command("ansible-lint"), "-c", str(ROOT / ".ansible-lint"), "--offline", "--strict", "--nocolor"],
        cwd=tree,
        variables=collection_variables(LINT, job, tree),
    )
    return Outcome()


def collection_variables(used: Environment, job: Job, tree: Path) -> dict[str, str]:
    folder = home(job.step.name, used)
    return {**toolchain.tool_environment(used, folder), "ANSIBLE_COLLECTIONS_PATH": str(tree.parents[2])}


def execution_environment(job: Job) -> Outcome:
    """The execution environment's definition makes a context to build, and the collection adds no requirement to it."""
    tree = unpack(job)
    builder, context, needs = LINT.command("ansible-builder"), WORK / "execution-environment", WORK / "requirements.txt"
    variables = collection_variables(LINT, job, tree)
    shutil.rmtree(context, ignore_errors=True)
    definition = tree / "extensions" / "awx" / "execution-environment.yml"
    job.call([builder, "create", "-f", str(definition), "-c", str(context)], variables=variables)
    if "name: deskplane.helpdesk" not in (context / "_build" / "requirements.yml").read_text():
        raise Failed("the execution environment does not have the collection")
    job.call([builder, "introspect", str(tree.parents[2])], variables=variables, output=needs)
    said = needs.read_text()
    job.write(said)
    if "python: []" not in said or "system: []" not in said:
        raise Failed("the collection asks more of an execution environment than meta/execution-environment.yml says")
    return Outcome()


def plugin_docs(job: Job) -> Outcome:
    tree = unpack(job)
    shutil.copy(ROOT / "galaxy.yml", tree)
    job.call(
        [DOCS.command("antsibull-docs"), "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", "."],
        cwd=tree,
        variables=collection_variables(DOCS, job, tree),
    )
    return Outcome()


def docs(job: Job) -> Outcome:
    site = WORK / "docs"
    job.call([RUN.command("python"), str(ROOT / "tools" / "docs.py"), "--into", str(site)])
    return Outcome(note=f"{len(list(site.rglob('*.html')))} pages")


def changelog(job: Job) -> Outcome:
    job.call([LINT.command("antsibull-changelog"), "lint"])
    return Outcome()


def importer(job: Job) -> Outcome:
    """Galaxy's own checks, as it makes them on upload; its ansible-test run needs containers and is ours above."""
    folder = home(job.step.name, GALAXY)
    config = folder / "galaxy-importer.cfg"
    values = {
        "CHECK_REQUIRED_TAGS": "True",
        "RUN_ANSIBLE_TEST": "False",
        "RUN_ANSIBLE_DOC": "True",
        "RUN_ANSIBLE_LINT": "True",
        "OFFLINE_ANSIBLE_LINT": "True",
        "RUN_FLAKE8": "False",
        "ANSIBLE_LOCAL_TMP": str(folder / "tmp"),
    }
    config.write_text("[galaxy-importer]\n" + "".join(f"{name} = {value}\n" for name, value in values.items()))
    job.call(
        [GALAXY.command("python"), "-m", "galaxy_importer.main", str(built())],
        cwd=folder,
        variables={**toolchain.tool_environment(GALAXY, folder), "GALAXY_IMPORTER_CONFIG": str(config)},
    )
    said = job.log.read_text()
    findings = [line for line in said.splitlines() if line.startswith(("WARNING", "ERROR"))]
    if findings or "completed successfully" not in said:
        raise Failed(f"the importer objects: {findings[0] if findings else 'see its log'}")
    return Outcome()


def steps() -> list[Step]:
    newest = toolchain.newest_ansible()
    server, built_first = ("environment",), ("environment", "artefact")
    listed = [
        Step(
            "environment",
            "the server's and ansible-core's environment",
            lambda job: environment(job, RUN, TEST),
            counts=False,
        ),
        Step("environment-lint", "the linters' environment", lambda job: environment(job, LINT), counts=False),
        Step("ruff-check", "ruff check", ruff_check, server),
        Step("ruff-format", "ruff format --check", ruff_format, server),
        Step("house", "rules of the house that no linter knows", house, server),
        Step("tools-tests", "pytest of these tools", tools_tests, server),
        Step("artefact", "the collection's artefact builds", artefact, server),
        Step("contents", "nothing but the collection is in the artefact", contents, ("artefact",)),
        Step(
            "tests-postgresql", "pytest on PostgreSQL", lambda job: server_tests(job, "postgresql"), server, minutes=45
        ),
        Step("tests-sqlite", "pytest on SQLite", lambda job: server_tests(job, "sqlite"), server, minutes=45),
        # These wait for machines that boot, most of the time, and leave the processors to the tests above.
        Step("environment-binary", "what packs the binary", lambda job: environment(job, BINARY), counts=False),
        *machine_gates.steps(),
        Step("integration", "ansible-test integration, real server", lambda job: integration(job, RUN), built_first),
        Step("sanity", "ansible-test sanity, pinned ansible-core", lambda job: sanity(job, RUN), built_first),
        Step("types", "mypy --strict", types, server),
        Step("imports", "import-linter", imports, server),
        Step("generated", "generated modules, client and reference pages are up to date", generated, server),
        Step(
            "playbooks",
            "the example playbooks: the check shows what the run does, and writes nothing",
            playbooks,
            server,
        ),
        Step("editor", "yaml-language-server opens a desk's files with the desk's schema", editor, server, minutes=5),
        Step("api", "schemathesis against a running server", api, server),
        Step("units", "ansible-test units, pinned ansible-core", lambda job: units(job, RUN), built_first),
        Step("environment-eda", "ansible-rulebook's environment", lambda job: environment(job, EDA), counts=False),
        Step(
            "event-source",
            "the event source, real server and real ansible-rulebook",
            event_source,
            ("environment", "environment-eda"),
        ),
        Step("ansible-lint", "ansible-lint, profile production", ansible_lint, ("environment-lint", "artefact")),
        Step(
            "execution-environment",
            "ansible-builder takes the execution environment's definition",
            execution_environment,
            ("environment-lint", "artefact"),
        ),
        Step("changelog", "antsibull-changelog lint", changelog, ("environment-lint",)),
        Step("environment-docs", "the documentation's environment", lambda job: environment(job, DOCS), counts=False),
        Step(
            "plugin-docs",
            "antsibull-docs lint of the collection's documentation",
            plugin_docs,
            ("environment-docs", "artefact"),
        ),
        Step(
            "docs",
            "the documentation's site: no warning, no dead link, nothing left out",
            docs,
            ("environment", "environment-docs"),
            minutes=5,
        ),
        Step(
            "environment-galaxy",
            "the Galaxy importer's environment",
            lambda job: environment(job, GALAXY),
            counts=False,
        ),
        Step("importer", "the Galaxy importer's checks", importer, ("environment-galaxy", "artefact")),
    ]
    if newest is None:
        toolchain.say("No Python 3.12 or newer here: the collection is not tried on the newest ansible-core.")
        return listed
    both = ("environment-newest", "artefact")
    on_newest = [
        Step("environment-newest", "the newest ansible-core", lambda job: environment(job, newest), counts=False),
        Step(
            "integration-newest",
            "ansible-test integration, newest ansible-core",
            lambda job: integration(job, newest),
            (*both, "environment"),
        ),
        Step("sanity-newest", "ansible-test sanity, newest ansible-core", lambda job: sanity(job, newest), both),
        Step("units-newest", "ansible-test units, newest ansible-core", lambda job: units(job, newest), both),
    ]
    # The longest first: a long step that begins last runs alone, while the other processor has nothing to do.
    after = next(index for index, step in enumerate(listed) if step.name == "integration") + 1
    return listed[:after] + on_newest + listed[after:]
