"""Publishing over HTTP, and publishing to an app that takes each message as a POST, at 32 connections."""

import contextlib
import dataclasses
import subprocess
import sys
import tempfile
import time
from typing import Callable

import harness
import load
from measurement import RATE, ROOT, UNPINNED, Measurement, Row
from rows.state import sqlite_alone

sys.path.insert(0, str(ROOT / "tests/kafka"))
MESSAGE = '{"order":"' + "x" * 115 + '"}'  # as wrk/publish.lua writes it


@dataclasses.dataclass
class Broker:
    """What a backend needs running, and what its server or disk does alone."""

    component: str
    pids: dict
    alone: Callable  # of a Bench, gives a Measurement


@contextlib.contextmanager
def redis_broker():
    def alone(bench):
        words = ["XADD", "reference", "*", "data", MESSAGE, "metadata", "{}"]
        result = load.redis_benchmark(redis, bench.seconds, words)
        return Measurement("redis-benchmark XADD", result["rate"], RATE, result["command"], p50_us=result["p50_us"],
                           p99_us=result["p99_us"], is_reference=True)
    with harness.Redis() as redis:
        yield Broker(redis.component("pubsub", "pubsub.redis"), redis.pids(), alone)


@contextlib.contextmanager
def sqlite_broker():
    yield Broker(harness.component("pubsub", "pubsub.sqlite"), {}, sqlite_alone)


@contextlib.contextmanager
def kafka_broker():
    import kafka_server  # needs Java, and kcat; only where it is asked for

    def alone(_):
        count = 200000
        with tempfile.NamedTemporaryFile("w") as file:
            file.write((MESSAGE + "\n") * count)
            file.flush()
            began = time.monotonic()
            subprocess.run(["kcat", "-P", "-b", kafka.address, "-t", "reference", "-X", "acks=all", "-X",
                            "enable.idempotence=true", "-l", file.name], check=True)
        return Measurement("librdkafka alone", count / (time.monotonic() - began), RATE,
                           "kcat -P -X acks=all -X enable.idempotence=true", is_reference=True)
    with kafka_server.KafkaServer() as kafka:
        metadata = {"brokers": kafka.address, "authType": "none", "initialOffset": "oldest", "concurrency": "10"}
        yield Broker(harness.component("pubsub", "pubsub.kafka", metadata), {"kafka": kafka.process.pid}, alone)


BROKERS = {"redis": redis_broker, "sqlite": sqlite_broker, "kafka": kafka_broker}


@contextlib.contextmanager
def runtime_on(bench, broker, app):
    with harness.Runtime(bench.build, broker.component, ["--app-port", str(app.port)], "pubsub,pubsub") as runtime:
        for topic in ("stored", "taken"):  # Kafka makes a topic at its first message, which takes a second
            load.wrk(runtime.url, "publish.lua", 4, 1, [topic])
        yield runtime


def publish_row(backend):
    def measure(bench):
        with BROKERS[backend]() as broker, harness.App(bench.program("caisson_bench_app"), bench.app_port) as app, \
                runtime_on(bench, broker, app) as runtime:
            ours = bench.http(f"publish to {backend}, 32 connections", runtime, "publish.lua", 32, ["stored"],
                              broker.pids)
            alone = broker.alone(bench)
            yield ours.against(alone, *([bench.rate_of(55000, ours.value)] if backend == "redis" else []))
            yield alone
            yield from bench.peers_http(ours, "publish.lua", 32, ["stored"])
    return measure


def settle(app):
    """Until the app gets no more; how many it has then."""
    taken, quiet_since = app.taken(), time.monotonic()
    while time.monotonic() - quiet_since < 0.5:
        time.sleep(0.02)
        now = app.taken()
        if now != taken:
            taken, quiet_since = now, time.monotonic()
    return taken


def delivered(app, target, seconds, what, pids):
    """Publishes for some seconds and waits until the app has all of it; messages/s over the whole time. Every message
    must arrive."""
    taken, result = settle(app), {}
    began = time.monotonic()
    with load.spent(result, pids):
        result.update(load.wrk(target.url, "publish.lua", 32, seconds, ["taken"]))
        published = result["requests"] - result["errors"]
        backlog = max(0, published - (app.taken() - taken))
        give_up = time.monotonic() + 120
        while app.taken() - taken < published and time.monotonic() < give_up:
            time.sleep(0.005)
        elapsed = time.monotonic() - began
    missing = max(0, published - (app.taken() - taken))
    note = f"backlog when publishing ended {backlog}" + (f"; {missing} MISSING" if missing else "")
    # wrk counts what it has read: what was on its way when it stopped may come on top.
    return Measurement(what, (published - missing) / elapsed, RATE, result["command"], UNPINNED, note=note,
                       cpu_us=result["cpu_us"], others_cpus=result["others_cpus"],
                       errors=result["errors"] + missing)


def deliver_row(backend):
    def measure(bench):
        with BROKERS[backend]() as broker, harness.App(bench.program("caisson_bench_app"), bench.app_port) as app, \
                runtime_on(bench, broker, app) as runtime:
            ours = delivered(app, runtime, bench.seconds, f"publish to {backend} and deliver to the app",
                             {**runtime.pids(), **broker.pids, **app.pids()})
            if backend == "redis":
                ours.bars.append(bench.rate_of(20000, ours.value))
            yield ours
            for peer in bench.peers:
                made = delivered(app, peer, bench.seconds, f"{ours.what}: {peer.name}", {**peer.pids(), **app.pids()})
                yield made.against(ours)
    return measure


ROWS = []
for name in BROKERS:
    default = name == "redis"
    ROWS.append(Row(f"publish-{name}", f"publish on {name}, 32 connections", publish_row(name), default))
    ROWS.append(Row(f"deliver-{name}", f"publish on {name}, delivered to the app", deliver_row(name), default))
