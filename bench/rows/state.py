"""State over HTTP: GET and SET on each store, at 1, 32, 128 and 1000 connections."""

import contextlib
import os
import shutil
import sqlite3
import tempfile
import time

import harness
import load
import processes
from measurement import RATE, UNPINNED, Bar, Measurement, Row, at_least
from rows.lane import different_cpus, eventfd, one_cpu

VALUE = '"' + "x" * 126 + '"'  # as wrk/state_set.lua writes it


@contextlib.contextmanager
def runtime_on(bench, store, flags=()):
    """A runtime whose `statestore` is on `store`, filled; and the Redis server where there is one."""
    with contextlib.ExitStack() as stack:
        redis = stack.enter_context(harness.Redis()) if store == "redis" else None
        kind = {"memory": "state.in-memory", "sqlite": "state.sqlite", "redis": "state.redis"}[store]
        document = redis.component("statestore", kind) if redis else harness.component("statestore", kind)
        runtime = stack.enter_context(harness.Runtime(bench.build, document, flags, "state,statestore"))
        load.wrk(runtime.url, "state_set.lua", 4, 1)
        yield runtime, redis


def redis_alone(bench, redis, operation):
    words = ["-d", "128", "-r", "1000", "-t", operation]
    result = load.redis_benchmark(redis, bench.seconds, words)
    return Measurement(f"redis-benchmark {operation.upper()}", result["rate"], RATE, result["command"],
                       p50_us=result["p50_us"], p99_us=result["p99_us"], is_reference=True)


def sqlite_alone(bench):
    """One writer, one write per commit: the floor that group commit must beat."""
    folder = tempfile.mkdtemp(prefix="caisson-bench-")
    database = sqlite3.connect(os.path.join(folder, "r.db"), isolation_level=None)
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")
    database.execute("CREATE TABLE state (key TEXT PRIMARY KEY, value TEXT)")
    began, count = time.monotonic(), 0
    while time.monotonic() - began < bench.seconds:
        database.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (f"k{count % 1000}", VALUE))
        count += 1
    rate = count / (time.monotonic() - began)
    database.close()
    shutil.rmtree(folder)
    return Measurement("SQLite alone, FULL, one write a commit", rate, RATE, "bench/rows/state.py: sqlite_alone()",
                       is_reference=True)


def operation_row(store, operation):
    def measure(bench):
        script = f"state_{operation}.lua"
        with runtime_on(bench, store) as (runtime, redis):
            servers = redis.pids() if redis else {}
            ours = bench.http(f"{operation.upper()} on {store}, 32 connections", runtime, script, 32, pids=servers)
            alone = redis_alone(bench, redis, operation) if redis else None
            if store == "sqlite" and operation == "set":
                alone = sqlite_alone(bench)
            if alone:
                ours.against(alone)
            ours.bars += bars(bench, store, operation, ours, alone)
            yield ours
            if alone:
                yield alone
            yield from bench.peers_http(ours, script, 32)
    return measure


def bars(bench, store, operation, ours, alone):
    if (store, operation) == ("redis", "get"):
        both = ours.cpu_us.get("gateway", 0) + ours.cpu_us.get("state", 0)
        return [at_least(0.8, ours.value, alone), bench.cpu_of(13, both, "gateway and state")]
    if (store, operation) == ("sqlite", "get"):
        return [bench.rate_of(85000, ours.value)]
    if (store, operation) == ("sqlite", "set"):
        return [bench.rate_of(40000, ours.value)]
    return []


def place(runtime, servers, cpus):
    """The gateway on the first CPU, everything else on the second; where the load generator goes."""
    for name, pid in {**runtime.pids(), **servers}.items():
        processes.pin(pid, {cpus[0] if name in ("gateway", "in-process") else cpus[1]})
    return cpus[1]


def one_connection(store):
    def measure(bench):
        for cpus, where in ((one_cpu(), "all on one CPU"), (different_cpus(), "gateway, and the rest")):
            wake_up = eventfd(bench, cpus).value / 2
            alone = None
            for flags, what in ((["--in-process"], "in process"), ([], "split")):
                name = f"GET on {store}, 1 connection, {what}"
                try:
                    with runtime_on(bench, store, flags) as (runtime, redis):
                        servers = redis.pids() if redis else {}
                        cpu = place(runtime, servers, cpus)
                        made = bench.http(name, runtime, "state_get.lua", 1, pids=servers, cpu=cpu, where=where)
                except harness.Unavailable as reason:
                    yield Measurement(name, 0, "µs", "", where, note=f"not available: {reason}")
                    continue
                made.value, made.unit = made.p50_us, "µs"
                if alone:
                    limit = alone.value + 2 * wake_up
                    made.against(alone, Bar(f"≤ in process + 2 wake-ups ({limit:.0f} µs)", made.value <= limit))
                yield made
                alone = made
        with runtime_on(bench, store) as (runtime, redis):
            made = bench.http(f"GET on {store}, 1 connection, split", runtime, "state_get.lua", 1,
                              pids=redis.pids() if redis else {}, where=UNPINNED)
            made.value, made.unit = made.p50_us, "µs"
            yield made
            yield from one_connection_of_peers(bench, made)
    return measure


def one_connection_of_peers(bench, ours):
    for made in bench.peers_http(ours, "state_get.lua", 1):
        made.value, made.unit = made.p50_us, "µs"
        yield made.against(ours)


def many_connections(bench):
    for store in ("memory", "redis"):
        with runtime_on(bench, store) as (runtime, redis):
            few = None
            for connections in (32, 128, 1000):
                made = bench.http(f"GET on {store}, {connections} connections", runtime, "state_get.lua", connections,
                                  pids=redis.pids() if redis else {})
                yield made.against(few) if few else made
                few = few or made
                yield from bench.peers_http(made, "state_get.lua", connections)


ROWS = [Row(f"state-{operation}-{store}", f"state {operation.upper()} over HTTP on {store}, 32 connections",
            operation_row(store, operation)) for store in ("redis", "sqlite", "memory") for operation in ("get", "set")]
ROWS += [Row(f"one-connection-{store}", f"state GET at one connection on {store}, split against --in-process",
             one_connection(store)) for store in ("memory", "redis")]
ROWS += [Row("connections", "state GET at 32, 128 and 1000 connections", many_connections)]
