"""What the role promises of nginx, tried from the machine itself with curl."""

import json
import os
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

HOST = "desk.example.org"
LOGIN = f"https://{HOST}/api/v1/session"
failed = []


def curl(*words: str, address: str = f"https://{HOST}/") -> str:
    """Status line and headers, an empty line, and the body."""
    resolved = [word for port in (80, 443) for word in ("--resolve", f"{HOST}:{port}:127.0.0.1")]
    command = ["curl", "--silent", "--show-error", "--insecure", "--include", "--max-time", "20", *resolved, *words]
    done = subprocess.run([*command, address], capture_output=True, text=True, check=False)
    return done.stdout.replace("\r", "") or f"curl: {done.returncode}: {done.stderr}"


def expect(what: str, said: str, *wanted: str, without: str = "") -> None:
    missing = [word for word in wanted if word.lower() not in said.lower()]
    if missing or (without and without.lower() in said.lower()):
        failed.append(f"{what}: {missing or without} in:\n{said[:600]}")


def body(said: str) -> dict:
    try:
        return json.loads(said.partition("\n\n")[2])
    except ValueError:
        return {}


def requests(word: str) -> int:
    """How many requests with this word both servers were sent."""
    return sum(path.read_text().count(word) for path in Path("/tmp").glob("requests-*"))


def stop() -> None:
    subprocess.run(["systemctl", "stop", "upstream-one"], check=True)


def start() -> None:
    subprocess.run(["systemctl", "start", "upstream-one"], check=True)
    for _ in range(100):
        time.sleep(0.1)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", 8081)) == 0:
                break
    # For so long nginx passes over a server that failed: more than a second (fail_timeout), in whole seconds.
    time.sleep(2.1)


expect("HTTP/2, and HSTS", curl(), "HTTP/2 200", "strict-transport-security: max-age=63072000", without="nginx/")
if curl().lower().count("strict-transport-security") != 1:
    failed.append(f"HSTS is said once, by nginx: {curl()[:600]}")
expect("TLS 1.3", curl("--tlsv1.3"), " 200")
expect("TLS 1.2", curl("--tls-max", "1.2"), " 200")
old = ["--tls-max", "1.1", "--tlsv1.0", "--ciphers", "ALL:@SECLEVEL=0"]
expect("TLS 1.1 is refused", curl(*old), "curl: 35")
weak = ["--tls-max", "1.2", "--ciphers", "AES128-SHA:AES256-SHA:AES128-GCM-SHA256"]
expect("ciphers without forward secrecy are refused", curl(*weak), "curl: 35")

plain = curl("--request", "POST", address=f"http://{HOST}/api/v1/tickets?limit=2")
expect("HTTP is sent on with its method", plain, " 308", f"location: https://{HOST}/api/v1/tickets?limit=2")
expect("another name, by HTTP", curl(address="http://127.0.0.1/"), "curl: 52")
expect("another name, by HTTPS", curl(address="https://127.0.0.1/"), "curl: 35")

lies = {"X-Forwarded-For": "192.0.2.1", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "evil.example"}
lies |= {"Forwarded": "for=192.0.2.1", "X-Real-IP": "192.0.2.1", "X-Forwarded-Prefix": "/evil", "Proxy": "evil:1"}
told = body(curl(*(word for lie in lies.items() for word in ("--header", ": ".join(lie))))).get("headers", {})
kept = [name for name, value in told.items() if value in lies.values() and name in lies]
if kept or told.get("X-Forwarded-For") != "127.0.0.1" or told.get("X-Forwarded-Proto") != "https":
    failed.append(f"what callers say of themselves goes no further: {told}")

big = Path("/tmp/big")
big.write_bytes(bytes(20_000_000))
expect("a file of the largest size is taken", curl("--data-binary", f"@{big}"), " 200")
big.write_bytes(bytes(20_000_001))
said = curl("--data-binary", f"@{big}")
expect("a larger one is not", said, " 413", "application/problem+json", "strict-transport-security", "nosniff")
if body(said).get("status") != 413:
    failed.append(f"413 has no problem document: {said}")

answered = Counter(body(curl()).get("server") for _ in range(10))
if set(answered) != {"one", "two"}:
    failed.append(f"both servers get requests: {answered}")

# One that is gone: everything goes to the other, whatever it is.
stop()
for number in range(10):
    expect("a server that is gone", curl("--data", f"gone-{number}", address=f"https://{HOST}/gone-{number}"), " 200")
if requests("POST /gone-") != 10:
    failed.append(f"each request is handled once: {requests('POST /gone-')} of 10")
start()

# One that breaks off: what may be sent twice is, and what may not is not.
for _ in range(4):
    expect("reading is tried again", curl(address=f"https://{HOST}/break-off-two"), " 200", '"one"')
before = requests("POST /break-off-two")
stop()
said = curl("--data", "x", address=f"https://{HOST}/break-off-two")
start()
expect("a change that may have been made is not tried again", said, " 502", "application/problem+json")
if body(said).get("title") != "Bad Gateway":
    failed.append(f"502 has no problem document: {said}")
for _ in range(4):
    curl("--data", "x", address=f"https://{HOST}/break-off-two")
    curl("--request", "PATCH", "--data", "x", address=f"https://{HOST}/break-off-two")
both = requests("POST /break-off-two") - before, requests("PATCH /break-off-two")
if both != (5, 4):
    failed.append(f"a change is sent to one server, once: {both} of (5, 4)")

statuses = Counter(curl("--data", "x", address=LOGIN).split()[1] for _ in range(15))
if not 10 <= statuses["200"] <= 12 or statuses["429"] != 15 - statuses["200"]:
    failed.append(f"logins are limited: {statuses}")
said = curl("--data", "x", address=f"{LOGIN}/renew")
expect("the answer at the limit", said, " 429", "retry-after: 5", "application/problem+json", "strict-transport")
expect("others are not", curl("--data", "x", address=f"{LOGIN}s"), " 200")
expect("reading is not", curl(address=LOGIN), " 200")

os.unlink(big)
print("\n".join(failed))
sys.exit(1 if failed else 0)
