"""Opens tickets through nginx from four threads until it is stopped, and says what came of each request."""

import json
import ssl
import sys
import threading
import urllib.request
from pathlib import Path

address = sys.argv[1]
key = Path("/etc/deskplane/keys/molecule-one").read_text().strip()
trust = ssl._create_unverified_context()
go = Path("/run/load-goes-on")
go.touch()
numbers, failures = [], []


def work(thread: int) -> None:
    while go.exists():
        title = f"Thread {thread}, {len(numbers)} before it"
        body = json.dumps({"customer": "Harbour Museum", "title": title}).encode()
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"https://{address}/api/v1/tickets", body, headers)
        try:
            numbers.append(json.load(urllib.request.urlopen(request, timeout=60, context=trust))["number"])
        except OSError as error:
            failures.append(f"{error}: {error.read().decode() if hasattr(error, 'read') else ''}")


threads = [threading.Thread(target=work, args=[number]) for number in range(4)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
Path("/run/load.json").write_text(json.dumps({"numbers": sorted(numbers), "failures": failures}))
