"""Calling what somebody configured: never into the house, never for longer than agreed, never more than is asked."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from deskplane.kernel.safe_http import Client, Failed, is_allowed, literal
from faults import BLACK_HOLE, RESET, Fault, FaultProxy
from receivers import NETWORK, Script, receiver

NOT_PUBLIC = [
    "127.0.0.1", "127.255.255.254", "0.0.0.0", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "100.64.0.1",
    "169.254.169.254", "168.63.129.16", "192.0.0.192", "198.18.0.1", "224.0.0.1", "239.1.2.3", "240.0.0.1",
    "255.255.255.255", "192.0.2.1", "192.88.99.1",
    "::", "::1", "fe80::1", "fe80::1%eth0", "fec0::1", "fc00::1", "fd00:ec2::254", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:169.254.169.254", "::ffff:7f00:1", "::127.0.0.1", "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "nonsense", "",
]  # fmt: skip
PUBLIC = ["8.8.8.8", "1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_addresses_that_are_not_public_are_refused(address: str) -> None:
    assert not is_allowed(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address)


def test_a_network_that_is_allowed_is_meant_in_every_way_of_writing_it() -> None:
    network = [ip_network("10.20.0.0/16")]
    assert is_allowed("10.20.1.1", network)
    assert is_allowed("::ffff:10.20.1.1", network)
    assert not is_allowed("10.21.1.1", network)
    assert not is_allowed("::ffff:10.21.1.1", network)
    assert not is_allowed("127.0.0.1", [ip_network("fd00::/8")])


ODD = {
    "2130706433": "127.0.0.1", "0x7f000001": "127.0.0.1", "0x7f.1": "127.0.0.1", "0177.0.0.1": "127.0.0.1",
    "127.1": "127.0.0.1", "[::1]": "::1", "0": "0.0.0.0", "[::ffff:127.0.0.1]": "::ffff:127.0.0.1",
}  # fmt: skip


@pytest.mark.parametrize("host", [*ODD, "localhost", "desk.localhost", "169.254.169.254"])
def test_odd_ways_of_writing_an_address_are_seen_through_when_it_is_saved_and_when_it_is_called(host: str) -> None:
    if host in ODD:
        assert ip_address(literal(host) or "") == ip_address(ODD[host])
    client = Client(resolve=lambda name, port: ["127.0.0.1"])
    assert "public internet" in (client.mistake(f"http://{host}/x") or "")
    with pytest.raises(Failed) as caught:
        client.send("POST", f"http://{host}/x", {}, b"")
    assert caught.value.code == "refused_address"


def test_a_name_says_nothing_before_it_is_called() -> None:
    assert Client().mistake("https://hooks.example.org/x") is None


def client(seconds: float = 15, **hosts: list[str]) -> Client:
    """A client that allows the test network alone, and knows these names."""
    return Client([NETWORK], resolve=lambda name, port: hosts[name.partition(".")[0]], seconds=seconds)


def test_the_address_that_was_looked_at_is_the_one_that_is_called() -> None:
    """A name that resolves to another address the second time (rebinding) is looked up once a call, and looked at."""
    trap, script = Script(), Script()
    with receiver(trap, "127.0.0.1") as (_own, port), receiver(script) as (address, good):
        answers = iter([[address], ["127.0.0.1"], ["127.0.0.1", address]])
        found = Client([NETWORK], resolve=lambda name, port: next(answers))
        assert found.send("POST", f"http://hooks.example:{good}/x?y=1", {"X-A": "b"}, b"{}").status == 200
        with pytest.raises(Failed, match="not on the public internet"):
            found.send("POST", f"http://hooks.example:{port}/", {}, b"{}")
        assert found.send("POST", f"http://hooks.example:{good}/", {}, b"{}").status == 200, "the other one is called"
    assert trap.got == []
    (first, _second) = script.got
    assert (first.method, first.path, first.body) == ("POST", "/x?y=1", b"{}")
    assert (first.headers["host"], first.headers["x-a"]) == (f"hooks.example:{good}", "b")
    assert first.headers["content-length"] == "2"


def test_redirects_are_answers_and_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    trap = Script()
    with receiver(trap, "127.0.0.1") as (own, port):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://{own}:{port}")
        script = Script([(302, {"Location": f"http://{own}:{port}/"}, b"")])
        with receiver(script) as (address, good):
            assert client().send("POST", f"http://{address}:{good}/", {}, b"").status == 302
    assert trap.got == []
    assert len(script.got) == 1


def test_one_deadline_bounds_it_all_however_slowly_an_answer_drips() -> None:
    """Headers that drip, one that says nothing, one that accepts nobody, and a name that is never found."""
    with receiver(Script()) as target:
        for fault in (Fault(drip=0.1), Fault(latency=3), BLACK_HOLE):
            with FaultProxy(target, fault, "127.77.0.1") as proxy:
                begun = time.monotonic()
                with pytest.raises(Failed) as caught:
                    client(1.0).send("POST", f"http://127.77.0.1:{proxy.port}/", {}, b"x" * 100)
                assert caught.value.code == "timeout"
                assert 0.9 < time.monotonic() - begun < 2
    begun = time.monotonic()
    never = threading.Event()
    with pytest.raises(Failed, match="no answer within"):
        Client(resolve=lambda name, port: [str(never.wait(5))], seconds=0.5).send("GET", "http://a/", {}, None)
    assert time.monotonic() - begun < 2


def test_a_body_that_drips_or_breaks_off_does_not_unsay_the_status_and_is_not_waited_for() -> None:
    script = Script([(200, {}, b"x" * 50_000)])
    with receiver(script) as target, FaultProxy(target, Fault(cut_after=1000), "127.77.0.1") as proxy:
        answer = client().send("GET", f"http://127.77.0.1:{proxy.port}/", {}, None)
        assert (answer.status, len(answer.body) < 1000) == (200, True)
    with socket.create_server(("127.77.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 204 x\r\nTransfer-Encoding: chunked\r\n\r\n")
            time.sleep(3)

        threading.Thread(target=drip, daemon=True).start()
        begun = time.monotonic()
        found = client(1.0).send("GET", f"http://127.77.0.1:{listener.getsockname()[1]}/", {}, None)
        assert found.status == 204
        assert time.monotonic() - begun < 2


def test_no_more_is_read_of_an_answer_than_is_kept() -> None:
    from deskplane.kernel.safe_http import MOST_READ

    with receiver(Script([(200, {"Content-Encoding": "gzip"}, b"x" * 3_000_000)])) as (address, port):
        answer = client().send("GET", f"http://{address}:{port}/", {}, None)
    assert answer.body == b"x" * MOST_READ, "not unpacked, and cut"


def test_what_is_not_http_is_said_to_be_so() -> None:
    for data, code in ((b"220 mail.example ESMTP\r\n", "bad_answer"), (b"", "bad_answer")):
        with socket.create_server(("127.77.0.1", 0)) as listener:

            def answer(data: bytes = data, listener: socket.socket = listener) -> None:
                connection, _ = listener.accept()
                connection.recv(1000)
                connection.sendall(data)
                connection.close()

            threading.Thread(target=answer, daemon=True).start()
            with pytest.raises(Failed) as caught:
                client().send("POST", f"http://127.77.0.1:{listener.getsockname()[1]}/", {}, b"")
            assert caught.value.code in {code, "connection"}
    with receiver(Script()) as target, FaultProxy(target, RESET, "127.77.0.1") as proxy:
        with pytest.raises(Failed) as caught:
            client().send("POST", f"http://127.77.0.1:{proxy.port}/", {}, b"")
        assert caught.value.code == "connection"
        port = proxy.port
    with pytest.raises(Failed, match="refused"):
        client().send("POST", f"http://127.77.0.1:{port}/", {}, b"")

    def unknown(name: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(Failed, match="has no address"):
        Client(resolve=unknown).send("GET", "http://no.such.example/", {}, None)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for hooks.example, signed by itself."""
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=hooks.example", "-addext", "subjectAltName=DNS:hooks.example",
         "-keyout", folder / "key.pem", "-out", folder / "certificate.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.fixture
def sealed(certificate: Path) -> Iterator[tuple[int, list[str | None]]]:
    """A TLS server that answers 200 slowly enough to be seen; and the names that it was asked for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "certificate.pem", certificate / "key.pem")
    names: list[str | None] = []
    context.sni_callback = lambda connection, name, context: names.append(name)
    with socket.create_server(("127.77.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    raw, _ = listener.accept()
                    connection = context.wrap_socket(raw, server_side=True)
                    path = connection.recv(10_000).split(b" ")[1]
                    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                    for one in answer:
                        connection.sendall(bytes([one]))
                        time.sleep(0.2 if path == b"/drip" else 0)
                except ssl.SSLError:
                    continue
                except OSError:
                    if listener.fileno() < 0:
                        return

        threading.Thread(target=serve, daemon=True).start()
        yield listener.getsockname()[1], names


def test_tls_is_verified_against_the_name_while_the_address_is_pinned(
    sealed: tuple[int, list[str | None]], certificate: Path
) -> None:
    port, names = sealed

    def trusting() -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(certificate / "certificate.pem"))

    found = Client([NETWORK], resolve=lambda name, port: ["127.77.0.1"], context=trusting, seconds=1.5)
    assert found.send("POST", f"https://hooks.example:{port}/", {}, b"{}").body == b"ok"
    assert names == ["hooks.example"]
    with pytest.raises(Failed) as caught:
        found.send("POST", f"https://other.example:{port}/", {}, b"{}")
    assert caught.value.code == "tls"
    with pytest.raises(Failed) as caught:
        Client([NETWORK], resolve=lambda name, port: ["127.77.0.1"]).send(
            "GET", f"https://hooks.example:{port}/", {}, None
        )
    assert (caught.value.code, "certificate" in caught.value.detail) == ("tls", True)
    begun = time.monotonic()
    with pytest.raises(Failed) as caught:
        found.send("GET", f"https://hooks.example:{port}/drip", {}, None)
    assert caught.value.code == "timeout"
    assert time.monotonic() - begun < 2.5
