#!/usr/bin/env python3
"""State GET and SET over HTTP on the embedded default or on Redis, at 1 and 32 connections.

Starts a runtime of its own (release build), loads it with wrk, and prints requests/s, latency, CPU
time per request of each process, and each process's memory. The reference of the same run is, for
sqlite, a single-threaded SQLite loop with the same durability (WAL, synchronous=FULL), one write per
commit; for redis, redis-benchmark with as many connections on the same server.

Nothing is pinned: processes and load generator share the machine's CPUs, as they do for a user.
"""

import argparse
import json
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request

import processes

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))
from redis_server import RedisServer  # noqa: E402 the tests' own real server

VALUE = json.dumps("x" * 126)  # 128 bytes with its quotes

SET_SCRIPT = """
local n = 0
request = function()
  n = n + 1
  local body = '[{"key":"k' .. (n %% 1000) .. '","value":%s}]'
  return wrk.format("POST", "/v1.0/state/statestore", {["content-type"] = "application/json"}, body)
end
"""
GET_SCRIPT = """
local n = 0
request = function()
  n = n + 1
  return wrk.format("GET", "/v1.0/state/statestore/k" .. (n % 1000))
end
"""


class Runtime:
    def __init__(self, build, redis=None):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="caisson-bench-"))
        self.run_dir = self.folder / "run"
        command = [str(build / "bin/caisson"), "up", "--app-id", "bench", "--dapr-http-port", "0",
                   "--admin-port", "0", "--run-dir", str(self.run_dir),
                   "--data-dir", str(self.folder / "data"), "--log-level", "error"]
        if redis is not None:
            resources = self.folder / "resources"
            resources.mkdir()
            (resources / "statestore.yaml").write_text(redis.component("statestore", "state.redis"))
            command += ["--resources-path", str(resources)]
        began = time.monotonic()
        self.process = subprocess.Popen(command)
        self.port = self._port()
        while not self._healthy():
            if self.process.poll() is not None or time.monotonic() - began > 30:
                sys.exit("the runtime did not become healthy")
            time.sleep(0.002)
        self.start_seconds = time.monotonic() - began

    def _port(self):
        while True:
            try:
                return json.loads((self.run_dir / "gateway.json").read_text())["apps"][0]["http"]
            except (OSError, ValueError, LookupError):
                if self.process.poll() is not None:
                    sys.exit("the runtime did not start")
                time.sleep(0.002)

    def _healthy(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/v1.0/healthz", timeout=1) as reply:
                return reply.status == 204
        except OSError:
            return False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)


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


def sqlite_reference(seconds):
    """Commits per second of one writer, the floor that group commit must beat."""
    folder = tempfile.mkdtemp(prefix="caisson-bench-")
    database = sqlite3.connect(os.path.join(folder, "r.db"), isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT)")
    began, count = time.monotonic(), 0
    while time.monotonic() - began < seconds:
        database.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (f"k{count % 1000}", VALUE))
        count += 1
    rate = count / (time.monotonic() - began)
    shutil.rmtree(folder)
    return rate


def redis_reference(redis, seconds):
    """What redis-benchmark gets of the same server; {operation: requests per second}."""
    count = str(20000 * seconds)
    out = subprocess.run(["redis-benchmark", "-p", str(redis.port), "-c", "32", "-n", count, "-d", "128", "-r", "1000",
                          "-t", "get,set", "--csv"], capture_output=True, text=True, check=True).stdout
    rates = dict(re.findall(r'^"(GET|SET)","([\d.]+)"', out, re.M))
    return {name.lower(): float(rate) for name, rate in rates.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--store", choices=("sqlite", "redis"), default="sqlite")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures here")
    arguments = parser.parse_args()

    redis = RedisServer(append_only=False) if arguments.store == "redis" else None
    runtime = Runtime(arguments.build, redis)
    rows = []
    try:
        print(f"command: bench/state.py --store {arguments.store} --seconds {arguments.seconds}; nothing pinned")
        print(f"start to healthy: {runtime.start_seconds * 1000:.0f} ms")
        wrk(runtime.port, SET_SCRIPT % VALUE, 4, 1)
        for name, script in (("get", GET_SCRIPT), ("set", SET_SCRIPT % VALUE)):
            for connections in (1, 32):
                pids = processes.pids(runtime.run_dir)
                if redis is not None:
                    pids["redis"] = redis.process.pid
                before = {process: processes.cpu_seconds(pid) for process, pid in pids.items()}
                result = wrk(runtime.port, script, connections, arguments.seconds)
                cpu = {process: (processes.cpu_seconds(pid) - before[process]) * 1e6 / result["requests"]
                       for process, pid in pids.items()}
                rows.append({"operation": name, "connections": connections, **result, "cpu_us": cpu})
                spent = "  ".join(f"{process} {us:.1f}" for process, us in cpu.items() if us >= 0.05)
                print(f"{name} {connections:>3} connections: {result['rate']:>9.0f} req/s  p50 {result['p50']}  "
                      f"p99 {result['p99']}  errors {result['errors']}  CPU us/request: {spent}")
        best = {name: max(row["rate"] for row in rows if row["operation"] == name) for name in ("get", "set")}
        if redis is None:
            reference = sqlite_reference(2)
            print(f"reference, SQLite alone, one write per commit: {reference:.0f} sets/s; "
                  f"ratio {best['set'] / reference:.2f}")
        else:
            reference = redis_reference(redis, arguments.seconds)
            print("reference, redis-benchmark -c 32 -d 128: " + ", ".join(
                f"{name} {rate:.0f}/s, ratio {best[name] / rate:.2f}" for name, rate in reference.items()))
        memory = {process: processes.memory(pid) for process, pid in processes.pids(runtime.run_dir).items()}
        for process, m in memory.items():
            print(f"memory {process:<10} PSS {m['pss']:>6} KiB  private dirty {m['private_dirty']:>6} KiB  "
                  f"RSS {m['rss']:>6} KiB  threads {m['threads']}")
        print(f"memory all        PSS {sum(m['pss'] for m in memory.values())} KiB")
        if arguments.json:
            arguments.json.write_text(json.dumps({
                "start_seconds": runtime.start_seconds, "rows": rows, f"{arguments.store}_reference": reference,
                "memory": memory}, indent=1))
    finally:
        runtime.stop()
        if redis is not None:
            redis.close()


if __name__ == "__main__":
    main()
