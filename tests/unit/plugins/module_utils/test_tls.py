# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import datetime
import ipaddress
import ssl

import pytest
from ansible_collections.deskplane.helpdesk.plugins.module_utils.transport import BadAddress, NoAnswer, Transport
from ansible_collections.deskplane.helpdesk.tests.unit.scripted_server import ScriptedServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A self-signed certificate for 127.0.0.1 and its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "desk.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return str(path)


@pytest.fixture
def tls_server(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with ScriptedServer(tls=context) as started:
        yield started


def get(url, **options):
    return Transport(url, environ={}, **options).send("GET", "/api/v1/version", {})


def test_a_self_signed_certificate_is_refused_with_what_to_do(tls_server):
    with pytest.raises(NoAnswer, match=r"is not trusted \(self.signed certificate\).*deskplane_ca_path") as failure:
        get(tls_server.url)
    assert not failure.value.sent


def test_a_named_authority_is_trusted(tls_server, certificate):
    assert get(tls_server.url, ca_path=certificate).status == 200


def test_checking_can_be_switched_off(tls_server):
    assert get(tls_server.url, validate_certs=False).status == 200


def test_tls_to_a_plain_port_is_named(server):
    with pytest.raises(NoAnswer, match="no TLS connection|closed|not speak"):
        get(server.url.replace("http:", "https:"))


def test_an_authority_that_is_not_there_is_named(tls_server):
    with pytest.raises(BadAddress, match="deskplane_ca_path /does/not/exist.pem does not exist"):
        get(tls_server.url, ca_path="/does/not/exist.pem")


def test_an_authority_without_a_certificate_is_named(tls_server, tmp_path):
    (tmp_path / "empty.pem").write_text("nothing")
    with pytest.raises(BadAddress, match="holds no usable certificate"):
        get(tls_server.url, ca_path=str(tmp_path / "empty.pem"))
