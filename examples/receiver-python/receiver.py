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
KNOWN = {
    "payment.created", "payment.partially_paid", "payment.detected", "payment.confirmed", "payment.overpaid", "payment.late",
    "payment.expired", "payment.canceled", "payment.reorged", "payment.misdirected",
}


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
    each = [headers.get_all("webhook-" + name) or [""] for name in ("id", "timestamp", "signature")]
    ident, timestamp, given = (values[0] for values in each)
    if any(len(values) > 1 for values in each):  # who reads another one than we do would believe something else
        raise Refused("a webhook header is given twice")
    if not re.fullmatch(r"[1-9][0-9]{0,11}", timestamp) or not re.fullmatch(r"[A-Za-z0-9_-]{1,255}", ident):
        raise Refused("a webhook header is missing or malformed")
    signed = ident.encode() + b"." + timestamp.encode() + b"." + body
    wanted = [b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()) for key in keys]
    if not any([hmac.compare_digest(entry.encode(), want) for entry in given.split(" ") for want in wanted]):
        raise Refused("no signature fits")
    if abs(int(time.time()) - int(timestamp)) > TOLERANCE:
        raise Refused("too old, or of the future")
    message = json.loads(body)
    if isinstance(message, dict) and message.get("type") == "batch" and ident.startswith("bat_"):
        return check(message.get("events"))
    events = check([message])
    if events[0]["id"] != ident:
        raise Refused("webhook-id is not the id of the body")
    return events


def check(events):
    """Returns the events, or raises ValueError for what is signed but has not the form of events."""

    def text(value):
        return isinstance(value, str) and 0 < len(value) <= 255 and value.isprintable()  # no half of a surrogate pair

    if not isinstance(events, list) or not 0 < len(events) <= 100:
        raise ValueError("no list of events")
    for event in events:
        if not isinstance(event, dict) or not text(event.get("id")) or not text(event.get("type")) or event["type"] == "batch" or not isinstance(event.get("data"), dict):
            raise ValueError("no event")
        payment = event["data"].get("payment")
        if payment is None:
            continue
        if not isinstance(payment, dict) or not text(payment.get("id")) or not text(payment.get("status")) or not (payment.get("order_id") is None or isinstance(payment["order_id"], str)):
            raise ValueError("no payment")
        if type(payment.get("sequence")) is not int or not 0 < payment["sequence"] < 2**53:
            raise ValueError("no sequence")
        (payment.get("order_id") or "").encode()
    return events


def todo_of(db, kind, payment):
    """Says what a person has to do about an event, or nothing. docs/after-payment.md has the reasons."""
    if kind == "payment.confirmed":
        twice = db.execute("SELECT 1 FROM orders WHERE id = ? AND payment <> ? AND status = 'confirmed'", (payment.get("order_id"), payment["id"])).fetchone()
        return "the order was given up or paid before: refund, or ship by hand" if twice or payment.get("order_current") is False else ""
    if kind == "payment.overpaid":
        return "refund what is more than the amount"
    if kind == "payment.late":
        return "came too late: ship all the same, or refund" if payment["status"] in ("expired", "canceled") else ""
    if kind in ("payment.expired", "payment.canceled"):
        return "paid in part: refund" if payment.get("amount_received", "0") != "0" else ""
    if kind == "payment.misdirected":
        return "another coin or another chain: refund, or agree with the payer"
    if kind == "payment.reorged":
        paid = db.execute("SELECT 1 FROM orders WHERE payment = ? AND status = 'confirmed' AND sequence < ?", (payment["id"], payment["sequence"])).fetchone()
        return "was paid and is not: stop shipping" if paid else ""
    return ""


class Shop:
    def __init__(self, path):
        self.path = path
        with closing(self.open()) as db, db:
            db.execute("CREATE TABLE IF NOT EXISTS events (id TEXT PRIMARY KEY, at REAL NOT NULL)")
            db.execute("CREATE TABLE IF NOT EXISTS orders (payment TEXT PRIMARY KEY, id TEXT NOT NULL, sequence INTEGER NOT NULL, status TEXT NOT NULL)")
            db.execute("CREATE TABLE IF NOT EXISTS attention (event TEXT PRIMARY KEY, type TEXT NOT NULL, payment TEXT NOT NULL, \"order\" TEXT, todo TEXT NOT NULL)")

    def open(self):
        return sqlite3.connect(self.path, timeout=5, isolation_level="IMMEDIATE")

    def handle(self, events):
        """Has the effect of each event once: the newest sequence of a payment wins, and unknown types pass."""
        with closing(self.open()) as db, db:  # one transaction: all of it, or nothing
            for event in events:
                new = db.execute("INSERT INTO events VALUES (?, ?) ON CONFLICT DO NOTHING", (event["id"], time.time())).rowcount
                payment = event["data"].get("payment")
                if not new or event["type"] not in KNOWN or not payment:
                    continue
                todo = todo_of(db, event["type"], payment)
                if todo:
                    db.execute("INSERT INTO attention VALUES (?, ?, ?, ?, ?)", (event["id"], event["type"], payment["id"], payment.get("order_id"), todo))
                if not payment.get("order_id"):
                    continue
                # Money of a payment that has given its order up ships nothing by itself.
                given_up = payment.get("order_current") is False and payment["status"] not in ("expired", "canceled")
                db.execute(
                    "INSERT INTO orders VALUES (?, ?, ?, ?) ON CONFLICT (payment) DO UPDATE SET sequence = excluded.sequence, "
                    "status = excluded.status WHERE excluded.sequence > orders.sequence",
                    (payment["id"], payment["order_id"], payment["sequence"], "given up" if given_up else payment["status"]),
                )

    def attention(self):
        with closing(self.open()) as db:
            db.row_factory = sqlite3.Row
            return [dict(row) for row in db.execute("SELECT * FROM attention ORDER BY event")]

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
            elif self.path == "/attention":
                self.answer(200, json.dumps(shop.attention()), "application/json")
            else:
                self.answer(404, "not here")

        def do_POST(self):
            if self.path != "/hooks":
                self.close_connection = True  # the body is not read
                return self.answer(404, "not here")
            try:
                body = self.read_body()
            except ValueError as err:
                self.close_connection = True  # nobody knows where the next request would begin
                return self.answer(413 if str(err) == "too large" else 400, str(err))
            try:
                events = verify(keys, self.headers, body)
            except Refused as err:
                return self.answer(401, str(err))
            except (ValueError, RecursionError):
                return self.answer(400, "malformed")
            try:
                shop.handle(events)
            except sqlite3.Error as err:
                self.log_error("%s", err)
                return self.answer(503, "try again later")  # and the gateway does
            self.answer(200, "ok")

        def read_body(self):
            """Reads a body with a length, or in chunks as a proxy may send it. One that claims both is no body."""
            lengths, encodings = self.headers.get_all("Content-Length") or [], self.headers.get_all("Transfer-Encoding") or []
            if [e.strip().lower() for e in encodings] == ["chunked"] and not lengths:
                return self.read_chunks()
            if encodings or len(lengths) != 1 or not re.fullmatch(r"[0-9]{1,18}", lengths[0]):
                raise ValueError("without a length")
            if int(lengths[0]) > MAX_BODY:
                raise ValueError("too large")
            body = self.rfile.read(int(lengths[0]))
            if len(body) != int(lengths[0]):
                raise ValueError("cut short")
            return body

        def read_chunks(self):
            body = b""
            while True:
                line = self.rfile.readline(100)
                size = re.fullmatch(rb"([0-9A-Fa-f]{1,8})[ \t]*(;[^\r\n]*)?\r\n", line)
                if not size:
                    raise ValueError("a broken chunk")
                size = int(size[1], 16)
                if len(body) + size > MAX_BODY:
                    raise ValueError("too large")
                if size == 0:
                    break
                chunk = self.rfile.read(size)
                if len(chunk) != size or self.rfile.read(2) != b"\r\n":
                    raise ValueError("a broken chunk")
                body += chunk
            for _ in range(20):  # trailers count for nothing
                if self.rfile.readline(1000) == b"\r\n":
                    return body
            raise ValueError("a broken chunk")

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
