"""What the split costs: the same requests with another lane, in one process, through two gateways."""

import harness
from measurement import RATE, Measurement, Row, at_least
from rows.state import runtime_on


def throughput(bench, store, flags, what):
    name = f"GET on {store}, 32 connections, {what}"
    try:
        with runtime_on(bench, store, flags) as (runtime, redis):
            return bench.http(name, runtime, "state_get.lua", 32, pids=redis.pids() if redis else {})
    except harness.Unavailable as reason:
        return Measurement(name, 0, RATE, "caisson up " + " ".join(flags), note=f"not available: {reason}")


def transports(bench):
    for store in ("memory", "redis"):
        shm = throughput(bench, store, ["--transport", "shm"], "shm")
        ipc = throughput(bench, store, ["--transport", "ipc"], "ZeroMQ ipc")
        yield shm
        yield ipc.against(shm, *([at_least(0.6, ipc.value, shm)] if shm.value and ipc.value else []))


def in_process(bench):
    for store in ("memory", "redis"):
        one = throughput(bench, store, ["--in-process"], "in process")
        split = throughput(bench, store, [], "split")
        yield split.against(one, *([at_least(0.9, split.value, one)] if one.value else []))
        yield one


def gateways(bench):
    """Fills more than one CPU only where there are CPUs besides those of capability and load."""
    one = throughput(bench, "memory", ["--gateways", "1"], "one gateway")
    two = throughput(bench, "memory", ["--gateways", "2"], "two gateways")
    yield one
    yield two.against(one)


ROWS = [
    Row("transports", "the same topology over shm and ZeroMQ ipc", transports),
    Row("split", "split against --in-process, 32 connections", in_process),
    Row("gateways", "one gateway process and two, 32 connections", gateways),
]
