#!/usr/bin/env python3
"""State GET and SET over HTTP at 1 and 32 connections, on SQLite (the embedded default) or Redis.

Starts a runtime of its own (release build), loads it with wrk, and prints requests/s, latency, CPU
time per request of each process, and each process's memory. The reference of the same run: for SQLite
a single-threaded loop with the same durability (WAL, synchronous=FULL), one write per commit; for
Redis redis-benchmark with 32 connections and no pipelining, on the same server.

Nothing is pinned: processes and load generator share the machine's CPUs, as they do for a user.
"""

import argparse
import json
import os
import pathlib
import shutil
import sqlite3
import tempfile
import time

import harness
import processes

ROOT = pathlib.Path(__file__).resolve().parent.parent
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--store", choices=("sqlite", "redis"), default="sqlite")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures here")
    arguments = parser.parse_args()

    redis = harness.Redis() if arguments.store == "redis" else None
    runtime = harness.Runtime(arguments.build, redis.component("statestore", "state.redis") if redis else "")
    try:
        print(f"command: bench/state.py --store {arguments.store} --seconds {arguments.seconds}; nothing pinned")
        print(f"start to healthy: {runtime.start_seconds * 1000:.0f} ms")
        harness.wrk(runtime.port, SET_SCRIPT % VALUE, 4, 1)
        rows = measure(runtime, redis, arguments.seconds)
        reference = redis.benchmark(arguments.seconds) if redis else {"set": sqlite_reference(2)}
        what = "redis-benchmark, 32 connections" if redis else "SQLite alone, one write per commit"
        for operation, rate in reference.items():
            best = max(row["rate"] for row in rows if row["operation"] == operation)
            print(f"reference, {what}: {rate:.0f} {operation}s/s; ratio {best / rate:.2f}")
        memory = {process: processes.memory(pid) for process, pid in processes.pids(runtime.run_dir).items()}
        for process, m in memory.items():
            print(f"memory {process:<10} PSS {m['pss']:>6} KiB  private dirty {m['private_dirty']:>6} KiB  "
                  f"RSS {m['rss']:>6} KiB  threads {m['threads']}")
        print(f"memory all        PSS {sum(m['pss'] for m in memory.values())} KiB")
        if arguments.json:
            arguments.json.write_text(json.dumps({"start_seconds": runtime.start_seconds, "rows": rows,
                                                  "reference": reference, "memory": memory}, indent=1))
    finally:
        runtime.stop()
        if redis:
            redis.stop()


def measure(runtime, redis, seconds):
    """GET and SET at 1 and 32 connections."""
    rows = []
    for name, script in (("get", GET_SCRIPT), ("set", SET_SCRIPT % VALUE)):
        for connections in (1, 32):
            pids = processes.pids(runtime.run_dir)
            if redis:
                pids["redis"] = redis.process.pid
            before = {process: processes.cpu_seconds(pid) for process, pid in pids.items()}
            result = harness.wrk(runtime.port, script, connections, seconds)
            cpu = {process: (processes.cpu_seconds(pid) - before[process]) * 1e6 / result["requests"]
                   for process, pid in pids.items()}
            rows.append({"operation": name, "connections": connections, **result, "cpu_us": cpu})
            spent = "  ".join(f"{process} {us:.1f}" for process, us in cpu.items() if us >= 0.05)
            print(f"{name} {connections:>3} connections: {result['rate']:>9.0f} req/s  p50 {result['p50']}  "
                  f"p99 {result['p99']}  errors {result['errors']}  CPU us/request: {spent}")
    return rows


if __name__ == "__main__":
    main()
