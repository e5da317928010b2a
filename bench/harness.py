"""What a row starts to measure against: a runtime of its own, a Redis server, an app, nginx. All on free ports."""

import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

import processes

PATIENCE = 30  # seconds until something that does not start has failed


class Unavailable(Exception):
    """This machine or build cannot run a row; the text says why."""


def wait_until(true, process, what):
    give_up = time.monotonic() + PATIENCE
    while not true():
        if process.poll() is not None or time.monotonic() > give_up:
            raise Unavailable(f"{what} did not start")
        time.sleep(0.002)


def answers(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end(process):
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Server:
    """Something with a process that ends with the `with` block."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        end(self.process)


class Runtime(Server):
    """`resources`: documents of a resources folder; without them, the embedded default. It is ready when
    `/v1.0/healthz` and what `require` asks of it say so."""

    def __init__(self, build, resources="", flags=(), require=""):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="caisson-bench-"))
        self.run_dir = self.folder / "run"
        self.health = f"/v1.0/healthz?require={require}"
        self.flags = list(flags)
        command = [str(build / "bin/caisson"), "up", "--app-id", "bench", "--dapr-http-port", "0",
                   "--dapr-grpc-port", "0", "--admin-port", "0", "--run-dir", str(self.run_dir),
                   "--data-dir", str(self.folder / "data"), "--log-level", "error", *self.flags]
        if resources:
            (self.folder / "resources").mkdir()
            (self.folder / "resources/bench.yaml").write_text(resources)
            command += ["--resources-path", str(self.folder / "resources")]
        began = time.monotonic()
        log = self.folder / "log"
        with log.open("wb") as stderr:
            self.process = subprocess.Popen(command, stderr=stderr)
        try:
            wait_until(self._healthy, self.process, "the runtime")
        except Unavailable:
            said = log.read_text(errors="replace").strip().splitlines()
            self.stop()
            raise Unavailable(said[-1] if said else "the runtime did not become healthy") from None
        self.start_seconds = time.monotonic() - began

    def _healthy(self):
        try:
            ports = json.loads((self.run_dir / "gateway.json").read_text())["apps"][0]
            self.port, self.grpc_port = ports["http"], ports["grpc"]
            with urllib.request.urlopen(self.url + self.health, timeout=1) as reply:
                return reply.status == 204
        except (OSError, ValueError, LookupError):
            return False

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def pids(self):
        return {**processes.pids(self.run_dir), "caisson": self.process.pid}

    def stop(self):
        end(self.process)
        shutil.rmtree(self.folder, ignore_errors=True)


class Peer:
    """Another runtime that somebody else has started, with the same HTTP API, store, pubsub and app names."""

    def __init__(self, url):
        self.url = url.rstrip("/")
        self.name = urllib.parse.urlsplit(url).netloc
        try:
            urllib.request.urlopen(self.url + "/v1.0/healthz", timeout=5).close()
        except urllib.error.HTTPError:
            pass  # it is there
        except OSError as error:
            raise Unavailable(f"the peer {url} does not answer: {error}") from None

    def pids(self):
        pid = processes.listener(urllib.parse.urlsplit(self.url).port or 80)
        return {"peer": pid} if pid else {}


def component(name, kind, metadata=None):
    """A component's document."""
    return json.dumps({"apiVersion": "dapr.io/v1alpha1", "kind": "Component", "metadata": {"name": name},
                       "spec": {"type": kind, "version": "v1",
                                "metadata": [{"name": k, "value": v} for k, v in (metadata or {}).items()]}})


class Redis(Server):
    """A redis-server without persistence, as redis-benchmark measures it."""

    def __init__(self):
        if not shutil.which("redis-server"):
            raise Unavailable("redis-server is not installed")
        self.port = free_port()
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
                                         "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL)
        wait_until(lambda: answers(self.port), self.process, "redis-server")

    def component(self, name, kind):
        return component(name, kind, {"redisHost": f"127.0.0.1:{self.port}"})

    def pids(self):
        return {"redis": self.process.pid}


class App(Server):
    """programs/app.cpp: says 200 to everything, subscribes to topic `taken`, counts what comes."""

    def __init__(self, program, port=0):
        self.process = subprocess.Popen([program, str(port)], stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().strip()
        if not line:
            raise Unavailable("the app of the benchmarks did not start")
        self.port = int(line)

    def taken(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/count", timeout=10) as reply:
            return int(reply.read())

    def pids(self):
        return {"app": self.process.pid}


NGINX = """
daemon off; pid {folder}/pid; error_log stderr crit; worker_processes {workers}; {user}
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy; fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  upstream app {{ server 127.0.0.1:{app}; keepalive 128; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


class Nginx(Server):
    """nginx as a proxy to an app, with connections that it keeps."""

    def __init__(self, app_port, workers):
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if not program:
            raise Unavailable("nginx is not installed")
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="caisson-bench-nginx-"))
        self.port = free_port()
        user = "user root;" if pathlib.Path("/proc/self").stat().st_uid == 0 else ""
        (self.folder / "conf").write_text(NGINX.format(folder=self.folder, port=self.port, app=app_port,
                                                       workers=workers, user=user))
        self.process = subprocess.Popen([program, "-c", str(self.folder / "conf"), "-p", str(self.folder)])
        wait_until(lambda: answers(self.port), self.process, "nginx")

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    def pids(self):
        return {f"nginx {pid}": pid for pid in processes.children(self.process.pid)}

    def stop(self):
        super().stop()
        shutil.rmtree(self.folder, ignore_errors=True)


class Roudi(Server):
    """iceoryx's daemon."""

    def __init__(self):
        if not shutil.which("iox-roudi"):
            raise Unavailable("iceoryx is not installed")
        self.process = subprocess.Popen(["iox-roudi"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for line in self.process.stdout:
            if re.search("ready for clients", line):
                return
        raise Unavailable("iox-roudi did not start: is another one running?")

    def stop(self):
        super().stop()
        for left in pathlib.Path("/tmp").glob("caisson-iceoryx-*"):  # sockets of the server that was killed
            left.unlink()
