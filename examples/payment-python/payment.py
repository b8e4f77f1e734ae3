"""Creates a payment for an order and prints its id, its address and its checkout page. Python 3.9 or newer and nothing else.

    API_URL=http://127.0.0.1:8080 API_KEY=ck_test_… python3 payment.py order-7 devnet native 0.002
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request


class Problem(Exception):
    """What every error looks like. Decide by the code; the words are for people."""


def create_payment(order, chain, asset, amount):
    """Asks for a payment of an order. The order is the Idempotency-Key: however often this is asked, and whatever answers
    were lost, it is one payment."""
    request = urllib.request.Request(
        os.environ["API_URL"] + "/api/v1/payments",
        data=json.dumps({"chain": chain, "asset": asset, "amount_decimal": amount, "order_id": order}).encode(),
        headers={"Authorization": "Bearer " + os.environ["API_KEY"], "Content-Type": "application/json", "Idempotency-Key": order},
    )
    attempt = 1
    while True:
        wait = 1  # seconds
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as err:
            problem = json.load(err)
            fault = Problem("%s: %s %s" % (problem["code"], problem.get("detail"), problem.get("errors", [])))
            if err.headers["Retry-After"]:
                wait = int(err.headers["Retry-After"])
            elif err.code < 500:
                wait = -1  # it would fail again
        except OSError as err:  # no answer
            fault = err
        if wait < 0 or attempt == 4:
            raise fault
        time.sleep(wait)
        attempt += 1


if __name__ == "__main__":
    if len(sys.argv) != 5:
        raise SystemExit("usage: payment.py ORDER CHAIN ASSET AMOUNT")
    try:
        payment = create_payment(*sys.argv[1:])
    except (Problem, OSError) as err:
        raise SystemExit(str(err))
    print(payment["id"], payment["address"], payment["checkout_url"])
