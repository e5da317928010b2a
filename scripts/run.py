"""Starts the runtime that was just built; called by ./run. With --demo: one call of each capability."""

import http.server
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CAISSON = os.path.join(ROOT, "build", "release", "bin", "caisson")
PATIENCE = 30.0


def request(method, url, body=None, headers=None):
    data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
    headers = {"content-type": "application/json", **(headers or {})} if data is not None else dict(headers or {})
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method), timeout=10) as answer:
            return answer.status, answer.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


def wait_until(condition, process):
    tick = threading.Event()
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        if process.poll() is not None:
            return None
        try:
            value = condition()
            if value:
                return value
        except (OSError, ValueError, KeyError):
            pass
        tick.wait(0.005)
    return None


def flag(arguments, name, otherwise):
    """The value a flag was given, in both spellings."""
    for i, word in enumerate(arguments):
        if word == name and i + 1 < len(arguments):
            return arguments[i + 1]
        if word.startswith(name + "="):
            return word[len(name) + 1:]
    return otherwise


def default_run_dir():
    base = os.environ.get("XDG_RUNTIME_DIR", "")
    return os.path.join(base, "caisson") if base.startswith("/") else f"/tmp/caisson-{os.geteuid()}"


def wait_for_health(run_dir, process):
    """The gateway's facts once every app's door is healthy; None when that did not come."""
    def healthy():
        with open(os.path.join(run_dir, "gateway.json")) as file:
            facts = json.load(file)
        with open(os.path.join(run_dir, "gateway.pid")) as file:
            if int(file.read()) != facts["pid"]:
                return None
        for app in facts["apps"]:
            if app.get("http") and request("GET", f"http://127.0.0.1:{app['http']}/v1.0/healthz")[0] != 204:
                return None
        return facts
    return wait_until(healthy, process)


def serve(arguments):
    """./run: in the foreground until Ctrl-C."""
    if any(word in ("--help", "-h", "--version") for word in arguments):
        os.execv(CAISSON, [CAISSON, "up", *arguments])
    started = time.monotonic()
    process = subprocess.Popen([CAISSON, "up", *arguments])
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: process.terminate())
    # Ctrl-C reaches caisson by the terminal; here it only ends the wait.
    signal.signal(signal.SIGINT, lambda *_: None)
    run_dir = flag(arguments, "--run-dir", default_run_dir())
    facts = wait_for_health(run_dir, process)
    if facts:
        print(f"\nCaisson is up ({(time.monotonic() - started) * 1000:.0f} ms).", flush=True)
        for app in facts["apps"]:
            print(f"  app {app['id']}: http://127.0.0.1:{app['http']}")
        print(f"  admin: http://127.0.0.1:{facts['admin']}/status and /metrics")
        if facts["apps"]:
            url = f"http://127.0.0.1:{facts['apps'][0]['http']}"
            print("Try:\n"
                  f"  curl -X POST {url}/v1.0/state/statestore -H 'content-type: application/json' "
                  "-d '[{\"key\":\"cart\",\"value\":3}]'\n"
                  f"  curl {url}/v1.0/state/statestore/cart\n"
                  f"  curl -X POST {url}/v1.0/publish/pubsub/orders -H 'content-type: application/json' -d '{{\"n\":1}}'\n"
                  f"  curl {url}/v1.0/metadata\n"
                  f"  {CAISSON} status --run-dir {run_dir}\n"
                  "Ctrl-C ends it.", flush=True)
    elif process.poll() is None:
        print("run: the runtime did not become healthy; its log is above", file=sys.stderr)
        process.terminate()
        process.wait()
        return 1
    return process.wait()


class DemoApp:
    """Subscribes to a topic, answers one method."""

    def __init__(self):
        self.events = []
        self.arrived = threading.Event()
        app = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, status, document):
                body = json.dumps(document).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self):
                if self.path == "/dapr/subscribe":
                    self.answer(200, [{"pubsubname": "pubsub", "topic": "orders", "route": "/orders"}])
                else:
                    self.answer(404 if self.path == "/dapr/config" else 200, {"hello": "from the demo app"})

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                if self.path == "/orders":
                    app.events.append(json.loads(body))
                    app.arrived.set()
                    self.answer(200, {"status": "SUCCESS"})
                else:
                    self.answer(200, {"you said": body.decode(errors="replace")})

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


class Demo:
    def __init__(self, url, folder, process):
        self.url, self.folder, self.process, self.failures = url, folder, process, 0

    def show(self, title, method, path, body=None, expect=lambda status, text: status < 300):
        status, text = request(method, self.url + path, body)
        good = expect(status, text)
        self.failures += 0 if good else 1
        words = f"{method} {path}" + (f"  {json.dumps(body)}" if body is not None else "")
        print(f"\n{title}\n  {words}\n  -> {status} {text[:400]}{'' if good else '   <- not as expected'}", flush=True)

    def run(self, app):
        self.show("state: write", "POST", "/v1.0/state/statestore", [{"key": "cart", "value": {"items": 3}}])
        self.show("state: read", "GET", "/v1.0/state/statestore/cart",
                  expect=lambda status, text: status == 200 and json.loads(text) == {"items": 3})
        self.show("pubsub: publish", "POST", "/v1.0/publish/pubsub/orders", {"order": 17})
        delivered = app.arrived.wait(PATIENCE) and app.events[0].get("data") == {"order": 17}
        self.failures += 0 if delivered else 1
        print(f"  the app received: {json.dumps(app.events[0])[:400] if app.events else 'nothing'}", flush=True)
        self.show("invoke: the app, through the runtime", "POST", "/v1.0/invoke/demo/method/echo", "hello",
                  expect=lambda status, text: status == 200 and "hello" in text)
        self.secrets()
        self.locks()
        self.show("metadata", "GET", "/v1.0/metadata",
                  expect=lambda status, text: status == 200 and "statestore" in text)
        self.show("health", "GET", "/v1.0/healthz", expect=lambda status, _: status == 204)

    def add_component(self, name, kind, metadata):
        resources = os.path.join(self.folder, "data", "components")
        beside = os.path.join(self.folder, f"{name}.new")
        with open(beside, "w") as file:
            file.write(f"apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\nspec:\n"
                       f"  type: {kind}\n  version: v1\n  metadata:{'' if metadata else ' []'}\n")
            file.writelines(f"  - name: {key}\n    value: {value}\n" for key, value in metadata.items())
        os.replace(beside, os.path.join(resources, f"{name}.yaml"))
        print(f"\n{kind}: {resources}/{name}.yaml is written now, no restart", flush=True)

    def secrets(self):
        """A secret store is added while everything runs."""
        secrets = os.path.join(self.folder, "secrets.json")
        with open(secrets, "w") as file:
            json.dump({"redis": {"password": "correct horse"}}, file)
        self.add_component("vault", "secretstores.local.file", {"secretsFile": secrets})
        path = "/v1.0/secrets/vault/redis:password"
        wait_until(lambda: request("GET", self.url + path)[0] == 200, self.process)
        self.show("secrets: read", "GET", path,
                  expect=lambda status, text: status == 200 and "correct horse" in text)

    def locks(self):
        """So is a lock store."""
        self.add_component("lockstore", "lock.sqlite", {})
        path = "/v1.0-alpha1/lock/lockstore"
        body = {"resourceId": "cart", "lockOwner": "demo", "expiryInSeconds": 60}
        wait_until(lambda: request("POST", self.url + path, dict(body, resourceId="probe"))[0] == 200, self.process)
        for title, taken in (("lock: take", True), ("lock: a second time", False)):
            self.show(title, "POST", path, body,
                      expect=lambda status, text: status == 200 and json.loads(text) == {"success": taken})


def demo(arguments):
    folder = tempfile.mkdtemp(prefix="caisson-demo-")
    run_dir = os.path.join(folder, "run")
    app = DemoApp()
    log_path = os.path.join(folder, "caisson.log")
    command = [CAISSON, "up", "--run-dir", run_dir, "--data-dir", os.path.join(folder, "data"), "--app-id", "demo",
               "--app-port", str(app.port), "--dapr-http-port", "0", "--dapr-grpc-port", "0", "--admin-port", "0",
               "--dapr-listen-addresses", "127.0.0.1", *arguments]
    started = time.monotonic()
    with open(log_path, "wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    failures = 1
    try:
        facts = wait_for_health(run_dir, process)
        if facts:
            print(f"the runtime is healthy after {(time.monotonic() - started) * 1000:.0f} ms", flush=True)
            demonstration = Demo(f"http://127.0.0.1:{facts['apps'][0]['http']}", folder, process)
            demonstration.run(app)
            print("\ncaisson status")
            print(subprocess.run([CAISSON, "status", "--run-dir", run_dir], stdout=subprocess.PIPE, text=True).stdout)
            failures = demonstration.failures
    finally:
        process.terminate()
        code = process.wait()
    if failures or code != 0:
        with open(log_path, errors="replace") as log:
            print("--- log ---\n" + log.read()[-20000:], file=sys.stderr)
    print(f"demo: {'every call was answered as expected' if not failures else f'{failures} calls failed'}; "
          f"the runtime ended with exit code {code}")
    shutil.rmtree(folder, ignore_errors=True)
    return 1 if failures or code != 0 else 0


def main():
    arguments = sys.argv[1:]
    if arguments and arguments[0] == "--demo":
        return demo(arguments[1:])
    return serve(arguments)


if __name__ == "__main__":
    sys.exit(main())
