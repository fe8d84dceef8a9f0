# Copyright: Contributors to the Deskplane project
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One address, one kept connection, from the standard library alone.

The task runs in the controller or on any delegated host, and neither may be asked for a library;
``ansible.module_utils.urls`` needs none either, but closes its connection after every request,
which costs a loop more than the request itself.
"""

from __future__ import annotations

import base64
import http.client
import os
import select
import socket
import ssl
from collections.abc import Mapping
from typing import Any, Callable
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

MAX_ANSWER_BYTES = 64 * 1024 * 1024
PIECE_BYTES = 256 * 1024


class BadAddress(ValueError):
    """The URL, proxy or CA path that was given cannot be used at all."""


class NoAnswer(Exception):
    """No complete answer came.

    ``sent`` tells whether the other side may have read the request, ``refused`` that nobody listened,
    ``stale`` that a connection kept from an earlier request died before a byte of the answer.
    """

    def __init__(self, text: str, sent: bool = False, refused: bool = False, stale: bool = False) -> None:
        super().__init__(text)
        self.sent = sent
        self.refused = refused
        self.stale = stale


class Answer:
    """Status, headers (looked up without regard to case) and the whole body."""

    def __init__(self, status: int, headers: Any, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Transport:
    """Sends requests below one base URL over one kept connection.

    ``environ`` is where proxies are looked up: a task's ``environment:`` never reaches ``os.environ``
    of the controller.
    """

    def __init__(
        self,
        url: str,
        validate_certs: bool = True,
        ca_path: str | None = None,
        timeout: float = 30,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self.timeout = timeout
        self._validate_certs = validate_certs
        self._ca_path = ca_path
        parts = _parts(self.url)
        self._scheme, self._host = parts.scheme, parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._prefix = parts.path.rstrip("/")
        self._proxy = _proxy(parts, os.environ if environ is None else environ)
        self._netloc = parts.netloc
        self._connection: http.client.HTTPConnection | None = None

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def send(
        self,
        method: str,
        path: str,
        headers: dict[str, str],
        body: bytes | None = None,
        into: Callable[[bytes], object] | None = None,
    ) -> Answer:
        """Return the `Answer`, or raise `NoAnswer`; ``path`` is relative to the base URL.

        The body of an answer 200 goes piece by piece to ``into``, where that is given, however long it is.
        """
        connection = self._still_open()
        kept = connection is not None
        if connection is None:
            connection = self._open()
        target = self._prefix + path
        if self._proxy and self._scheme == "http":
            # A proxy that does not tunnel wants the whole address in the request line.
            target = "http://%s%s" % (self._netloc, target)
            headers = dict(headers, **self._proxy["headers"])
        try:
            connection.request(method, target, body=body, headers=headers)
            response = connection.getresponse()
            content = b""
            if into is not None and response.status == 200:
                for piece in iter(lambda: response.read(PIECE_BYTES), b""):
                    into(piece)
            else:
                content = response.read(MAX_ANSWER_BYTES + 1)
            if response.length and len(content) <= MAX_ANSWER_BYTES:
                # http.client notices this by itself only where it reads without a bound.
                raise http.client.IncompleteRead(content, response.length)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            raise self._no_answer(error, kept) from error
        if response.will_close or len(content) > MAX_ANSWER_BYTES:
            self.close()
        if len(content) > MAX_ANSWER_BYTES:
            raise NoAnswer("%s sent more than %d MiB" % (self.url, MAX_ANSWER_BYTES // 2**20), sent=True)
        return Answer(response.status, response.headers, content)

    def _still_open(self) -> http.client.HTTPConnection | None:
        """A kept socket that is readable between requests can only hold the other side's goodbye."""
        if self._connection is None or self._connection.sock is None:
            return None
        try:
            readable = bool(select.select([self._connection.sock], [], [], 0)[0])
        except (OSError, ValueError):
            readable = True
        if readable:
            self.close()
        return self._connection

    def _open(self) -> http.client.HTTPConnection:
        self.close()
        host, port = (self._proxy["host"], self._proxy["port"]) if self._proxy else (self._host, self._port)
        if self._scheme == "https":
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(host, port, timeout=self.timeout, context=self._tls())
            if self._proxy:
                connection.set_tunnel(self._host, self._port, headers=self._proxy["headers"])
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self.timeout)
        try:
            connection.connect()
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise self._no_connection(error) from error
        self._connection = connection
        return connection

    def _tls(self) -> ssl.SSLContext:
        if self._ca_path:
            if not os.path.exists(self._ca_path):
                raise BadAddress("deskplane_ca_path %s does not exist" % self._ca_path)
            where: dict[str, Any] = {"capath" if os.path.isdir(self._ca_path) else "cafile": self._ca_path}
        else:
            where = {}
        try:
            context = ssl.create_default_context(**where)
        except (OSError, ssl.SSLError) as error:
            raise BadAddress("deskplane_ca_path %s holds no usable certificate: %s" % (self._ca_path, error)) from error
        if not self._validate_certs:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _no_connection(self, error: Exception) -> NoAnswer:
        through = " through the proxy %s:%s" % (self._proxy["host"], self._proxy["port"]) if self._proxy else ""
        where = self.url + through
        if isinstance(error, ConnectionRefusedError):
            hint = "is the desk running, and is this its address and port?"
            if self._proxy:
                hint = "it is named by %s_proxy in the environment; is it right, or does no_proxy lack the desk?" % self._scheme
            return NoAnswer("%s refused the connection: %s" % (where, hint), refused=True)
        if isinstance(error, socket.gaierror):
            name = self._proxy["host"] if self._proxy else self._host
            return NoAnswer("the name %s of %s cannot be resolved: check deskplane_url" % (name, where))
        if isinstance(error, ssl.SSLCertVerificationError):
            return NoAnswer(
                "the certificate of %s is not trusted (%s): name the authority's file in deskplane_ca_path, or, "
                "only where nobody can listen in, set deskplane_validate_certs to false"
                % (where, error.verify_message or error.reason)
            )
        if isinstance(error, ssl.SSLError):
            hint = (
                "; the port seems to speak plain HTTP, try http://"
                if "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER" in str(error)
                else ""
            )
            return NoAnswer("no TLS connection to %s: %s%s" % (where, error.reason or error, hint))
        if isinstance(error, socket.timeout):
            return NoAnswer("%s could not be reached within %g s (deskplane_timeout)" % (where, self.timeout))
        return NoAnswer("%s could not be reached: %s" % (where, _words(error)))

    def _no_answer(self, error: Exception, kept: bool) -> NoAnswer:
        if isinstance(error, socket.timeout):
            return NoAnswer("%s gave no answer within %g s (deskplane_timeout)" % (self.url, self.timeout), sent=True)
        gone = isinstance(error, (ConnectionError, http.client.RemoteDisconnected))
        if isinstance(error, http.client.BadStatusLine) and not gone:
            return NoAnswer("%s does not speak HTTP: check scheme and port of deskplane_url" % self.url, sent=True)
        if gone or isinstance(error, http.client.IncompleteRead):
            return NoAnswer("%s closed the connection before its answer was complete" % self.url, sent=True, stale=kept and gone)
        return NoAnswer("the answer of %s could not be read: %s" % (self.url, _words(error)), sent=True)


def _words(error: Exception) -> str:
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _parts(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError as error:
        raise BadAddress("deskplane_url is not an address: %s" % error) from error
    if parts.username is not None or parts.password is not None:
        raise BadAddress("deskplane_url must not hold a user name or password: the key goes into deskplane_api_key")
    if parts.scheme not in ("http", "https") or not parts.hostname or not port_is_fine:
        raise BadAddress("deskplane_url '%s' is not an address like https://desk.example.com" % url)
    if parts.query or parts.fragment or any(ord(c) <= 32 or ord(c) > 126 for c in url):
        raise BadAddress("deskplane_url '%s' must be a plain address, without query, fragment or spaces" % url)
    return parts


def _proxy(parts: SplitResult, environ: Mapping[str, str]) -> dict[str, Any] | None:
    """The proxy for this address after the usual variables, lower case first, or None."""
    named = {}
    for name, value in environ.items():
        kind = name.lower()
        if kind in ("http_proxy", "https_proxy", "all_proxy", "no_proxy") and (value or name == kind):
            if name == kind or kind not in named:
                named[kind] = str(value)
    url = named.get(parts.scheme + "_proxy") or named.get("all_proxy")
    if not url or (named.get("no_proxy") and proxy_bypass_environment(parts.netloc, {"no": named["no_proxy"]})):
        return None
    try:
        proxy = urlsplit(url if "://" in url else "http://" + url)
        port = proxy.port or 80
    except ValueError as error:
        raise BadAddress("the proxy of the environment is not an address: %s" % error) from error
    if proxy.scheme != "http" or not proxy.hostname:
        raise BadAddress("the proxy of the environment (%s_proxy) must be an address like http://proxy.example.com:3128" % parts.scheme)
    headers = {}
    if proxy.username is not None:
        pair = "%s:%s" % (unquote(proxy.username), unquote(proxy.password or ""))
        headers["Proxy-Authorization"] = "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")
    return {"host": proxy.hostname, "port": port, "headers": headers}
