"""How Sphinx makes the documentation's site; `make docs` calls it. What it reads is laid out by tools/docs_stage.py."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from docutils import nodes  # type: ignore[import-untyped]

project = "Deskplane"
copyright = "Contributors to the Deskplane project"
extensions = ["myst_parser", "sphinx_antsibull_ext", "sphinx_copybutton"]
nitpicky = True
highlight_language = "none"
myst_heading_anchors = 4
myst_enable_extensions = ["colon_fence"]
# The theme has light and dark; static/site.css gives these names its colours.
antsibull_ext_color_scheme = "none"

html_theme = "furo"
html_title = "Deskplane"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_favicon = "static/favicon.svg"
html_theme_options: dict[str, Any] = {"top_of_page_buttons": []}
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_use_index = False

ANSIBLE = "https://docs.ansible.com/projects/ansible/latest/"
LABELS = {
    "action_plugins": ("plugins/action.html", "Action plugins"),
    "ansible_configuration_settings": ("reference_appendices/config.html", "Ansible Configuration Settings"),
    "callback_plugins": ("plugins/callback.html", "Callback plugins"),
    "common_return_values": ("reference_appendices/common_return_values.html", "Return Values"),
    "list_of_callback_plugins": ("collections/index_callback.html", "Index of all Callback Plugins"),
}
PLUGIN = re.compile(r"ansible_collections\.(\w+)\.(\w+)\.(\w+_[a-z]+)$")


def find_in_ansible(_app: Any, _env: Any, node: Any, content: Any) -> Any:
    """A link to Ansible's own documentation, for what antsibull-docs refers to. Asks no network, unlike intersphinx."""
    target = node.get("reftarget", "")
    if target in LABELS:
        page, title = LABELS[target]
        text = content if node.get("refexplicit") else nodes.Text(title)
        return nodes.reference("", "", text, refuri=ANSIBLE + page)
    if node.get("reftype") == "envvar" and target.startswith("ANSIBLE_"):
        return nodes.reference("", "", content, refuri=f"{ANSIBLE}reference_appendices/config.html#envvar-{target}")
    if found := PLUGIN.match(target):
        return nodes.reference("", "", content, refuri=f"{ANSIBLE}collections/{found[1]}/{found[2]}/{found[3]}.html")
    return None


def link_names(app: Any, tree: Any, page: str) -> None:
    """Where a text names a module, a plugin or an operation as code, the name leads to its page."""
    for literal in list(tree.findall(nodes.literal)):
        name = literal.astext()
        target = app.config.names.get(name)
        if target is None or isinstance(literal.parent, (nodes.reference, nodes.title)):
            continue
        to, _, anchor = target.partition("#")
        if to != page:
            address = app.builder.get_relative_uri(page, to) + (f"#{anchor}" if anchor else "")
            link = nodes.reference("", "", internal=True, refuri=address)
            literal.replace_self(link)
            link += literal


def mark_tables(_app: Any, tree: Any) -> None:
    """Tables that explain names get a class, and long names places to break at: `imap.` `port`."""
    for table in tree.findall(nodes.table):
        heads = [entry.astext() for head in table.findall(nodes.thead) for entry in head.findall(nodes.entry)]
        if not heads or heads[-1] not in ("meaning", "when", "what it is", "what it does"):
            continue
        table["classes"].append("names")
        for row in list(table.findall(nodes.row))[1:]:
            for literal in list(row[0].findall(nodes.literal)):
                parts = literal.astext().split(".")
                literal.children = [nodes.Text(parts[0])]
                for part in parts[1:]:
                    literal += [nodes.Text("."), nodes.raw("", "<wbr>", format="html"), nodes.Text(part)]


def find_names(app: Any, config: Any) -> None:
    source = Path(app.srcdir)
    operations = json.loads((source / "reference" / "links.json").read_text())
    config.names = {name: f"reference/{to}" for name, to in operations.items()}
    for file in sorted(source.glob("plugins/*_*.rst"), reverse=True):
        # ticket_module.rst → deskplane.helpdesk.ticket; a module comes last here, and so before a lookup of its name.
        name, _, kind = file.stem.rpartition("_")
        if kind == "module" or f"deskplane.helpdesk.{name}" not in config.names:
            config.names[f"deskplane.helpdesk.{name}"] = f"plugins/{file.stem}"


def setup(app: Any) -> dict[str, Any]:
    app.add_config_value("names", {}, "html")
    app.connect("config-inited", find_names)
    app.connect("missing-reference", find_in_ansible)
    app.connect("doctree-read", mark_tables)
    app.connect("doctree-resolved", link_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
