# What a receiver in Python needs of its standard library to verify a request. Lines in and out as in libraries.mjs.
import base64, hashlib, hmac, json, sys, time


def verify(secret, headers, body):
    signed = ("%s.%s." % (headers["webhook-id"], headers["webhook-timestamp"])).encode() + body
    key = base64.b64decode(secret[len("whsec_"):])
    want = b"v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest())
    fits = any([hmac.compare_digest(given.encode(), want) for given in headers["webhook-signature"].split(" ")])
    return fits and abs(time.time() - int(headers["webhook-timestamp"])) <= 300


for line in sys.stdin:
    v = json.loads(line)["verify"]
    print(json.dumps({"python": verify(v["secret"], v["headers"], base64.b64decode(v["body"]))}), flush=True)
