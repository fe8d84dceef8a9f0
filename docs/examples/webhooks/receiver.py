"""A receiver of webhooks: takes what is signed, once, and prints it. Needs `pip install standardwebhooks`.

    WEBHOOK_SECRET=whsec_... python receiver.py 8000
"""

from __future__ import annotations

import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

SIGNED = Webhook(os.environ["WEBHOOK_SECRET"])
seen: set[str] = set()  # of a real receiver: a table, written in the transaction of what the event causes


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            event = SIGNED.verify(body, dict(self.headers.items()))
        except WebhookVerificationError as error:
            self.answer(401, str(error))
            return
        message = self.headers["webhook-id"]
        if message not in seen:  # it may come twice, under the same id
            seen.add(message)
            print(f"{event['event']}: {event['ticket_number']} {event['subject']}", flush=True)
        self.answer(200, "thank you")

    def answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
