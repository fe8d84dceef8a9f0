"""The sources of the documentation's site, laid out as Sphinx reads them. No page is written here by hand."""

from __future__ import annotations

import ast
import os
import re
import shutil
from pathlib import Path
from typing import Any

import yaml

from reference_text import prose, table, value
from toolchain import ROOT, ToolError

NOT_OURS = ("http://", "https://", "mailto:", "#", "/")
FENCE = re.compile(r"^(```.*?^```)$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(\]\()([^)\s#]+)((?:#[^)]*)?\))")
TOCTREE = re.compile(r"^```\{toctree\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# Where a guide goes that no part of the navigation names yet: by its folder.
REST = {"collection": "Collection", "": "Guides"}


def places() -> dict[Path, str]:
    """Each file of the repository that is a page, and its name in the site."""
    found = {file: str(file.relative_to(ROOT / "docs")) for file in sorted((ROOT / "docs").rglob("*.md"))}
    found |= {ROOT / name: name.lower() for name in ("ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.rst")}
    return found


def relink(text: str, file: Path, known: dict[Path, str]) -> str:
    """The text of a file, its links to other files leading to the same pages of the site. Raises ToolError."""

    def link(found: re.Match[str]) -> str:
        if found[2].startswith(NOT_OURS):
            return found[0]
        target = (file.parent / found[2]).resolve()
        to = {ROOT / "README.md": "index.md", **known}.get(target)
        if to is None:
            raise ToolError(f"{file.relative_to(ROOT)}: links to {found[2]}, which is no page of the site")
        return f"{found[1]}{os.path.relpath(to, Path(known[file]).parent)}{found[3]}"

    parts = FENCE.split(text)
    return "".join(part if part.startswith("```") else LINK.sub(link, part) for part in parts)


def guides(source: Path) -> None:
    """What people wrote: docs/ and the pages at the top of the repository."""
    known = places()
    for file, name in known.items():
        text = file.read_text()
        if file.suffix == ".rst":
            # The theme shows a page's contents beside it.
            text = re.sub(r"^\.\. contents::.*\n", "", text, flags=re.MULTILINE)
        else:
            text = relink(text, file, known)
        write(source / name, text)


def navigate(source: Path) -> None:
    """Give a place in the navigation to every guide that the start page does not name."""
    index = source / "index.md"
    text = index.read_text()
    named = {line.split("<")[-1].rstrip(">") for block in TOCTREE.findall(text) for line in block.splitlines()}
    for file in sorted(source.glob("*.md")) + sorted(source.glob("collection/*.md")):
        page = file.relative_to(source).with_suffix("")
        if str(page) not in named and str(page) != "index":
            part = REST[str(page.parent).rstrip(".")]
            text = re.sub(rf"(:caption: {part}\n.*?)^```$", rf"\1{page}\n```", text, count=1, flags=re.M | re.S)
    index.write_text(text)


def write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


def collection(tree: Path) -> Path:
    """The collection where Ansible's tools look for it, made of links; returns the folder of collections."""
    place = tree / "ansible_collections" / "deskplane" / "helpdesk"
    shutil.rmtree(tree, ignore_errors=True)
    place.mkdir(parents=True)
    for name in ("README.md", "changelogs", "extensions", "meta", "playbooks", "plugins", "roles"):
        if (ROOT / name).exists():
            (place / name).symlink_to(ROOT / name)
    about = yaml.safe_load((ROOT / "galaxy.yml").read_text())
    # A stand-in, until whoever publishes the collection says where: nothing that a page should link to.
    del about["repository"]
    (place / "galaxy.yml").write_text(yaml.safe_dump(about))
    return tree


def tidy_plugins(folder: Path) -> None:
    """Take from antsibull-docs' pages what the site says elsewhere, and give them short names in the navigation.

    That is the contents, which the theme shows beside a page, and how to install the collection.
    """
    for file in folder.glob("*.rst"):
        text = re.sub(r"^\.\. contents::\n(?: +:.*\n)*", "", file.read_text(), flags=re.MULTILINE)
        text = re.sub(r"^\.\. Collection note\n.*?(?=^\.\. version_added)", "", text, flags=re.MULTILINE | re.DOTALL)
        if file.stem == "index":
            text = text.replace("Deskplane.Helpdesk\n==================", "Modules and plugins\n===================")
            text = re.sub(r"^    (\w+)_module$", r"    \1 <\1_module>", text, flags=re.MULTILINE)
            text = re.sub(r"^    (\w+)_([a-z]+)$", r"    \1 (\2) <\1_\2>", text, flags=re.MULTILINE)
        file.write_text(text)
    variables, index = folder / "environment_variables.rst", folder / "index.rst"
    text = variables.read_text()
    if "No environment variables" in text:
        variables.unlink()
    else:
        variables.write_text(re.sub(r"^Index of .*\n=+$", "Environment variables\n" + "=" * 21, text, flags=re.M))
        entry = "\n.. toctree::\n    :hidden:\n\n    environment_variables\n"
        index.write_text(index.read_text() + entry)


def head(text: str) -> str:
    """The first paragraph of the comment that a file begins with."""
    lines = [line.removeprefix("#").strip() for line in text.removeprefix("---\n").splitlines() if line]
    comment = list(zip(lines, text.removeprefix("---\n").splitlines(), strict=False))
    paragraph = []
    for line, raw in comment:
        if not raw.startswith("#") or not line:
            break
        paragraph.append(line)
    return " ".join(paragraph)


def playbooks(source: Path) -> None:
    """The playbooks that come with the collection, whole."""
    text = (
        "# Playbooks\n\nThey come with the collection, to be run by their names, and to be copied and changed. The "
        "connection is taken from the environment, as [the guide](guide.md) says.\n"
    )
    for file in sorted((ROOT / "playbooks").glob("*.yml")):
        content = file.read_text()
        text += f"\n## {file.stem}\n\n{prose(head(content))}\n\n"
        text += f"```sh\nansible-playbook deskplane.helpdesk.{file.stem}\n```\n\n```yaml\n{content}```\n"
    write(source / "collection" / "playbooks.md", text)


def constants(file: Path) -> dict[str, str]:
    """The texts that a plugin assigns to names, without running it."""
    found = {}
    for node in ast.parse(file.read_text()).body:
        if (
            isinstance(node, ast.Assign)
            and isinstance(node.value, ast.Constant)
            and isinstance(node.targets[0], ast.Name)
        ):
            found[node.targets[0].id] = str(node.value.value)
    return found


def option_rows(options: dict[str, Any]) -> list[list[str]]:
    rows = []
    for name, about in options.items():
        told = about.get("description", "")
        facts = [prose(line) for line in ([told] if isinstance(told, str) else told)]
        if about.get("choices"):
            facts.append("One of " + ", ".join(f"`{choice}`" for choice in about["choices"]) + ".")
        given = "required" if about.get("required") else value(about.get("default"))
        rows.append([f"`{name}`", about.get("type", "str"), given, " ".join(facts)])
    return rows


def event_driven(source: Path) -> None:
    """Plugins of Event-Driven Ansible, from their documentation, and the rulebooks. `ansible-doc` does not know them.

    Raises ToolError for a plugin without documentation.
    """
    place = ROOT / "extensions" / "eda"
    text = (
        "# Event source and rulebook\n\nWhat the collection has for Event-Driven Ansible, whole; "
        "[the guide](event-driven.md) says how to use it.\n"
    )
    for file in sorted(place.glob("plugins/*/*.py")):
        if file.stem.startswith("_"):
            continue
        told = constants(file)
        if "DOCUMENTATION" not in told:
            raise ToolError(f"{file.relative_to(ROOT)}: has no DOCUMENTATION, so that no page can tell of it")
        about = yaml.safe_load(told["DOCUMENTATION"])
        description = about.get("description", [])
        lines = [description] if isinstance(description, str) else description
        text += f"\n## deskplane.helpdesk.{file.stem}\n\n{prose(about.get('short_description', ''))}\n\n"
        text += "\n\n".join(map(prose, lines)) + "\n\n"
        text += table(("option", "type", "default", "meaning"), option_rows(about.get("options", {})))
        if told.get("EXAMPLES"):
            text += f"\n```yaml\n{told['EXAMPLES'].strip()}\n```\n"
    for file in sorted(place.glob("rulebooks/*.yml")):
        content = file.read_text()
        text += f"\n## Rulebook {file.stem}\n\n{prose(head(content))}\n\n```yaml\n{content}```\n"
    write(source / "collection" / "event-source.md", text)
