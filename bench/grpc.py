#!/usr/bin/env python3
"""GetState over gRPC from a store in memory: 4 connections with 8 streams each, one prebuilt body.

Starts a runtime of its own (release build), loads it with h2load, and prints calls/s, latency and the
CPU time per call of each process. The reference of the same run: the same read over HTTP/1.1 with wrk
at 32 connections. Nothing is pinned: processes and load generator share the machine's CPUs.
"""

import argparse
import pathlib
import re
import subprocess
import tempfile
import urllib.request

import harness
import processes

ROOT = pathlib.Path(__file__).resolve().parent.parent
METHOD = "/dapr.proto.runtime.v1.Dapr/GetState"
HTTP_SCRIPT = """
request = function() return wrk.format("GET", "/v1.0/state/statestore/k") end
"""


def framed(message):
    return b"\0" + len(message).to_bytes(4, "big") + message


def string_field(number, text):
    return bytes([number << 3 | 2, len(text)]) + text.encode()


def h2load(port, path, body, connections, streams, seconds):
    with tempfile.NamedTemporaryFile() as file:
        file.write(body)
        file.flush()
        out = subprocess.run(["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", "-d", file.name,
                              "-H", "content-type: application/grpc", "-H", "te: trailers",
                              f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True).stdout
    counts = re.search(r"requests: (\d+) total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed", out)
    return {"requests": int(counts.group(3)), "failed": int(counts.group(2)) - int(counts.group(3)),
            "rate": int(counts.group(3)) / seconds,
            "latency": re.search(r"^time for request:\s+\S+\s+\S+\s+(\S+)", out, re.M).group(1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--seconds", type=int, default=5)
    arguments = parser.parse_args()
    runtime = harness.Runtime(arguments.build, harness.component("statestore", "state.in-memory", {}), require="state")
    try:
        print(f"command: bench/grpc.py --seconds {arguments.seconds}; nothing pinned")
        save = urllib.request.Request(f"http://127.0.0.1:{runtime.port}/v1.0/state/statestore", method="POST",
                                      data=b'[{"key":"k","value":"%s"}]' % (b"x" * 126),
                                      headers={"content-type": "application/json"})
        urllib.request.urlopen(save, timeout=10).close()
        body = framed(string_field(1, "statestore") + string_field(2, "k"))

        def measure(name, load):
            pids = processes.pids(runtime.run_dir)
            before = {process: processes.cpu_seconds(pid) for process, pid in pids.items()}
            result = load()
            cpu = {process: (processes.cpu_seconds(pid) - before[process]) * 1e6 / result["requests"]
                   for process, pid in pids.items()}
            spent = "  ".join(f"{process} {us:.2f}" for process, us in cpu.items() if us >= 0.01)
            print(f"{name}: {result['rate']:>9.0f} calls/s  {result}  CPU us/call: {spent}")
            return result["rate"]

        grpc = measure("gRPC, 4 connections x 8 streams",
                       lambda: h2load(runtime.grpc_port, METHOD, body, 4, 8, arguments.seconds))
        http = measure("HTTP/1.1, 32 connections       ",
                       lambda: harness.wrk(runtime.port, HTTP_SCRIPT, 32, arguments.seconds))
        print(f"reference, HTTP/1.1: {http:.0f} reads/s; ratio {grpc / http:.2f}")
    finally:
        runtime.stop()


if __name__ == "__main__":
    main()
