"""Creates a payment for an order and prints its id, its address and its checkout page. Python 3.9 or newer and nothing else.

    API_URL=http://127.0.0.1:8080 API_KEY=ck_test_… python3 payment.py order-7 devnet native 0.002
"""

import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request


class Problem(Exception):
    """What every error looks like. Decide by the code; the words are for people."""


def create_payment(order, chain, asset, amount):
    """Returns the payment of an order: the one that can be paid now, or the one that was. An attempt to pay has one
    Idempotency-Key: however often it is asked for, and whatever answers were lost, it is one payment. When that payment
    expired or was canceled, the next attempt has the next key."""
    body = json.dumps({"chain": chain, "asset": asset, "amount_decimal": amount, "order_id": order}).encode()
    for attempt in range(1, 101):
        payment, replayed = call("POST", "/api/v1/payments", {"Idempotency-Key": "%s:%d" % (order, attempt)}, body)
        if payment.get("code") == "order_id_taken":  # made more than a day ago
            payment, replayed = {"id": payment["payment_id"]}, True
        if replayed:  # it shows the payment as it was made. What has become of it?
            payment, _ = call("GET", "/api/v1/payments/" + payment["id"])
        if payment["status"] not in ("expired", "canceled"):
            return payment
    raise Problem("order %s has had 100 payments that nobody paid" % order)


def call(method, path, headers={}, body=None):
    """Asks again after no answer, after a 5xx and after any answer with Retry-After; others would be the same again."""
    url = os.environ["API_URL"] + path
    headers = {"Authorization": "Bearer " + os.environ["API_KEY"], "Content-Type": "application/json", **headers}
    tries = 1
    while True:
        wait = 1  # seconds
        try:
            request = urllib.request.Request(url, data=body, headers=headers, method=method)
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer), answer.headers["Idempotency-Replayed"] == "true"
        except urllib.error.HTTPError as err:
            fault = Problem("%s %s answered %d" % (method, url, err.code))
            if err.headers.get_content_type() == "application/problem+json":
                problem = json.load(err)
                if problem["code"] == "order_id_taken":
                    return problem, False
                fault = Problem("%s: %s %s" % (problem["code"], problem.get("detail"), problem.get("errors", [])))
            if err.headers["Retry-After"]:
                wait = int(err.headers["Retry-After"])
            elif err.code < 500:
                wait = -1  # it would fail again
        except (OSError, http.client.HTTPException) as err:
            fault = Problem("no answer from %s (API_URL): %s" % (os.environ["API_URL"], getattr(err, "reason", err)))
        if wait < 0 or tries == 4:
            raise fault
        time.sleep(wait)
        tries += 1


if __name__ == "__main__":
    if len(sys.argv) != 5 or not os.environ.get("API_URL") or not os.environ.get("API_KEY"):
        raise SystemExit("usage: API_URL=… API_KEY=… payment.py ORDER CHAIN ASSET AMOUNT")
    try:
        payment = create_payment(*sys.argv[1:])
    except Problem as err:
        raise SystemExit(str(err))
    print(payment["id"], payment["address"], payment["checkout_url"])
