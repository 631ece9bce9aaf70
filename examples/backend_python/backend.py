"""A chat's backend behind Throughline's webhook, with the standard library alone.

    python3 backend.py --port 8000 --secret-file secret.txt &
    throughline serve --set webhook.url=http://127.0.0.1:8000/ --set webhook.secret_files=secret.txt \
        --set webhook.events=open,intent,session

Left out on purpose: a database. Whoever has one keeps the answers by `idempotency-key` there: an event that was
answered comes again where its answer was lost.
"""

import argparse
import hashlib
import hmac
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FRESH_MS = 300_000  # how old a signature may be: what was recorded on the way is worth nothing later


def is_genuine(secret, header, body):
    """Whether the gateway signed this body, a moment ago."""
    parts = [part.partition("=") for part in header.split(",")]
    time_ms = next((value for name, _, value in parts if name == "t"), "")
    if not time_ms.isdecimal() or abs(time.time() * 1000 - int(time_ms)) > FRESH_MS:
        return False
    expected = hmac.new(secret, time_ms.encode() + b"." + body, hashlib.sha256).hexdigest()
    return any(name == "v1" and hmac.compare_digest(value.encode(), expected.encode()) for name, _, value in parts)


def intent(event):
    """A client wants something: what is answered is its reply."""
    text = event.get("data", {}).get("text") if isinstance(event.get("data"), dict) else None
    if event.get("name") != "say" or not isinstance(text, str):
        return {"error": {"code": "not_understood", "message": "say {text}"}}
    said = {"channel": event["channel"], "name": "said", "data": {"text": text.strip()}}
    return {"publish": [said], "data": {"length": len(text.strip())}}


def may_enter(event):
    """Who a client is; a status in place of an answer turns it away. Here a token is a name: look yours up instead."""
    token = event.get("token")
    return {"user": token} if token else 401


def session(event):
    """Somebody came or went. Left out: a look at GET /api/v1/sessions where the event says that some were `missed`."""
    if event["gateway"] not in online:  # a run not heard of before: what one before it held is over, or on its way here
        for users in online.values():
            users.clear()
    users = online.setdefault(event["gateway"], {})  # in a hand-over the one before goes on telling of its own
    if event["kind"] in ("opened", "resumed"):
        users[event["session"]] = event.get("user", "somebody")
    else:
        users.pop(event["session"], None)
    print("online", *sorted({user for users in online.values() for user in users.values()}), flush=True)
    return {}


online = {}  # by run of the gateway: users by session
HANDLERS = {"open": may_enter, "intent": intent, "session": session}


class Backend(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if not is_genuine(self.server.secret, self.headers.get("throughline-signature", ""), body):
            return self.answer(401, {})
        event = json.loads(body)
        print(event["type"], event["id"], flush=True)
        with self.server.turn:  # the events of one session come in order, those of several at once
            answer = HANDLERS.get(event["type"], lambda event: {})(event)
        self.answer(*((answer, {}) if isinstance(answer, int) else (200, answer)))

    def answer(self, status, answer):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--port", type=int, default=8000)
    arguments.add_argument("--secret-file", required=True)
    arguments = arguments.parse_args()
    server = ThreadingHTTPServer(("127.0.0.1", arguments.port), Backend)
    server.turn = threading.Lock()
    with open(arguments.secret_file, encoding="utf-8") as file:
        server.secret = file.read().strip().encode()
    print(f"listening on http://127.0.0.1:{server.server_port}/", flush=True)
    server.serve_forever()
