"""A server that notes each request it was sent, says what headers came with it, and breaks off where it is asked to."""

import json
import os
import socket
import socketserver
import sys
from http.server import BaseHTTPRequestHandler
from pathlib import Path


class Handler(BaseHTTPRequestHandler):
    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with Path(f"/tmp/requests-{name}").open("a") as notes:
            notes.write(f"{self.command} {self.path} {len(body)}\n")
        if self.path == f"/break-off-{name}":
            # As a server that is killed: the request was read, and nobody knows what became of it.
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        said = json.dumps({"server": name, "headers": dict(self.headers)}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(said)))
        self.send_header("Strict-Transport-Security", "max-age=1")
        self.end_headers()
        self.wfile.write(said)

    do_GET = do_POST = do_PATCH = answer

    def address_string(self) -> str:
        return "nginx"

    def log_message(self, *_: object) -> None:
        pass


class Listening(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = daemon_threads = True


class ListeningUnix(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


name, place = sys.argv[1:]
if place.startswith("/"):
    Path(place).unlink(missing_ok=True)
    server = ListeningUnix(place, Handler)
    os.chmod(place, 0o666)
else:
    server = Listening(("127.0.0.1", int(place)), Handler)
server.serve_forever()
