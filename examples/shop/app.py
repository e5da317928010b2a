"""An example app: takes orders, which arrive as events and are kept as state. It knows the runtime by its
HTTP API alone; which store and which broker are behind it is said in YAML elsewhere."""

import http.server
import json
import os
import signal
import sys
import urllib.error
import urllib.parse
import urllib.request

RUNTIME = os.environ.get("DAPR_HTTP_ENDPOINT") or f"http://127.0.0.1:{os.environ.get('DAPR_HTTP_PORT', '3500')}"
STORE, PUBSUB, TOPIC = "statestore", "pubsub", "orders"


def runtime(method, path, document=None):
    """One request to the runtime; the JSON of its answer, None when there is none."""
    body = None if document is None else json.dumps(document).encode()
    headers = {"content-type": "application/json"}
    if os.environ.get("DAPR_API_TOKEN"):
        headers["dapr-api-token"] = os.environ["DAPR_API_TOKEN"]
    request = urllib.request.Request(RUNTIME + path, body, headers, method=method)
    with urllib.request.urlopen(request, timeout=30) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def state_path(order):
    return f"/v1.0/state/{STORE}/{urllib.parse.quote('order-' + order, safe='')}"


class Shop(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, status, document=None):
        body = b"" if document is None else json.dumps(document).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def read_json(self):
        return json.loads(self.rfile.read(int(self.headers.get("content-length", 0))))

    def handle_safely(self, function):
        try:
            function()
        except urllib.error.HTTPError as error:
            self.answer(502, {"error": f"the runtime answered {error.code}"})
        except OSError as error:
            self.answer(503, {"error": f"the runtime is not there: {error}"})
        except (ValueError, KeyError, TypeError) as error:
            self.answer(400, {"error": str(error)})

    def do_GET(self):
        self.handle_safely(self.get)

    def do_POST(self):
        self.handle_safely(self.post)

    def get(self):
        if self.path == "/dapr/subscribe":
            self.answer(200, [{"pubsubname": PUBSUB, "topic": TOPIC, "route": "/events/orders"}])
        elif self.path == "/healthz":
            self.answer(200, {"healthy": True})
        elif self.path.startswith("/orders/"):
            order = runtime("GET", state_path(self.path[len("/orders/"):]))
            self.answer(404 if order is None else 200, order)
        else:
            self.answer(404)

    def post(self):
        document = self.read_json()
        if self.path == "/orders":
            # Accepted once the broker has it.
            runtime("POST", f"/v1.0/publish/{PUBSUB}/{TOPIC}", {"id": str(document["id"]), "item": document["item"]})
            self.answer(202, {"accepted": str(document["id"])})
        elif self.path == "/events/orders":
            # May come twice: writing the same order again changes nothing.
            order = document["data"]
            value = {"item": order["item"], "status": "packed"}
            runtime("POST", f"/v1.0/state/{STORE}", [{"key": "order-" + order["id"], "value": value}])
            self.answer(200, {"status": "SUCCESS"})
        else:
            self.answer(404)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    Server((os.environ.get("APP_HOST", "127.0.0.1"), int(os.environ.get("APP_PORT", "8080"))), Shop).serve_forever()
