"""What the tests of the public SDKs share: a daprd with embedded and Redis components, an app of one SDK
behind it, and clients of that SDK which print one line per scenario: "ok NAME" or "failed NAME: why".

The programs of each language know their surroundings from the environment: DAPR_HTTP_PORT, DAPR_GRPC_PORT,
APP_ID, APP_PORT as `dapr run` sets them, and CONTROL, the address of a small server here:
  POST /received/NAME            the app got an event; the body is its data, {"id": "…", …}
  GET  /received/NAME/ID         that data, as soon as it is there; 404 when it does not come
  POST /configuration/BACKEND    {"key": "…", "value": "…"}: changes an item of that configuration store
SCENARIOS lists, with commas, what the client is to try.
A client is called with the backend, `embedded` or `redis`, whose components are BACKEND-state, BACKEND-pubsub,
BACKEND-config and BACKEND-lock; the secret store is `secrets` for both."""

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path[:0] = [os.path.join(ROOT, "tests"), os.path.join(ROOT, "tests", "e2e")]

from redis_server import RedisServer  # noqa: E402
from runtime import Daprd, component, wait_for  # noqa: E402
from servers import die_with_parent, free_ports  # noqa: E402

SDK = os.environ.get("CAISSON_SDK", os.path.join(ROOT, "build", "sdk"))
BACKENDS = ("embedded", "redis")
SECRETS = {"db-password": "correct horse", "api-key": "k-17"}
CONFIGURATION = {"color": "red", "size": "7"}
# One event may be redelivered before it arrives.
EVENT_PATIENCE = 30


class Control:
    """See above. `change(backend, key, value)` sets a configuration item."""

    def __init__(self, change):
        self.received = []
        self.changed = threading.Condition()
        control = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def reply(self, status, body=b""):
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                _, what, name = self.path.split("/", 2)
                if what == "received":
                    control.add(name, json.loads(body))
                elif what == "configuration":
                    item = json.loads(body)
                    change(name, item["key"], item["value"])
                self.reply(204 if what in ("received", "configuration") else 404)

            def do_GET(self):
                _, _, name, wanted = self.path.split("/", 3)
                found = control.wait_for(name, wanted)
                self.reply(200, json.dumps(found).encode()) if found is not None else self.reply(404)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def add(self, name, data):
        with self.changed:
            self.received.append((name, data))
            self.changed.notify_all()

    def wait_for(self, name, wanted):
        def find():
            return next((data for got, data in self.received if got == name and data.get("id") == wanted), None)
        with self.changed:
            self.changed.wait_for(lambda: find() is not None, EVENT_PATIENCE)
            return find()

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Process:
    """One program of a language, its output in a file."""

    def __init__(self, name, command, environment, folder):
        self.path = os.path.join(folder, f"{name}.log")
        with open(self.path, "wb") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=environment, start_new_session=True, preexec_fn=die_with_parent)

    def output(self):
        with open(self.path, errors="replace") as file:
            return file.read()

    def close(self):
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()


def declared(backend):
    """A declarative subscription, v2alpha1, with a rule."""
    return (f"apiVersion: dapr.io/v2alpha1\nkind: Subscription\nmetadata:\n  name: {backend}-declared\nspec:\n"
            f"  pubsubname: {backend}-pubsub\n  topic: declared\n  routes:\n    default: /declared\n")


class SdkSuite:
    """Mixed into a TestCase: one app of an SDK, and its clients.

    app, client: commands; client gets the backend as one more word. protocol: what the app speaks.
    subscriptions: how many the app makes by itself and by declaration, over all backends. scenarios: what
    the client tries."""

    app = None
    client = None
    protocol = "http"
    subscriptions = 0
    environment = {}
    scenarios = ()
    deadline = 120

    @classmethod
    def setUpClass(cls):
        cls.results, cls.reports = {}, {}
        cls.redis = RedisServer(append_only=False)
        cls.addClassCleanup(cls.redis.close)
        http_port, grpc_port, app_port = free_ports(3)
        cls.runtime = Daprd(app_id="sdk", wait=False, flags=[
            "--dapr-http-port", str(http_port), "--dapr-grpc-port", str(grpc_port), "--app-port", str(app_port),
            "--app-protocol", cls.protocol])
        cls.addClassCleanup(cls.runtime.close)
        cls.control = Control(cls.change_configuration)
        cls.addClassCleanup(cls.control.close)
        cls.write_resources()
        cls.variables = {k: v for k, v in os.environ.items() if not k.startswith("DAPR_")}
        cls.variables.update({"DAPR_HTTP_PORT": str(http_port), "DAPR_GRPC_PORT": str(grpc_port), "APP_ID": "sdk",
                              "APP_PORT": str(app_port), "APP_PROTOCOL": cls.protocol,
                              "CONTROL": cls.control.address, "SCENARIOS": ",".join(cls.scenarios),
                              "PYTHONUNBUFFERED": "1"}, **cls.environment)
        cls.server = Process("app", cls.app, cls.variables, cls.runtime.folder)
        cls.addClassCleanup(cls.server.close)
        try:
            cls.runtime.start()
            cls.runtime.wait_until_healthy()
            wait_for("the app is subscribed", lambda: len(cls.metadata().get("subscriptions", ())) == cls.subscriptions)
            for backend in BACKENDS:
                cls.run_client(backend)
        except BaseException:
            cls.runtime.dump_log()
            print(f"--- app ---\n{cls.server.output()[-10000:]}", file=sys.stderr)
            raise

    @classmethod
    def metadata(cls):
        return cls.runtime.http.get("/v1.0/metadata").json()

    @classmethod
    def write_resources(cls):
        runtime = cls.runtime
        data, secrets = os.path.join(runtime.folder, "stores"), os.path.join(runtime.folder, "secrets.json")
        os.makedirs(data)
        cls.items = os.path.join(runtime.folder, "items.json")
        with open(secrets, "w") as file:
            json.dump(SECRETS, file)
        with open(cls.items, "w") as file:
            json.dump(CONFIGURATION, file)
        for key, value in CONFIGURATION.items():
            cls.redis.command("SET", key, value)
        file_of = {kind: {"connectionString": os.path.join(data, kind + ".db")} for kind in ("state", "pubsub", "lock")}
        retry = {"redeliverInterval": "200ms", "processingTimeout": "5s"}
        documents = [component("secrets", "secretstores.local.file", {"secretsFile": secrets}),
                     component("embedded-state", "state.sqlite", file_of["state"]),
                     component("embedded-pubsub", "pubsub.sqlite", dict(file_of["pubsub"], redeliverInterval="200ms")),
                     component("embedded-lock", "lock.sqlite", file_of["lock"]),
                     component("embedded-config", "configuration.local.file", {"file": cls.items}),
                     cls.redis.component("redis-state", "state.redis"),
                     cls.redis.component("redis-pubsub", "pubsub.redis", retry),
                     cls.redis.component("redis-lock", "lock.redis"),
                     cls.redis.component("redis-config", "configuration.redis", {"pollInterval": "100ms"})]
        documents += [declared(backend) for backend in BACKENDS]
        for number, text in enumerate(documents):
            runtime.write_resource(f"{number}.yaml", text)

    @classmethod
    def change_configuration(cls, backend, key, value):
        if backend == "redis":
            cls.redis.command("SET", key, value)
            return
        with open(cls.items) as file:
            items = json.load(file)
        items[key] = value
        with open(cls.items + ".new", "w") as file:
            json.dump(items, file)
        os.replace(cls.items + ".new", cls.items)

    @classmethod
    def run_client(cls, backend):
        started = time.monotonic()
        client = Process(f"client-{backend}", [*cls.client, backend], cls.variables, cls.runtime.folder)
        try:
            client.process.wait(cls.deadline)
        except subprocess.TimeoutExpired:
            pass
        client.close()
        output = client.output()
        cls.reports[backend] = output
        cls.results[backend] = dict(cls.outcome(line) for line in output.splitlines()
                                    if line.startswith(("ok ", "failed ")))
        print(f"{cls.__name__} {backend}: {time.monotonic() - started:.1f} s", file=sys.stderr)
        if os.environ.get("CAISSON_SDK_VERBOSE"):
            print(output, file=sys.stderr)

    @staticmethod
    def outcome(line):
        verdict, _, rest = line.partition(" ")
        name, _, why = rest.partition(": ")
        return name, "ok" if verdict == "ok" else why

    def check(self, scenario, backend):
        got = self.results[backend].get(scenario)
        if got != "ok":
            log = "" if got else f"\n{self.reports[backend][-6000:]}\n--- app ---\n{self.server.output()[-4000:]}"
            self.fail(f"{scenario} on {backend}: {got or 'was not reached'}{log}")


def suite(cls):
    """Gives the class one test per scenario and backend."""
    for scenario in cls.scenarios:
        for backend in BACKENDS:
            def test(self, scenario=scenario, backend=backend):
                self.check(scenario, backend)
            test.__name__ = f"test_{scenario}_{backend}"
            setattr(cls, test.__name__, test)
    return type(cls.__name__, (cls, unittest.TestCase), {"__module__": cls.__module__})


STATE = ("state", "state_etags", "state_bulk", "state_transaction")
EVENTS = ("publish", "declared_subscription", "retry", "dead_letter", "bulk_publish")
REST = ("invoke", "invoke_error", "secrets", "configuration", "configuration_updates", "lock", "metadata")
ALL = ("sidecar", *STATE, *EVENTS, *REST)
