"""What the benchmarks share: a runtime of their own, a Redis server of their own, and wrk."""

import json
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request


class Runtime:
    """`resources`: documents of a resources folder; without them, the embedded default. It is ready when
    `/v1.0/healthz` and what `require` asks of it say so."""

    def __init__(self, build, resources="", flags=(), require=""):
        self.require = require
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="caisson-bench-"))
        self.run_dir = self.folder / "run"
        command = [str(build / "bin/caisson"), "up", "--app-id", "bench", "--dapr-http-port", "0",
                   "--dapr-grpc-port", "0", "--admin-port", "0", "--run-dir", str(self.run_dir),
                   "--data-dir", str(self.folder / "data"), "--log-level", "error", *flags]
        if resources:
            (self.folder / "resources").mkdir()
            (self.folder / "resources/bench.yaml").write_text(resources)
            command += ["--resources-path", str(self.folder / "resources")]
        began = time.monotonic()
        self.process = subprocess.Popen(command)
        self.port = self._port("http")
        self.grpc_port = self._port("grpc")
        while not self._healthy():
            if self.process.poll() is not None or time.monotonic() - began > 30:
                sys.exit("the runtime did not become healthy")
            time.sleep(0.002)
        self.start_seconds = time.monotonic() - began

    def _port(self, door):
        while True:
            try:
                return json.loads((self.run_dir / "gateway.json").read_text())["apps"][0][door]
            except (OSError, ValueError, LookupError):
                if self.process.poll() is not None:
                    sys.exit("the runtime did not start")
                time.sleep(0.002)

    def _healthy(self):
        try:
            path = f"http://127.0.0.1:{self.port}/v1.0/healthz?require={self.require}"
            with urllib.request.urlopen(path, timeout=1) as reply:
                return reply.status == 204
        except OSError:
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)


def component(name, kind, metadata):
    """A component's document."""
    return json.dumps({"apiVersion": "dapr.io/v1alpha1", "kind": "Component", "metadata": {"name": name},
                       "spec": {"type": kind, "version": "v1",
                                "metadata": [{"name": key, "value": value} for key, value in metadata.items()]}})


class Redis:
    """A redis-server on a free port, without persistence, as redis-benchmark measures it."""

    def __init__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1",
                                         "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL)
        began = time.monotonic()
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() - began > 10:
                sys.exit("redis-server did not start")
            time.sleep(0.002)

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            return True
        except OSError:
            return False

    def component(self, name, kind):
        return component(name, kind, {"redisHost": f"127.0.0.1:{self.port}"})

    def benchmark(self, seconds):
        """redis-benchmark's requests/s for GET and SET: 32 connections, no pipelining, 128 bytes."""
        out = subprocess.run(["redis-benchmark", "-p", str(self.port), "-c", "32", "-P", "1", "-d", "128", "-r", "1000",
                              "-n", str(seconds * 60000), "-t", "get,set", "--csv"],
                             capture_output=True, text=True, check=True).stdout
        return {name.lower(): float(rate) for name, rate in re.findall(r'^"(GET|SET)","([\d.]+)"', out, re.M)}

    def benchmark_xadd(self, value):
        """redis-benchmark's XADD/s: 32 connections, no pipelining."""
        out = subprocess.run(["redis-benchmark", "-p", str(self.port), "-c", "32", "-n", "200000", "--csv", "XADD",
                              "reference", "*", "data", value, "metadata", "{}"],
                             capture_output=True, text=True, check=True).stdout
        return float(out.splitlines()[-1].split('","')[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)


def wrk(port, script, connections, seconds):
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        file.write(script)
        file.flush()
        out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "-s", file.name,
                              f"http://127.0.0.1:{port}"], capture_output=True, text=True, check=True).stdout
    errors = re.search(r"Non-2xx or 3xx responses: (\d+)", out)
    return {
        "requests": int(re.search(r"(\d+) requests in", out).group(1)),
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
        "p50": re.search(r"^\s+50%\s+(\S+)", out, re.M).group(1),
        "p99": re.search(r"^\s+99%\s+(\S+)", out, re.M).group(1),
        "errors": int(errors.group(1)) if errors else 0,
    }
