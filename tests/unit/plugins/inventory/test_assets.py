# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the inventory plugin makes of a desk's answers, and what it says where it can make nothing of them."""

from __future__ import annotations

import pytest
import yaml
from ansible.errors import AnsibleParserError
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import inventory_loader
from ansible_collections.deskplane.helpdesk.tests.unit.scripted_server import answer, problem

NAME = "deskplane.helpdesk.assets"
KEY = "dpk_test_0123456789abcdef"


def asset(name, customer="ACME", **fields):
    found = {"id": "id-of-" + name, "name": name, "customer": customer, "kind": "server", "serial": "", "location": ""}
    found.update(attributes={}, contacts=[], movements=[], created_at="2026-03-02T09:00:00Z")
    return dict(found, **fields)


def page(*items, cursor=None):
    return answer(200, {"items": list(items), "next_cursor": cursor})


ACME = {"name": "ACME"}


class Source:
    def __init__(self, folder, server):
        self.path = folder / "desk.yml"
        self.server = server

    def read(self, afresh=False, **config):
        """The inventory that this source makes, or the error with which it ends."""
        given = {"plugin": NAME, "deskplane_url": self.server.url, "deskplane_api_key": KEY, **config}
        self.path.write_text(yaml.safe_dump({name: value for name, value in given.items() if value is not None}))
        inventory, loader = InventoryData(), DataLoader()
        plugin = inventory_loader.get(NAME)
        assert plugin.verify_file(str(self.path))
        plugin.parse(inventory, loader, str(self.path), cache=not afresh)
        if config.get("cache"):
            plugin.update_cache_if_changed()
        return inventory

    def fails(self, **config):
        with pytest.raises(AnsibleParserError) as caught:
            self.read(**config)
        text = str(caught.value)
        assert text.startswith(NAME + ": ") and "\n" not in text and KEY not in text
        return text

    def asked(self):
        return [request.target for request in self.server.requests]


@pytest.fixture
def source(server, tmp_path, monkeypatch):
    for name in ("DESKPLANE_URL", "DESKPLANE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    return Source(tmp_path, server)


def hosts(inventory, group="all"):
    if group == "all":
        return sorted(inventory.hosts)
    return sorted(host.name for host in inventory.groups[group].hosts)


def test_each_asset_is_a_host_with_its_fields(source, server):
    web = asset("web-1", attributes={"os": "debian"}, contacts=["kim@acme.example"], movements=[{"to": "Munich"}])
    server.script = [page(web, asset("db-1", "Example Ltd", kind=""))]
    inventory = source.read()
    assert hosts(inventory) == ["db-1", "web-1"]
    assert hosts(inventory, "customer_ACME") == ["web-1"] and hosts(inventory, "customer_Example_Ltd") == ["db-1"]
    assert hosts(inventory, "kind_server") == ["web-1"] and "kind_" not in inventory.groups
    shown = {name: value for name, value in inventory.hosts["web-1"].vars.items() if not name.startswith("inventory_")}
    assert shown == {"asset_" + name: value for name, value in web.items() if name != "created_at"}


def test_all_pages_are_read(source, server):
    server.script = [page(asset("a"), cursor="next&1"), page(asset("b"))]
    assert hosts(source.read()) == ["a", "b"]
    assert source.asked() == ["/api/v1/assets?limit=200", "/api/v1/assets?limit=200&cursor=next%261"]


def test_customers_are_asked_for_by_name(source, server):
    server.script = [page(ACME), page({"name": "B & C"}), page(asset("a")), page(asset("b", "B & C"))]
    assert hosts(source.read(customers=["B & C", "ACME"])) == ["a", "b"]
    assert source.asked()[2:] == ["/api/v1/assets?customer=ACME&limit=200", "/api/v1/assets?customer=B+%26+C&limit=200"]


def test_a_customer_that_is_not_there_is_an_error_and_not_an_empty_inventory(source, server):
    server.script = [page()]
    assert "there is no customer 'ACEM'" in source.fails(customers="ACEM")


@pytest.mark.parametrize(
    ("config", "left"),
    [
        ({"kinds": ["printer"]}, ["c"]),
        ({"filters": ["asset_attributes.os == 'debian'"]}, ["a"]),
        ({"filters": ["asset_attributes.os is defined", "asset_location != ''"]}, ["b"]),
        ({"filters": ["not asset_location"]}, ["a", "c"]),
        ({"kinds": ["desk"]}, []),
    ],
)
def test_filters_leave_what_they_say(source, server, config, left):
    server.script = [
        page(
            asset("a", attributes={"os": "debian"}),
            asset("b", attributes={"os": "rhel"}, location="Munich"),
            asset("c", kind="printer"),
        )
    ]
    assert hosts(source.read(**config)) == left


def test_a_filter_that_is_neither_true_nor_false_is_an_error(source, server):
    server.script = [page(asset("a", location="Munich"))]
    assert "filters: 'asset_location' gives 'Munich' for the asset 'a' of 'ACME'" in source.fails(filters=["asset_location"])


def test_with_strict_an_expression_that_fails_is_an_error(source, server):
    server.script = [page(asset("a"))]
    for option in ("filters", "hostnames"):
        text = source.fails(strict=True, **{option: ["asset_attributes.os == 'debian'"]})
        assert text.startswith("%s: %s: 'asset_attributes.os == 'debian'' failed for the asset 'a' of 'ACME'" % (NAME, option))


def test_a_host_is_named_by_the_first_expression_that_gives_a_text(source, server):
    server.script = [page(asset("a", attributes={"fqdn": "a.example.com"}), asset("b", attributes={"fqdn": " "}), asset("c"))]
    assert hosts(source.read(hostnames=["asset_attributes.fqdn", "asset_name"])) == ["a.example.com", "b", "c"]


def test_two_assets_do_not_become_one_host(source, server):
    server.script = [page(asset("firewall"), asset("firewall", "Example Ltd"))]
    assert "the asset 'firewall' of 'ACME' and the asset 'firewall' of 'Example Ltd' would both be the host 'firewall'" in source.fails()
    names = hosts(source.read(hostnames=["asset_name ~ '.' ~ asset_customer"]))
    assert names == ["firewall.ACME", "firewall.Example Ltd"]


def test_an_asset_without_a_name_for_its_host_is_an_error(source, server):
    server.script = [page(asset("a"))]
    assert "hostnames: none of them gives the asset 'a' of 'ACME' a name" in source.fails(hostnames=["asset_attributes.fqdn"])


def test_two_customers_do_not_become_one_group(source, server):
    server.script = [page(asset("a", "A-B"), asset("b", "A B"))]
    assert "the customers 'A B' and 'A-B' would be one group" in source.fails()
    assert "customer_A_B" not in source.read(group_by=["kind"]).groups


def test_hosts_are_composed_and_grouped(source, server):
    server.script = [page(asset("a", attributes={"os": "debian", "address": "192.0.2.1"}, location="Munich, 2nd"), asset("b"))]
    inventory = source.read(
        compose={"ansible_host": "asset_attributes.address"},
        groups={"in_munich": "'Munich' in asset_location", "has_address": "ansible_host is defined"},
        keyed_groups=[{"key": "asset_attributes.os | default('')", "prefix": "os"}],
        group_by=["location"],
    )
    assert inventory.hosts["a"].vars["ansible_host"] == "192.0.2.1" and "ansible_host" not in inventory.hosts["b"].vars
    for group in ("in_munich", "has_address", "os_debian", "location_Munich__2nd"):
        assert hosts(inventory, group) == ["a"], group
    assert not any(name.startswith(("customer_", "kind_")) for name in inventory.groups)


def test_what_stands_on_the_desk_is_no_template(source, server, tmp_path):
    """Whoever may write an asset must not be able to run something where the inventory is read."""
    evil = "{{ lookup('ansible.builtin.pipe', 'touch %s') }}" % (tmp_path / "ran")
    server.script = [page(asset("a", serial=evil, location=evil, attributes={"os": evil}))]
    inventory = source.read(
        compose={"copied": "asset_attributes.os", "mixed": "asset_serial ~ '!'"},
        keyed_groups=[{"key": "asset_attributes.os"}],
        filters=["asset_location != 'x'"],
        hostnames=["asset_serial"],
    )
    assert hosts(inventory) == [evil]
    assert inventory.hosts[evil].vars["copied"] == evil and inventory.hosts[evil].vars["mixed"] == evil + "!"
    from ansible.template import Templar

    again = Templar(loader=DataLoader(), variables=dict(inventory.hosts[evil].vars))
    try:
        # Ansible trusts a playbook's own text; this stands for it.
        from ansible.template import trust_as_template as trusted
    except ImportError:
        trusted = str
    assert again.template(trusted("{{ asset_serial }} {{ copied }} {{ mixed }}")).count("lookup(") == 3
    assert not (tmp_path / "ran").exists()


# The cache.


def cached(folder, **more):
    return dict({"cache": True, "cache_plugin": "ansible.builtin.jsonfile", "cache_connection": str(folder / "cache")}, **more)


def test_the_cache_is_asked_before_the_desk(source, server, tmp_path):
    server.script = [page(asset("a")), page(asset("b"))]
    config = cached(tmp_path)
    assert hosts(source.read(**config)) == hosts(source.read(**config)) == ["a"]
    assert len(server.requests) == 1
    # As --flush-cache and meta: refresh_inventory do it.
    assert hosts(source.read(afresh=True, **config)) == ["b"]
    assert hosts(source.read(**config)) == ["b"] and len(server.requests) == 2


def test_what_is_written_in_the_file_applies_to_what_is_cached(source, server, tmp_path):
    server.script = [page(asset("a"), asset("b", kind="printer"))]
    assert hosts(source.read(**cached(tmp_path))) == ["a", "b"]
    assert hosts(source.read(**cached(tmp_path, kinds=["printer"]))) == ["b"]
    assert len(server.requests) == 1


def test_the_cache_of_another_key_or_customer_is_not_used(source, server, tmp_path):
    server.script = [page(asset("a")), page(asset("b")), page(ACME), page(asset("c"))]
    assert hosts(source.read(**cached(tmp_path))) == ["a"]
    assert hosts(source.read(**cached(tmp_path, deskplane_api_key="dpk_other_0123456789abcdef"))) == ["b"]
    other = cached(tmp_path, deskplane_api_key="dpk_other_0123456789abcdef", customers=["ACME"])
    assert hosts(source.read(**other)) == ["c"]
    stored = "".join(file.read_text() for file in (tmp_path / "cache").iterdir())
    assert "0123456789abcdef" not in stored


# Mistakes.


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"custmers": ["ACME"]}, "there is no option custmers"),
        ({"deskplane_api_key": None}, "deskplane_api_key is not set"),
        ({"deskplane_url": "desk"}, "is not an address"),
        ({"deskplane_timeout": 0}, "deskplane_timeout must be more than 0"),
    ],
)
def test_a_mistake_in_the_file_is_one_line(source, config, says):
    assert says in source.fails(**config)
    assert not source.server.requests


@pytest.mark.parametrize(
    ("sent", "says"),
    [
        (problem(401, "the key is unknown"), "key"),
        (problem(403, "the permission is missing"), "the permission is missing"),
        (answer(200, body=b"<html>", headers={"Content-Type": "text/html"}, version=None), "HTML page"),
        (answer(200, {"items": [], "next_cursor": None}, version="0.0.1"), "upgrade the desk"),
        (answer(500, {"title": "Broken", "status": 500, "detail": "it broke", "request_id": "r1"}), "it broke"),
    ],
)
def test_a_desk_that_refuses_is_one_line(source, server, sent, says):
    server.script = [sent]
    assert says in source.fails()


def test_the_connection_can_come_from_the_environment_and_from_templates(source, server, tmp_path, monkeypatch):
    server.script = [page(asset("a"))]
    (tmp_path / "key").write_text(KEY + "\n")
    template = "{{ lookup('ansible.builtin.file', '%s') }}" % (tmp_path / "key")
    assert hosts(source.read(deskplane_api_key=template)) == ["a"]
    monkeypatch.setenv("DESKPLANE_URL", server.url)
    monkeypatch.setenv("DESKPLANE_API_KEY", KEY)
    assert hosts(source.read(deskplane_api_key=None, deskplane_url=None)) == ["a"]
    assert {request.headers["authorization"] for request in server.requests} == {"Bearer " + KEY}
