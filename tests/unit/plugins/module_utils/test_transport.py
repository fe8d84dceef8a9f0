# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64

import pytest
from ansible_collections.deskplane.helpdesk.plugins.module_utils.transport import BadAddress, NoAnswer, Transport
from ansible_collections.deskplane.helpdesk.tests.unit.scripted_server import HANG_UP, answer


def get(transport, path="/api/v1/version"):
    return transport.send("GET", path, {})


def test_requests_share_one_connection(server):
    transport = Transport(server.url, environ={})
    for _each in range(5):
        assert get(transport).status == 200
    assert server.connections == 1


def test_a_connection_that_the_server_closed_meanwhile_is_opened_anew(server):
    transport = Transport(server.url, environ={})
    get(transport)
    server.drop_connections()
    # The goodbye needs a moment to arrive; it is waited for, so that the test never depends on luck.
    transport._connection.sock.settimeout(5)
    assert transport._connection.sock.recv(1) == b""
    assert get(transport).status == 200
    assert server.connections == 2


def test_an_answer_that_says_close_ends_the_connection(server):
    server.script = [[answer(document={}, headers={"Connection": "close"}), HANG_UP]]
    transport = Transport(server.url, environ={})
    get(transport)
    get(transport)
    assert server.connections == 2


def test_a_kept_connection_that_dies_before_the_answer_is_told_from_a_fresh_one(server):
    server.script = [answer(document={}), HANG_UP]
    transport = Transport(server.url, environ={})
    get(transport)
    with pytest.raises(NoAnswer) as kept:
        get(transport)
    assert kept.value.stale and kept.value.sent
    with pytest.raises(NoAnswer) as fresh:
        get(transport)
    assert not fresh.value.stale and fresh.value.sent


def test_an_answer_that_is_cut_off_is_no_answer(server):
    server.script = [[answer(document={"name": "a" * 100})[:-20], HANG_UP]]
    with pytest.raises(NoAnswer, match="closed the connection before its answer was complete"):
        get(Transport(server.url, environ={}))


def test_silence_ends_after_the_timeout(server):
    server.script = [0.6]
    with pytest.raises(NoAnswer, match=r"gave no answer within 0.2 s \(deskplane_timeout\)") as failure:
        get(Transport(server.url, timeout=0.2, environ={}))
    assert failure.value.sent


def test_something_that_speaks_no_http_is_named(server):
    server.script = [[b"SSH-2.0-OpenSSH_9.2\r\n", HANG_UP]]
    with pytest.raises(NoAnswer, match="does not speak HTTP"):
        get(Transport(server.url, environ={}))


def test_a_refused_connection_may_be_tried_again(server):
    server.stop()
    with pytest.raises(NoAnswer, match="refused the connection") as failure:
        get(Transport(server.url, environ={}))
    assert failure.value.refused and not failure.value.sent


def test_a_name_that_does_not_exist_is_named():
    with pytest.raises(NoAnswer, match="the name desk.invalid of http://desk.invalid cannot be resolved"):
        get(Transport("http://desk.invalid", environ={}))


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("desk.example.com", "not an address like https://"),
        ("ftp://desk.example.com", "not an address like https://"),
        ("http://", "not an address like https://"),
        ("http://desk:99999", "not an address"),
        ("http://me:geheim@desk", "must not hold a user name or password"),
        ("http://desk/?a=b", "plain address"),
        ("http://desk/a b", "plain address"),
        ("http://desk\r\nX-Evil: 1", "address"),
    ],
)
def test_an_address_that_cannot_be_meant_is_refused(url, words):
    with pytest.raises(BadAddress, match=words) as failure:
        Transport(url, environ={})
    assert "geheim" not in str(failure.value)


def test_a_path_before_the_api_is_kept(server):
    get(Transport(server.url + "/desk/", environ={}), "/api/v1/labels")
    assert server.requests[0].target == "/desk/api/v1/labels"


def test_plain_http_goes_through_the_proxy_with_its_login(server):
    environ = {"http_proxy": server.url.replace("//", "//me:p%40ss@")}
    get(Transport("http://desk.invalid:81", environ=environ), "/api/v1/labels")
    request = server.requests[0]
    assert request.target == "http://desk.invalid:81/api/v1/labels"
    assert request.headers["host"] == "desk.invalid:81"
    assert base64.b64decode(request.headers["proxy-authorization"].split()[1]) == b"me:p@ss"


def test_https_asks_the_proxy_for_a_tunnel(server):
    server.script = [[answer(403, document={}), HANG_UP]]
    with pytest.raises(NoAnswer, match="through the proxy 127.0.0.1"):
        get(Transport("https://desk.invalid", environ={"HTTPS_PROXY": server.url}))
    assert (server.requests[0].method, server.requests[0].target) == ("CONNECT", "desk.invalid:443")


def test_a_proxy_that_nobody_runs_is_named_with_its_variable(server):
    server.stop()
    with pytest.raises(NoAnswer, match="through the proxy 127.0.0.1:.* refused the connection: it is named by http_proxy"):
        get(Transport("http://desk.invalid", environ={"http_proxy": server.url}))


@pytest.mark.parametrize("no_proxy", ["127.0.0.1", "*", "example.com, 127.0.0.1"])
def test_no_proxy_is_honoured(server, no_proxy):
    environ = {"http_proxy": "http://proxy.invalid:3128", "NO_PROXY": no_proxy}
    assert get(Transport(server.url, environ=environ)).status == 200


def test_a_proxy_that_cannot_be_used_is_refused():
    with pytest.raises(BadAddress, match="the proxy of the environment"):
        Transport("http://desk.example.com", environ={"http_proxy": "socks5://proxy:1080"})
