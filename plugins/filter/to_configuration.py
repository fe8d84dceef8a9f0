# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: to_configuration
short_description: Turn objects that were read from a desk into a document that can be applied
version_added: 0.1.0
author: Deskplane contributors (@deskplane)
description:
  - Makes of what the C(_info) modules return a document of kinds, to be kept in Git and applied with the module of each
    kind, or all at once.
  - What only the desk can say is left out, such as C(id), C(created_at) and C(updated_at). Fields that are empty (null)
    are left out too, since leaving them out means the same.
  - Secrets are never returned by a desk. Where one is set, an object whose only key is C($secret) stands in its place,
    with a name for it such as C(department/support/imap.password). Applied, it keeps the stored secret.
  - The order of the objects and of their fields stays what it was.
positional: kind
options:
  _input:
    description:
      - The registered result of an C(_info) module, or several of them in a list or of a loop, or a document of kinds, or
        a list of objects of one kind, which O(kind) names.
    type: raw
    required: true
  kind:
    description:
      - Of which kind the objects of a list are, such as V(department) or V(departments).
      - Of results that hold several kinds, only this one is taken.
    type: str
  nulls:
    description: Whether fields that are empty (null) are kept.
    type: bool
    default: false
seealso:
  - plugin: deskplane.helpdesk.department_info
    plugin_type: module
"""

EXAMPLES = r"""
- name: Read the departments
  deskplane.helpdesk.department_info:
  register: departments

- name: Read the labels
  deskplane.helpdesk.label_info:
  register: labels

- name: Write both into a file that can be committed
  ansible.builtin.copy:
    content: "{{ [departments, labels] | deskplane.helpdesk.to_configuration | ansible.builtin.to_nice_yaml(sort_keys=false) }}"
    dest: desk.yml
    mode: "0644"

- name: What one department looks like as code
  ansible.builtin.debug:
    msg: "{{ departments.departments[:1] | deskplane.helpdesk.to_configuration('department') }}"
"""

RETURN = r"""
_value:
  description: A dictionary with a list of objects for each kind, under the kind's plural.
  type: dict
  sample:
    departments:
      - name: support
        imap:
          server: imap.example.com
          password:
            $secret: department/support/imap.password
"""

import functools
import importlib
import pkgutil
from collections.abc import Mapping

from ansible.errors import AnsibleFilterError

from ansible_collections.deskplane.helpdesk.plugins.module_utils import arguments
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import Resource

MODULES = "ansible_collections.deskplane.helpdesk.plugins.modules"
SECRET_SHOWN = "(secret)"
NO_FIELDS = {"state", "renamed_from", "cascade", "update_password", "api_keys"}
"""Options that say what to do, and not what an object is; keys of users are none of a desk's configuration."""


@functools.lru_cache(maxsize=None)
def kinds():
    """Every kind that has a module, as its `Resource`, by its plural."""
    found = {}
    for entry in pkgutil.iter_modules(importlib.import_module(MODULES).__path__):
        declaration = getattr(importlib.import_module("%s.%s" % (MODULES, entry.name)), "DECLARATION", None)
        if isinstance(declaration, Resource) and declaration.kind not in ("ticket", "api_key"):
            found[declaration.path.replace("-", "_")] = declaration
    return found


def plural_of(name):
    """The plural of a kind that is named by itself, by its plural, or by its module."""
    known = kinds()
    for plural, declaration in known.items():
        if name in (plural, declaration.path, declaration.kind, declaration.kind + "_credential"):
            return plural
    raise AnsibleFilterError("to_configuration: there is no kind %r (known: %s)" % (name, ", ".join(sorted(known))))


def needed_key(declaration):
    """The parts of a kind's key without which there is no object."""
    return [name for name in declaration.key if declaration.argument_spec[name].get("required")]


def _collect(value, kind, found):
    """Sorts what was given into lists by kind."""
    if isinstance(value, Mapping):
        if kind is not None and all(value.get(name) is not None for name in needed_key(kinds()[kind])):
            found.setdefault(kind, []).append(value)  # first: a user has "groups", which is a kind's plural too
            return
        known = [name for name in value if name in kinds() and isinstance(value[name], list)]
        for inner in ("configuration", "results"):
            if not known and isinstance(value.get(inner), (Mapping, list)):
                _collect(value[inner], kind, found)
                return
        if known:
            for plural in known:
                if kind in (None, plural):
                    found.setdefault(plural, []).extend(value[plural])
            return
        if kind is not None:
            found.setdefault(kind, []).append(value)
            return
    elif isinstance(value, list):
        if not value and kind is not None:
            found.setdefault(kind, [])
        for item in value:
            _collect(item, kind, found)
        return
    raise AnsibleFilterError(
        "to_configuration: this holds no objects of a desk (%s); give results of _info modules, or name the kind of a list of objects"
        % (", ".join(sorted(str(name) for name in value)[:8]) if isinstance(value, Mapping) else type(value).__name__)
    )


def _item(declaration, given, nulls):
    if not isinstance(given, Mapping):
        raise AnsibleFilterError("to_configuration: %s: %r is no object" % (declaration.kind, given))
    for name in needed_key(declaration):
        if given.get(name) is None:
            raise AnsibleFilterError("to_configuration: an object of the kind %s has no %s" % (declaration.kind, name))
    parts = ["-" if given.get(name) is None else str(given[name]) for name in declaration.key]
    begins = "/".join([declaration.kind] + parts)
    spec = {
        name: option
        for name, option in declaration.argument_spec.items()
        if name not in NO_FIELDS and not name.startswith("deskplane_")
    }
    return _fields(spec, given, begins, "", nulls)


def _fields(spec, given, begins, path, nulls):
    found = {}
    for name, value in given.items():
        if name not in spec or (value is None and not nulls):
            continue
        options, here = spec[name].get("options"), path + name
        if options and isinstance(value, Mapping):
            value = _fields(options, value, begins, here + ".", nulls)
            if not value:
                continue
        elif options and isinstance(value, list):
            value = [
                _fields(options, item, begins, "%s.%d." % (here, index), nulls) if isinstance(item, Mapping) else item
                for index, item in enumerate(value)
            ]
        elif value == SECRET_SHOWN:
            value = {"$secret": "%s/%s" % (begins, here)}
        found[name] = value
    return found


def to_configuration(value, kind=None, nulls=False):
    """The filter."""
    try:
        value = arguments.plain(value)
    except arguments.BadArguments as error:
        raise AnsibleFilterError("to_configuration: %s" % error) from None
    kind = None if kind is None else plural_of(kind)
    found = {}
    _collect(value, kind, found)
    return {plural: [_item(kinds()[plural], item, nulls) for item in items] for plural, items in found.items()}


class FilterModule:
    """What Ansible asks for."""

    def filters(self):
        return {"to_configuration": to_configuration}
