"""A whole runtime for one test: `caisson up` on free ports in folders of its own, and what tests need
around it. Standard library only. Nothing here waits by a fixed pause: every wait asks for a condition
until a deadline."""

import http.client
import http.server
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("CAISSON_BIN", os.path.join(ROOT, "build", "release", "bin"))
# Sanitizer builds on a busy machine are slow; a test that hangs is still ended.
PATIENCE = float(os.environ.get("CAISSON_TEST_PATIENCE", "30"))
CAPABILITIES = ("config", "state", "pubsub", "invoke", "secrets", "lock")


# What a process built with a sanitizer says about a fault of its own. It may be started again before anybody misses it.
SANITIZER_REPORT = re.compile(r"(WARNING|ERROR): \w+Sanitizer|:\d+:\d+: runtime error: ")


class NotInTime(AssertionError):
    pass


class SanitizerReport(AssertionError):
    pass


def wait_for(what, condition, patience=None):
    """Calls `condition` until it gives something true, and returns that. `what` is said if it never does."""
    give_up = time.monotonic() + (patience or PATIENCE)
    tick = threading.Event()
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
            last = value
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            last = error
        if time.monotonic() > give_up:
            raise NotInTime(f"{what}: not within {patience or PATIENCE} s; last: {last!r}")
        tick.wait(0.005)


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.status} {self.body[:300]!r}"


class Client:
    """One kept connection to a port of this host, opened again after it broke; for one thread."""

    def __init__(self, port, timeout=None, host="127.0.0.1"):
        self.host, self.port, self.timeout, self.connection = host, port, timeout or PATIENCE, None

    def request(self, method, path, body=None, headers=None):
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("content-type", "application/json")
        if isinstance(body, str):
            body = body.encode()
        if self.connection is None:
            self.connection = http.client.HTTPConnection(self.host, self.port, timeout=self.timeout)
        try:
            self.connection.request(method, path, body=body, headers=headers)
            response = self.connection.getresponse()
            answer = Answer(response.status, dict((k.lower(), v) for k, v in response.getheaders()), response.read())
        except BaseException:
            self.close()
            raise
        if answer.headers.get("connection", "").lower() == "close":
            self.close()
        return answer

    def get(self, path, **rest):
        return self.request("GET", path, **rest)

    def post(self, path, body=None, **rest):
        return self.request("POST", path, body=body, **rest)

    def put(self, path, body=None, **rest):
        return self.request("PUT", path, body=body, **rest)

    def delete(self, path, **rest):
        return self.request("DELETE", path, **rest)

    def close(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None


class Load(threading.Thread):
    """Calls `step(client, n)` again and again on a connection of its own until it is stopped; the step
    returns an Answer. Keeps every answer's status, and what broke."""

    def __init__(self, port, step, client=None):
        super().__init__(daemon=True)
        self.client, self.step = client or Client(port), step
        self.answers, self.broken = [], []
        self.ended = threading.Event()
        self.start()

    def run(self):
        number = 0
        while not self.ended.is_set():
            number += 1
            try:
                self.answers.append((number, self.step(self.client, number)))
            except Exception as error:  # whatever it was, it is counted and shown
                self.broken.append((number, repr(error)))

    def wait_for_more(self, count=20):
        target = len(self.answers) + count
        wait_for(f"{count} more answers", lambda: len(self.answers) >= target)

    def stop(self):
        self.ended.set()
        self.join()
        self.client.close()

    def with_status(self, *statuses):
        return [number for number, answer in self.answers if answer.status in statuses]

    def others_than(self, *statuses):
        return [(number, answer) for number, answer in self.answers if answer.status not in statuses]


class Received:
    """A request that reached the app."""

    def __init__(self, method, path, headers, body):
        self.method, self.path, self.headers, self.body = method, path, headers, body

    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"{self.method} {self.path} {self.body[:200]!r}"


class App:
    """A small app: records every request, answers /dapr/subscribe with `subscriptions`, and everything
    else with 200, or with what `answers[path]` gives for the request: (status, headers, body)."""

    def __init__(self, subscriptions=(), port=0):
        self.subscriptions = list(subscriptions)
        self.answers = {}
        self.requests = []
        self.lock = threading.Lock()
        app = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def read_body(self):
                if self.headers.get("transfer-encoding", "").lower() == "chunked":
                    body = b""
                    while True:
                        size = int(self.rfile.readline().split(b";")[0], 16)
                        body += self.rfile.read(size)
                        self.rfile.readline()
                        if size == 0:
                            return body
                return self.rfile.read(int(self.headers.get("content-length", 0)))

            def handle_any(self):
                received = Received(self.command, self.path, {k.lower(): v for k, v in self.headers.items()},
                                    self.read_body())
                with app.lock:
                    app.requests.append(received)
                status, headers, body = app.answer(received)
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_OPTIONS = do_HEAD = handle_any

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            allow_reuse_address = True
            request_queue_size = 128

        self.server = Server(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def answer(self, received):
        path = received.path.split("?")[0]
        if path in self.answers:
            return self.answers[path](received)
        if path == "/dapr/subscribe":
            return 200, {"content-type": "application/json"}, json.dumps(self.subscriptions).encode()
        if path == "/dapr/config":
            return 404, {}, b""
        return 200, {}, b""

    def received(self, path):
        with self.lock:
            return [r for r in self.requests if r.path.split("?")[0] == path]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


class Runtime:
    """with Runtime(app=App()) as runtime: runtime.http.get("/v1.0/metadata")"""

    def __init__(self, app=None, app_id="shop", resources=None, flags=(), environment=None, wait=True, folder=None,
                 default_resources=False):
        self.folder = folder or tempfile.mkdtemp(prefix="caisson-e2e-")
        self.owns_folder = folder is None
        self.run_dir = os.path.join(self.folder, "run")
        self.data_dir = os.path.join(self.folder, "data")
        self.resources = os.path.join(self.folder, "resources")
        self.log_path = os.path.join(self.folder, "caisson.log")
        self.app, self.app_id, self.flags = app, app_id, list(flags)
        self.environment = environment or {}
        self.default_resources = default_resources
        self.wait = wait
        self.process = None
        self.http = None
        os.makedirs(self.resources, exist_ok=True)
        for name, text in (resources or {}).items():
            self.write_resource(name, text)

    # --- life ---

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.dump_log()
            self.close()
            raise
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            self.dump_log()
        self.close()

    def command(self):
        command = [os.path.join(BIN, "caisson"), "up", "--run-dir", self.run_dir, "--data-dir", self.data_dir,
                   "--dapr-listen-addresses", "127.0.0.1"]
        for port in ("--dapr-http-port", "--dapr-grpc-port", "--admin-port"):
            if port not in self.flags:
                command += [port, "0"]
        if not self.default_resources:
            command += ["--resources-path", self.resources]
        if "--apps" not in self.flags:
            command += ["--app-id", self.app_id]
            if self.app is not None:
                command += ["--app-port", str(self.app.port)]
        return command + self.flags

    def start(self):
        environment = {k: v for k, v in os.environ.items() if not k.startswith("DAPR_")}
        environment.update(self.environment)
        gateway_json = os.path.join(self.run_dir, "gateway.json")
        if os.path.exists(gateway_json):
            os.unlink(gateway_json)
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                            env=environment, start_new_session=True)
        if self.wait:
            self.wait_until_healthy()

    def wait_until_healthy(self):
        def healthy():
            if self.process.poll() is not None:
                raise NotInTime(f"caisson up ended with {self.process.returncode}")
            client = self.client()
            try:
                return client.get("/v1.0/healthz").status == 204
            finally:
                client.close()
        wait_for("the runtime becomes healthy", healthy)
        self.http = self.client()

    def stop(self):
        """SIGTERM; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)

    def close(self):
        """Ends whatever still runs, by its pid, and removes the folders. What a sanitizer reported in the log
        fails the test."""
        if self.http is not None:
            self.http.close()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        for pid in self.left_behind():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        report = self.sanitizer_report()
        if self.owns_folder:
            shutil.rmtree(self.folder, ignore_errors=True)
        if report:
            raise SanitizerReport(report)

    def sanitizer_report(self):
        """The log from the first report of a sanitizer on; None without one."""
        try:
            text = self.log()
        except OSError:
            return None
        found = SANITIZER_REPORT.search(text)
        return text[text.rfind("\n", 0, found.start()) + 1:][:20000] if found else None

    def left_behind(self):
        """Pids of processes of this run directory that are alive."""
        alive = []
        files = os.listdir(self.run_dir) if os.path.isdir(self.run_dir) else ()
        for name in (f[:-len(".pid")] for f in files if f.endswith(".pid")):
            try:
                pid = self.pid(name)
                with open(f"/proc/{pid}/cmdline", "rb") as file:
                    if self.run_dir.encode() in file.read() and pid not in alive:
                        alive.append(pid)
            except (OSError, ValueError):
                pass
        return alive

    def dump_log(self):
        try:
            with open(self.log_path, errors="replace") as file:
                text = file.read()
        except OSError:
            return
        print(f"--- {self.log_path} ---\n{text[-20000:]}\n--- end of log ---", file=sys.stderr)

    def log(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    # --- what is there ---

    def gateway_json(self):
        with open(os.path.join(self.run_dir, "gateway.json")) as file:
            return json.load(file)

    def http_port(self, app_id=None):
        for app in self.gateway_json()["apps"]:
            if app["id"] == (app_id or self.app_id):
                return app["http"]
        raise KeyError(app_id or self.app_id)

    def client(self, app_id=None, timeout=None):
        return Client(self.http_port(app_id), timeout)

    def admin(self):
        return Client(self.gateway_json()["admin"])

    def pid(self, name):
        with open(os.path.join(self.run_dir, f"{name}.pid")) as file:
            return int(file.read())

    def kill(self, name, number=signal.SIGKILL):
        """Signals one process; returns the pid it had."""
        pid = self.pid(name)
        os.kill(pid, number)
        return pid

    def wait_for_new_pid(self, name, old):
        return wait_for(f"{name} runs again", lambda: self.pid(name) if self.pid(name) != old else None)

    # --- capabilities that it does not start itself ---

    def manifest_path(self, name):
        return os.path.join(self.run_dir, "manifests", f"{name}.json")

    def install_manifest(self, name):
        program = os.path.join(BIN, f"caisson-{name}")
        manifest = subprocess.run([program, "--print-manifest"], check=True, stdout=subprocess.PIPE).stdout
        path = self.manifest_path(name)
        with open(path + ".new", "wb") as file:
            file.write(manifest)
        os.rename(path + ".new", path)

    def start_capability(self, name):
        """Its log is the runtime's; whoever starts it ends it."""
        with open(self.log_path, "ab") as log:
            return subprocess.Popen([os.path.join(BIN, f"caisson-{name}"), "--connect",
                                     f"shm://{self.run_dir}/{name}/bus.sock", "--run-dir", self.run_dir], stderr=log)

    # --- commands and files ---

    def caisson(self, *words):
        return subprocess.run([os.path.join(BIN, "caisson"), *words, "--run-dir", self.run_dir],
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=PATIENCE * 3)

    def status(self):
        done = self.caisson("status", "--json")
        if done.returncode != 0:
            raise OSError(done.stderr)
        return json.loads(done.stdout)

    def process_status(self, name):
        for process in self.status()["runtime"]["processes"]:
            if process["name"] == name:
                return process
        raise KeyError(name)

    def write_resource(self, name, text):
        """Replaces a file of the resources folder as a whole."""
        folder = os.path.join(self.data_dir, "components") if self.default_resources else self.resources
        os.makedirs(folder, exist_ok=True)
        beside = os.path.join(self.folder, f".{name}.new")
        with open(beside, "w") as file:
            file.write(text)
        os.replace(beside, os.path.join(folder, name))

    def remove_resource(self, name):
        os.unlink(os.path.join(self.resources, name))


class Daprd(Runtime):
    """The same under the name daprd, with its flags. Folders are given unless `own_folders`: then daprd
    chooses them below HOME and XDG_RUNTIME_DIR of this test's folder."""

    def __init__(self, own_folders=False, **rest):
        super().__init__(**rest)
        self.own_folders = own_folders
        if own_folders:
            self.environment = dict(self.environment, HOME=self.folder, XDG_RUNTIME_DIR=self.folder)

    def command(self):
        command = [os.path.join(BIN, "daprd"), "-app-id", self.app_id, "--dapr-listen-addresses", "127.0.0.1"]
        if not self.own_folders:
            command += ["--run-dir", self.run_dir, "--data-dir", self.data_dir]
        for port in ("--dapr-http-port", "--dapr-grpc-port", "--metrics-port"):
            if port not in self.flags:
                command += [port, "0"]
        if os.listdir(self.resources):
            command += ["--resources-path", self.resources]
        if self.app is not None:
            command += ["--app-port", str(self.app.port)]
        return command + self.flags


def component(name, kind, metadata=None, scopes=()):
    text = (f"apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\n"
            f"spec:\n  type: {kind}\n  version: v1\n  metadata:\n")
    for key, value in (metadata or {}).items():
        text += f"  - name: {key}\n    value: {json.dumps(value)}\n"
    if not metadata:
        text = text.replace("  metadata:\n", "  metadata: []\n") if text.endswith("  metadata:\n") else text
    if scopes:
        text += "scopes:\n" + "".join(f"- {scope}\n" for scope in scopes)
    return text
