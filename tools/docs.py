"""Build the documentation's site from the repository, check it, and show it where asked to: `make docs`.

Run with the server's environment, beside which that of the documentation is needed. Nothing is fetched from a network,
and the pages fetch nothing either: every warning is an error, and what docs_check.py finds is one.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import os
import shutil
import subprocess
import sys
from pathlib import Path

from deskplane import __version__

import docs_check
import docs_stage
import generate_reference
import toolchain
from toolchain import CACHE, DOCS, ROOT, ToolError, say

WORK = CACHE / "docs"


def run(program: str, *arguments: str, **variables: str) -> None:
    """Run a program of the documentation's environment. Raises ToolError."""
    home = WORK / "home"
    home.mkdir(parents=True, exist_ok=True)
    environment = {**toolchain.tool_environment(DOCS, home), **variables}
    done = subprocess.run([DOCS.command(program), *arguments], cwd=ROOT, env=environment, check=False)
    if done.returncode:
        raise ToolError(f"{program} found something wrong; what it said stands above")


def stage(source: Path) -> None:
    """Lay out all pages as Sphinx reads them."""
    shutil.rmtree(source, ignore_errors=True)
    docs_stage.guides(source)
    docs_stage.playbooks(source)
    docs_stage.event_driven(source)
    docs_stage.navigate(source)
    generate_reference.write_site(source / "reference")
    plugins = source / "plugins"
    plugins.mkdir(mode=0o755)
    plugins.chmod(0o755)  # whatever the umask: antsibull-docs wants to be the only one who writes here
    run(
        *("antsibull-docs", "collection", "--use-current", "--squash-hierarchy", "--fail-on-error"),
        *("--no-add-antsibull-docs-version", "--dest-dir", str(plugins), "deskplane.helpdesk"),
        ANSIBLE_COLLECTIONS_PATH=str(docs_stage.collection(WORK / "collection")),
    )
    docs_stage.tidy_plugins(plugins)


def build(target: Path) -> None:
    """Make the site. From nothing each time, as a page that has not changed would not repeat its warnings."""
    source = WORK / "source"
    stage(source)
    shutil.rmtree(target, ignore_errors=True)
    run(
        *("sphinx-build", "--builder", "html", "--conf-dir", str(ROOT / "tools" / "docsite"), "--fresh-env"),
        *("--doctree-dir", str(WORK / "doctrees"), "--jobs", "2", "--fail-on-warning", "--quiet"),
        *("-D", f"version={__version__}", "-D", f"release={__version__}", str(source), str(target)),
    )
    (target / ".buildinfo").unlink(missing_ok=True)
    (target / "_sources").rmdir()  # made, and left empty


def serve(folder: Path, port: int) -> None:
    """Show the site on this machine until Ctrl-C. Raises ToolError."""
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    try:
        with http.server.ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
            say(f"http://127.0.0.1:{port}/ until Ctrl-C")
            server.serve_forever()
    except OSError as error:
        raise ToolError(f"cannot listen on port {port}: {error.strerror}; take another one: DOCS_PORT=8001") from None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, default=ROOT / "dist" / "docs", metavar="FOLDER", help="where it goes")
    parser.add_argument("--serve", action="store_true", help="show it on 127.0.0.1 then")
    parser.add_argument("--port", type=int, default=8000, help="for --serve (default 8000)")
    options = parser.parse_args()
    try:
        build(options.into)
        found = docs_check.findings(options.into)
        for finding in found:
            say(finding)
        if found:
            return 1
        say(f"{os.path.relpath(options.into)}/index.html: {len(list(options.into.rglob('*.html')))} pages")
        if options.serve:
            serve(options.into, options.port)
    except ToolError as error:
        print(f"make docs: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
