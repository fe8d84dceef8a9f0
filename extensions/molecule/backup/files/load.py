"""Opens tickets with files, one after another, until it is stopped."""

import itertools
import json
import time
import urllib.request

with open("/etc/deskplane/keys/molecule") as file:
    key = file.read().strip()


def post(path: str, body: bytes, kind: str = "application/json") -> dict:
    headers = {"Authorization": f"Bearer {key}", "Content-Type": kind}
    request = urllib.request.Request(f"http://127.0.0.1:8080/api/v1{path}", body, headers)
    return json.load(urllib.request.urlopen(request, timeout=60))


for number in itertools.count():
    said = {"customer": "Harbour Museum", "title": f"Under load {number}", "description": "x" * (number % 500)}
    ticket = post("/tickets", json.dumps(said).encode())
    post(f"/tickets/{ticket['number']}/attachments?name=log.txt", f"{number} ".encode() * 5000, "text/plain")
    time.sleep(0.1)
