"""A receiver of pushed calls in a process of its own: PyPI `standardwebhooks` says whether a message is true.

Takes `POST /NAME` with the raw message; `NAME` chooses the secret, from the environment `SECRETS` (JSON). Answers 204, or
400 with what is wrong. Prints its port when it listens.
"""

import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

SECRETS = json.loads(os.environ["SECRETS"])


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            Webhook(SECRETS[self.path.strip("/")]).verify(body, dict(self.headers.items()))
            self.send_response(204)
            self.end_headers()
        except WebhookVerificationError as error:
            self.send_response(400)
            self.end_headers()
            self.wfile.write(str(error).encode())

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Receiver)
print(server.server_port, flush=True)
server.serve_forever()
