"""Says what a desk holds: its export, its tickets, and its files by what is in them."""

import hashlib
import json
import sqlite3
import urllib.request

with open("/etc/deskplane/keys/molecule") as file:
    key = file.read().strip()


def get(path: str) -> bytes:
    request = urllib.request.Request(f"http://127.0.0.1:8080/api/v1{path}", headers={"Authorization": f"Bearer {key}"})
    return urllib.request.urlopen(request, timeout=60).read()


tickets, cursor = {}, ""
while cursor is not None:
    page = json.loads(get(f"/tickets?limit=100&sort=number{cursor and f'&cursor={cursor}'}"))
    for ticket in page["items"]:
        found = json.loads(get(f"/tickets/{ticket['number']}/attachments"))["items"]
        files = {
            one["name"]: hashlib.sha256(get(f"/tickets/{ticket['number']}/attachments/{one['id']}")).hexdigest()
            for one in found
        }
        tickets[ticket["number"]] = [ticket["title"], ticket["status"], ticket["customer"], ticket["created_at"], files]
    cursor = page["next_cursor"]
database = sqlite3.connect("file:/var/lib/deskplane/deskplane.db?mode=ro", uri=True)
keys = database.execute("SELECT id, user_id, name, secret_hash FROM api_keys ORDER BY id").fetchall()
export = json.loads(get("/configuration"))
print(json.dumps({"export": export, "api_keys": keys, "tickets": tickets}))
