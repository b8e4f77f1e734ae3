"""A shop that takes webhooks, in Python 3.9 or newer and nothing else.

It verifies signature and time, remembers ids, orders the events of a payment by their sequence, and has the id and the
effect of an event in one transaction of SQLite. Copy it and put your own database in its place.

    WEBHOOK_SECRET=whsec_… PORT=8000 STATE=shop.db python3 receiver.py

WEBHOOK_SECRET may hold several secrets, separated by spaces, during a rotation.
"""

import base64
import hashlib
import hmac
import json
import os
import re
import sqlite3
import time
from contextlib import closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE = 5 * 60  # seconds, either way
MAX_BODY = 256 * 1024  # bytes; a batch has no more
KNOWN = {"payment.created", "payment.detected", "payment.confirmed", "payment.expired", "payment.canceled", "payment.reorged"}


def key_of(secret):
    """The key of the Standard Webhooks scheme: what the base64 after whsec_ says, or all bytes of a secret of your own."""
    key = base64.b64decode(secret[len("whsec_"):], validate=True) if secret.startswith("whsec_") else secret.encode()
    if len(key) < 24:
        raise ValueError("WEBHOOK_SECRET holds no secret of the gateway")  # under an empty key everybody can sign
    return key


class Refused(Exception):
    pass


def verify(keys, headers, body):
    """Returns the events of a request, or raises Refused. body is the raw bytes as they came."""
    ident, timestamp, given = (headers.get("webhook-" + name, "") for name in ("id", "timestamp", "signature"))
    if not re.fullmatch(r"[1-9][0-9]{0,11}", timestamp) or not ident or "." in ident:
        raise Refused("a webhook header is missing or malformed")
    signed = ident.encode() + b"." + timestamp.encode() + b"." + body
    wanted = [b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()) for key in keys]
    if not any([hmac.compare_digest(entry.encode(), want) for entry in given.split(" ") for want in wanted]):
        raise Refused("no signature fits")
    if abs(int(time.time()) - int(timestamp)) > TOLERANCE:
        raise Refused("too old, or of the future")
    message = json.loads(body)
    if message["type"] == "batch":
        return message["events"]
    if message["id"] != ident:
        raise Refused("webhook-id is not the id of the body")
    return [message]


class Shop:
    def __init__(self, path):
        self.path = path
        with closing(self.open()) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, at REAL NOT NULL)")
            db.execute("CREATE TABLE IF NOT EXISTS orders (payment TEXT PRIMARY KEY, id TEXT NOT NULL, sequence INTEGER NOT NULL, status TEXT NOT NULL)")

    def open(self):
        return sqlite3.connect(self.path, timeout=5, isolation_level="IMMEDIATE")

    def handle(self, events):
        """Has the effect of each event once: the newest sequence of a payment wins, and unknown types pass."""
        with closing(self.open()) as db, db:  # one transaction: all of it, or nothing
            for event in events:
                new = db.execute("INSERT INTO events VALUES (?, ?) ON CONFLICT DO NOTHING", (event["id"], time.time())).rowcount
                payment = event["data"].get("payment")
                if not new or event["type"] not in KNOWN or not payment or not payment["order_id"]:
                    continue
                db.execute(
                    "INSERT INTO orders VALUES (?, ?, ?, ?) ON CONFLICT (payment) DO UPDATE SET sequence = excluded.sequence, "
                    "status = excluded.status WHERE excluded.sequence > orders.sequence",
                    (payment["id"], payment["order_id"], payment["sequence"], payment["status"]),
                )

    def orders(self):
        with closing(self.open()) as db:
            return dict(db.execute("SELECT payment, status FROM orders"))


def handler(keys, shop):
    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds without a byte
        protocol_version = "HTTP/1.1"

        def answer(self, status, text, kind="text/plain"):
            data = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self):
            if self.path == "/orders":
                self.answer(200, json.dumps(shop.orders()), "application/json")
            else:
                self.answer(404, "not here")

        def do_POST(self):
            length = self.headers.get("Content-Length", "")
            if self.path != "/hooks" or not length.isdigit() or int(length) > MAX_BODY:
                self.close_connection = True  # the body is not read
                return self.answer(404 if self.path != "/hooks" else 413, "not here, without a length, or too large")
            body = self.rfile.read(int(length))
            try:
                events = verify(keys, self.headers, body)
            except Refused as err:
                return self.answer(401, str(err))
            except (ValueError, KeyError, TypeError):
                return self.answer(400, "malformed")
            try:
                shop.handle(events)
            except sqlite3.Error as err:
                self.log_error("%s", err)
                return self.answer(503, "try again later")  # and the gateway does
            self.answer(200, "ok")

        def log_request(self, *args):
            pass

    return Handler


def main():
    keys = [key_of(secret) for secret in os.environ.get("WEBHOOK_SECRET", "").split()]
    if not keys:
        raise SystemExit("WEBHOOK_SECRET is needed")
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ.get("PORT", "8000"))), handler(keys, Shop(os.environ.get("STATE", "shop.db"))))
    print("listening on http://127.0.0.1:%d" % server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
