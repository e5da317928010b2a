#!/usr/bin/env python3
"""Publishing over HTTP, and publishing to an app that takes each message as a POST, at 32 connections.

Starts a runtime of its own (release build) with one pubsub component, loads it with wrk, and prints
messages/s and CPU time per message of each process, the server of the component included. An app that
only says 200 runs beside it, in Python; its CPU is printed too, because it may be what limits.

Each backend has a reference of the same run: what its server or its disk does alone.
Nothing is pinned: processes and load generator share the machine's CPUs, as they do for a user.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

import harness
import processes
import state

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/kafka"))
VALUE = json.dumps({"order": "x" * 115})  # 128 bytes

PUBLISH_SCRIPT = """
local body = '%s'
request = function()
  return wrk.format("POST", "/v1.0/publish/pubsub/%s", {["content-type"] = "application/json"}, body)
end
"""


class Server:
    """What a backend needs running: its component's type and metadata, its pid, and its reference."""

    def __init__(self, kind, metadata=None, pid=None, reference=None, process="pubsub"):
        self.kind, self.metadata, self.pid, self.reference = kind, metadata or {}, pid, reference
        self.process = process  # the one that serves it


@contextlib.contextmanager
def sqlite_backend():
    def reference():
        return "SQLite alone, one write per commit", state.sqlite_reference(2)
    yield Server("pubsub.sqlite", reference=reference)


@contextlib.contextmanager
def redis_backend():
    redis = harness.Redis()

    def reference():
        return "XADD by redis-benchmark, 32 connections, not pipelined", redis.benchmark_xadd(VALUE)
    try:
        yield Server("pubsub.redis", {"redisHost": f"127.0.0.1:{redis.port}"}, redis.process.pid, reference)
    finally:
        redis.stop()


@contextlib.contextmanager
def kafka_backend():
    import kafka_server  # needs Java, and kcat; only where it is asked for

    with kafka_server.KafkaServer() as kafka:
        def reference():
            count = 200000
            with tempfile.NamedTemporaryFile("w") as file:
                file.write((VALUE + "\n") * count)
                file.flush()
                began = time.monotonic()
                subprocess.run(["kcat", "-P", "-b", kafka.address, "-t", "reference", "-X", "acks=all", "-X",
                                "enable.idempotence=true", "-l", file.name], check=True)
            return "librdkafka alone (kcat), idempotent, acks=all", count / (time.monotonic() - began)
        yield Server("pubsub.kafka", {"brokers": kafka.address, "authType": "none", "initialOffset": "oldest",
                                      "concurrency": "10"},
                     kafka.process.pid, reference, "pubsub.kafka")


BACKENDS = {"sqlite": sqlite_backend, "redis": redis_backend, "kafka": kafka_backend}


class Taker(asyncio.Protocol):
    """One connection of the app: counts the POSTs to /taken and says 200 to everything."""

    TAKEN = multiprocessing.Value("q", 0, lock=False)
    LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
    SUBSCRIPTIONS = json.dumps([{"pubsubname": "pubsub", "topic": "taken", "route": "/taken"}]).encode()

    def connection_made(self, transport):
        self.transport, self.rest = transport, b""

    def data_received(self, data):
        data = self.rest + data
        while True:
            end = data.find(b"\r\n\r\n")
            if end < 0:
                break
            length = self.LENGTH.search(data, 0, end)
            total = end + 4 + (int(length.group(1)) if length else 0)
            if len(data) < total:
                break
            body = b""
            if data.startswith(b"GET /dapr/subscribe"):
                body = self.SUBSCRIPTIONS
            elif data.startswith(b"POST /taken"):
                self.TAKEN.value += 1
            status = b"404 Not Found" if data.startswith(b"GET /dapr/config") else b"200 OK"
            self.transport.write(b"HTTP/1.1 %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s"
                                 % (status, len(body), body))
            data = data[total:]
        self.rest = data


def run_app(listener):
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    async def serve():
        server = await asyncio.get_running_loop().create_server(Taker, sock=listener)
        await server.serve_forever()
    asyncio.run(serve())


def measure(name, runtime, pids, topic, connections, seconds, wait_for_all):
    before = {process: processes.cpu_seconds(pid) for process, pid in pids.items()}
    taken, began = Taker.TAKEN.value, time.monotonic()
    result = harness.wrk(runtime.port, PUBLISH_SCRIPT % (VALUE, topic), connections, seconds)
    published, backlog = result["requests"] - result["errors"], 0
    if wait_for_all:
        backlog = published - (Taker.TAKEN.value - taken)
        give_up = time.monotonic() + 120
        while Taker.TAKEN.value - taken < published and time.monotonic() < give_up:
            time.sleep(0.005)
        if Taker.TAKEN.value - taken < published:
            sys.exit(f"{published} published, {Taker.TAKEN.value - taken} taken: messages are missing")
    elapsed = time.monotonic() - began
    rate = published / elapsed if wait_for_all else result["rate"]
    cpu = {process: (processes.cpu_seconds(pid) - before[process]) * 1e6 / published for process, pid in pids.items()}
    spent = "  ".join(f"{process} {us:.1f}" for process, us in cpu.items() if us >= 0.05)
    print(f"{name:<14} {connections:>3} connections: {rate:>8.0f} messages/s  publish p50 {result['p50']}  "
          f"p99 {result['p99']}  errors {result['errors']}  backlog at the end {max(backlog, 0)}  "
          f"CPU us/message: {spent}")
    return {"operation": name, "connections": connections, "rate": rate, "published": published, "cpu_us": cpu,
            "backlog": backlog, **{key: result[key] for key in ("p50", "p99", "errors")}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pubsub", choices=sorted(BACKENDS), default="sqlite")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build/release")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--json", type=pathlib.Path, help="also write the figures here")
    arguments = parser.parse_args()

    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    app = multiprocessing.get_context("fork").Process(target=run_app, args=(listener,), daemon=True)
    app.start()
    with BACKENDS[arguments.pubsub]() as server:
        runtime = harness.Runtime(arguments.build, harness.component("pubsub", server.kind, server.metadata),
                                  ("--app-port", str(listener.getsockname()[1])), require="pubsub,pubsub")
        try:
            print(f"command: bench/pubsub.py --pubsub {arguments.pubsub} --seconds {arguments.seconds}; nothing pinned")
            pids = {**processes.pids(runtime.run_dir), "app": app.pid}
            pids.pop("caisson", None)
            if server.pid is not None:
                pids["server"] = server.pid
            for topic in ("stored", "taken"):  # Kafka makes a topic at its first message, which takes a second
                harness.wrk(runtime.port, PUBLISH_SCRIPT % (VALUE, topic), 4, 1)
            rows = [measure("publish", runtime, pids, "stored", connections, arguments.seconds, False)
                    for connections in (1, 32)]
            rows += [measure("publish to app", runtime, pids, "taken", connections, arguments.seconds, True)
                     for connections in (1, 32)]
            name, reference = server.reference()
            best = max(row["rate"] for row in rows if row["operation"] == "publish")
            print(f"reference, {name}: {reference:.0f}/s; publish at its best is {best / reference:.2f} of it")
            memory = processes.memory(pids[server.process])
            print(f"memory of {server.process}: PSS {memory['pss']} KiB  private dirty {memory['private_dirty']} KiB  "
                  f"threads {memory['threads']}")
            if arguments.json:
                arguments.json.write_text(json.dumps({"pubsub": arguments.pubsub, "rows": rows, "reference": reference,
                                                      "memory": memory}, indent=1))
        finally:
            runtime.stop()
            app.terminate()


if __name__ == "__main__":
    main()
