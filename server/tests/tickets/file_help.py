"""Sending files as the tests of attachments do."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from sqlalchemy import func, select

from conftest import Api
from deskplane.app import Desk

NUMBER = "TKT-000001"
FILES = f"/tickets/{NUMBER}/attachments"


def sent(
    api: Api,
    data: bytes | io.IOBase = b"Hello",
    name: str | None = "hello.txt",
    status: int = 201,
    number: str = NUMBER,
    kind: str = "text/plain",
    headers: dict[str, str] | None = None,
    **query: str,
) -> Any:
    """POST …/attachments, which must answer so; with its name in the address."""
    given = {**({"name": name} if name is not None else {}), **query}
    words = "&".join(f"{key}={quote(value, safe='')}" for key, value in given.items())
    headers = {"Content-Type": kind, **(headers or {})}
    answer = post(api, f"/tickets/{number}/attachments?{words}", data, headers)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_json()


def post(api: Api, path: str, data: bytes | io.IOBase, headers: dict[str, str]) -> Any:
    """Sends a body as it is, or a stream as a server would hand it over: of the length that the headers say, else
    chunked."""
    if isinstance(data, bytes):
        return api.request("POST", path, data=data, headers=headers)
    length = headers.pop("Content-Length", "")
    # the test client would read a stream itself
    environment = {"wsgi.input": data, "CONTENT_LENGTH": length, "wsgi.input_terminated": not length}
    return api.request("POST", path, headers=headers, environ_overrides=environment)


def count(desk: Desk, model: Any) -> int:
    with desk.database.transaction(write=False) as session:
        return session.execute(select(func.count()).select_from(model)).scalar_one()


def pieces(api: Api, path: str) -> Iterator[bytes]:
    """What an address answers, piece by piece."""
    answer = api.request("GET", path, buffered=False)
    assert answer.status_code == 200
    yield from answer.response


class Unread(io.RawIOBase):
    """A body that must not be read."""

    def readable(self) -> bool:
        return True

    def readinto(self, _buffer: Any) -> int:
        raise AssertionError("the file was read")


class Made(io.RawIOBase):
    """A body that is made while it is read: so many bytes, counted."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.given = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        length = min(len(buffer), self.size - self.given)
        buffer[:length] = b"\x07" * length
        self.given += length
        return length
