# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: assets
short_description: Take the assets of a Deskplane desk as hosts
version_added: 0.1.0
author: Deskplane contributors (@deskplane)
description:
  - Makes a host of each asset that the key's owner may see, and groups of their customers and kinds.
  - The inventory source is a YAML file with C(plugin=deskplane.helpdesk.assets), under any name that ends in C(.yml) or
    C(.yaml).
  - A host has the variables C(asset_id), C(asset_name), C(asset_customer), C(asset_kind), C(asset_serial),
    C(asset_location), C(asset_attributes), C(asset_contacts) and C(asset_movements). Expressions in O(filters),
    O(hostnames), O(compose), O(groups) and O(keyed_groups) use them by these names.
  - What stands on the desk is never taken for a template, and only the names above become variables. An address or a user
    to log in with is chosen here, with O(compose).
options:
  plugin:
    description: The name of this plugin.
    type: str
    required: true
    choices: [deskplane.helpdesk.assets]
  customers:
    description: Only the assets of the customers with these names. All, if empty. A customer that is not there is an error.
    type: list
    elements: str
    default: []
  kinds:
    description: Only assets whose kind is one of these. All, if empty.
    type: list
    elements: str
    default: []
  filters:
    description:
      - Only assets for which each of these expressions is true.
      - One that cannot be evaluated, as where it needs an attribute that the asset has not, counts as false, or is an error
        with O(strict=true).
    type: list
    elements: str
    default: []
  hostnames:
    description:
      - Expressions for the name of the host. The first one that gives a text, and not an empty one, is taken.
      - Two assets with the same name of a host are an error, as the second would take the place of the first.
    type: list
    elements: str
    default: [asset_name]
  group_by:
    description:
      - Groups that are made without further words. V(customer) makes C(customer_<name>), V(kind) makes C(kind_<kind>) and
        V(location) makes C(location_<location>), where the asset has one. Other characters than letters, digits and C(_)
        become C(_).
      - Two customers whose names become the same group are an error.
    type: list
    elements: str
    choices: [customer, kind, location]
    default: [customer, kind]
extends_documentation_fragment:
  - deskplane.helpdesk.controller
  - ansible.builtin.constructed
  - ansible.builtin.inventory_cache
notes:
  - O(deskplane_url), O(deskplane_api_key) and O(deskplane_ca_path) can be templates in the file, such as
    V({{ lookup('ansible.builtin.file', '/etc/desk.key'\) }}).
  - The cache holds what the desk answered, and O(filters) and what else is written in the file are applied to it each time.
    It is not used for another desk, another key or other O(customers).
  - Ansible goes on without an inventory source that failed, with a warning. To stop there, set
    C(any_unparsed_is_failed) in the section C(inventory) of C(ansible.cfg).
seealso:
  - plugin: deskplane.helpdesk.asset_info
    plugin_type: module
"""

EXAMPLES = r"""
# desk.yml. Its address and key come from the environment: DESKPLANE_URL and DESKPLANE_API_KEY.
# ansible-inventory -i desk.yml --graph
plugin: deskplane.helpdesk.assets

---
# Only the servers of two customers, by their full names, with the address to log in at
plugin: deskplane.helpdesk.assets
deskplane_url: https://desk.example.com
customers: [ACME, Example Ltd]
kinds: [server]
filters:
  - asset_attributes.managed | default('yes') == 'yes'
hostnames:
  - asset_attributes.fqdn
  - asset_name
compose:
  ansible_host: asset_attributes.address
  ansible_user: "'deploy'"
keyed_groups:
  - key: asset_attributes.os | default('')
    prefix: os
groups:
  in_munich: "'Munich' in asset_location"
cache: true
cache_plugin: ansible.builtin.jsonfile
cache_connection: ~/.cache/ansible/desk
cache_timeout: 600
"""

import hashlib

from ansible.errors import AnsibleError, AnsibleParserError
from ansible.plugins.inventory import BaseInventoryPlugin, Cacheable, Constructable
from ansible.utils.unsafe_proxy import wrap_var

from ansible_collections.deskplane.helpdesk.plugins.module_utils import arguments
from ansible_collections.deskplane.helpdesk.plugins.module_utils.desk import DeskFailure
from ansible_collections.deskplane.helpdesk.plugins.module_utils.resource import everything
from ansible_collections.deskplane.helpdesk.plugins.plugin_utils.controller import OPTIONS, desk_of

FIELDS = ("id", "name", "customer", "kind", "serial", "location", "attributes", "contacts", "movements")
NAME = "deskplane.helpdesk.assets"


class InventoryModule(BaseInventoryPlugin, Constructable, Cacheable):
    """Reads in the controller, when the inventory is."""

    NAME = NAME

    def verify_file(self, path):
        return super().verify_file(path) and path.endswith((".yml", ".yaml"))

    def parse(self, inventory, loader, path, cache=True):
        super().parse(inventory, loader, path, cache)
        config = self._read_config_data(path)
        try:
            self._refuse_unknown(config)
            assets = self._assets(self.get_cache_key(path), cache)
            self._add(self._named(assets))
        except (DeskFailure, arguments.BadArguments) as error:
            raise AnsibleParserError("%s: %s" % (NAME, error)) from None

    def _refuse_unknown(self, config):
        known = set(self.option_definitions)
        unknown = sorted(str(name) for name in config if name not in known)
        if unknown:
            raise arguments.BadArguments("there is no option %s (known: %s)" % (", ".join(unknown), ", ".join(sorted(known))))

    # What the desk has.

    def _assets(self, cache_key, may_read_cache):
        for name in OPTIONS:
            value = self.get_option(name)
            if isinstance(value, str):
                self.set_option(name, self.templar.template(value))
        asked = self._asked()
        if self.get_option("cache") and may_read_cache:
            try:
                stored = self._cache[cache_key]
            except KeyError:
                stored = {}
            if stored.get("asked") == asked:
                return stored["assets"]
        assets = self._read(asked["customers"])
        if self.get_option("cache"):
            self._cache[cache_key] = {"asked": asked, "assets": assets}
        return assets

    def _asked(self):
        """What the answer depends on; of the key only what cannot be used to get in."""
        key = hashlib.sha256(str(self.get_option("deskplane_api_key")).encode("utf-8", "surrogatepass")).hexdigest()
        customers = sorted(set(arguments.plain(self.get_option("customers"))))
        return {"url": arguments.plain(self.get_option("deskplane_url")), "key": key[:16], "customers": customers}

    def _read(self, customers):
        desk = desk_of(self)
        missing = [name for name in customers if not everything(desk, "customers", {"name": name}, "customers", 1)]
        if missing:
            raise arguments.BadArguments(
                "customers: there is no customer '%s' on the desk, or the key's owner may not see it" % "', '".join(missing)
            )
        found = []
        for customer in customers or [None]:
            found += everything(desk, "assets", {"customer": customer}, "assets")
        return [{name: asset.get(name) for name in FIELDS} for asset in found]

    # Which of it are hosts.

    def _named(self, assets):
        """The variables of each asset that is chosen, by the name of its host."""
        kinds = set(arguments.plain(self.get_option("kinds")))
        found = {}
        for asset in sorted(assets, key=lambda one: (one["customer"], one["name"])):
            if kinds and asset["kind"] not in kinds:
                continue
            # Somebody else than the author of a playbook wrote this: it must never be run as a template.
            variables = wrap_var({"asset_" + name: value for name, value in asset.items()})
            if not all(self._is_true(expression, variables) for expression in self.get_option("filters")):
                continue
            host = self._host(variables)
            if host in found:
                raise arguments.BadArguments(
                    "%s and %s would both be the host '%s': tell them apart with hostnames, such as asset_name ~ '.' ~ asset_customer"
                    % (_which(found[host]), _which(variables), host)
                )
            found[host] = variables
        return found

    def _value(self, option, expression, variables):
        """What an expression gives; None where it cannot be evaluated, as a variable in it is not there."""
        try:
            return arguments.plain(self._compose(expression, variables))
        except AnsibleError as error:
            if self.get_option("strict"):
                raise arguments.BadArguments(
                    "%s: '%s' failed for %s: %s" % (option, expression, _which(variables), _line(error))
                ) from None
            return None

    def _is_true(self, expression, variables):
        value = self._value("filters", expression, variables)
        # Before ansible-core 2.19, text comes from some expressions.
        value = {"True": True, "False": False}.get(value, value) if isinstance(value, str) else value
        if value is not None and not isinstance(value, bool):
            raise arguments.BadArguments(
                "filters: '%s' gives %r for %s, which is neither true nor false" % (expression, value, _which(variables))
            )
        return bool(value)

    def _host(self, variables):
        for expression in self.get_option("hostnames"):
            value = self._value("hostnames", expression, variables)
            if value is not None and str(value).strip():
                return str(value).strip()
        raise arguments.BadArguments(
            "hostnames: none of them gives %s a name: add asset_name as the last one, or leave it out with filters"
            % _which(variables)
        )

    # What the inventory gets.

    def _add(self, hosts):
        strict = self.get_option("strict")
        group_by = self.get_option("group_by")
        self._refuse_shared_groups(hosts if "customer" in group_by else {})
        keyed = [{"key": "asset_" + name, "prefix": name} for name in group_by]
        for host, variables in hosts.items():
            self.inventory.add_host(host)
            for name, value in variables.items():
                self.inventory.set_variable(host, name, value)
            for one in keyed:
                if variables[one["key"]]:
                    group = self._sanitize_group_name("%s_%s" % (one["prefix"], variables[one["key"]]))
                    self.inventory.add_child(self.inventory.add_group(group), host)
            self._set_composite_vars(self.get_option("compose"), variables, host, strict)
            self._add_host_to_composed_groups(self.get_option("groups"), variables, host, strict)
            self._add_host_to_keyed_groups(self.get_option("keyed_groups"), variables, host, strict)

    def _refuse_shared_groups(self, hosts):
        """A playbook for one customer's group must not reach the hosts of another one."""
        customers = {}
        for variables in hosts.values():
            name = variables["asset_customer"]
            other = customers.setdefault(self._sanitize_group_name("customer_%s" % name), name)
            if other != name:
                raise arguments.BadArguments(
                    "the customers '%s' and '%s' would be one group: leave customer out of group_by, and make groups with "
                    "keyed_groups" % (other, name)
                )


def _which(variables):
    return "the asset '%s' of '%s'" % (variables["asset_name"], variables["asset_customer"])


def _line(error):
    return " ".join(str(error).split())
