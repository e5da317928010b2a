"""Lanes against what the kernel, the memory and other libraries do on the same CPUs."""

import os

from harness import Roudi, Unavailable
from measurement import RATE, Bar, Measurement, Row, placement

SHM, IPC, INPROC = "shm://SCRATCH/lane", "ipc://SCRATCH/lane", "inproc://lane"


def different_cpus():
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        raise Unavailable("needs two CPUs")
    return cpus[0], cpus[1]


def one_cpu():
    cpu = min(os.sched_getaffinity(0))
    return cpu, cpu


def lane(bench, what, *arguments, **more):
    """A lane, or a line that says why there is none."""
    try:
        return bench.run(what, "caisson_bench_lane", *arguments, **more)
    except Unavailable as reason:
        command = " ".join(("caisson_bench_lane", *arguments)).replace("SCRATCH", "/tmp")
        made = Measurement(what, 0, more.get("unit", "µs"), command, placement(more.get("cpus")),
                           note=f"not available: {reason}")
        return made, None


def reference(bench, what, program, *arguments, **more):
    made, _ = bench.run(what, program, *arguments, is_reference=True, **more)
    return made


def eventfd(bench, cpus):
    """The faster of two ways to use it, so that nobody can say that the reference was a slow one."""
    both = [reference(bench, f"eventfd and epoll{how}", "caisson_bench_raw", name, cpus=cpus, seconds=bench.seconds / 2)
            for name, how in (("eventfd", ""), ("eventfd-et", ", never read"))]
    return min(both, key=lambda made: made.value)


def others(bench, cpus):
    yield reference(bench, "Unix socket", "caisson_bench_raw", "unix", cpus=cpus)
    yield reference(bench, "ZeroMQ alone, ipc", "caisson_bench_zmq", "round-trip", "ipc://SCRATCH/z", cpus=cpus)
    try:
        with Roudi():
            yield reference(bench, "iceoryx WaitSet", "caisson_bench_iceoryx", "round-trip", cpus=cpus)
        yield reference(bench, "gRPC C++, Unix socket", "caisson_bench_grpc", "round-trip", "unix:SCRATCH/g", cpus=cpus)
    except Unavailable as reason:
        yield Measurement("iceoryx, gRPC", 0, "µs", "", note=f"not available: {reason}", is_reference=True)


def same_cpu(bench):
    cpus = one_cpu()
    floor = eventfd(bench, cpus)
    shm, figures = lane(bench, "shm lane", "round-trip", SHM, cpus=cpus)
    rest = list(others(bench, cpus))
    if figures:
        shm.against(floor, Bar("≤ 1.3 × eventfd and epoll", shm.value <= 1.3 * floor.value))
        for iceoryx in (made for made in rest if made.what.startswith("iceoryx W")):
            shm.bars.append(Bar("below iceoryx", shm.value < iceoryx.value))
    yield shm
    for what, address in (("ZeroMQ ipc lane", IPC), ("inproc lane, one loop", INPROC)):
        yield lane(bench, what, "round-trip", address, cpus=cpus)[0].against(floor)
    yield floor
    yield from rest


def spread(bench):
    cpus = different_cpus()
    line = reference(bench, "cache line", "caisson_bench_raw", "cache-line", cpus=cpus)
    spinning, figures = lane(bench, "shm lane, spinning", "round-trip", SHM, "--spin", cpus=cpus)
    if figures:
        spinning.against(line, Bar("≤ 5 × cache line", spinning.value <= 5 * line.value))
    yield spinning
    yield line
    floor = eventfd(bench, cpus)
    for what, address in (("shm lane, sleeping", SHM), ("ZeroMQ ipc lane", IPC)):
        yield lane(bench, what, "round-trip", address, cpus=cpus)[0].against(floor)
    yield floor
    yield from others(bench, cpus)


def one_way(bench):
    cpus = different_cpus()
    ring = reference(bench, "bare ring", "caisson_bench_raw", "ring", cpus=cpus, unit=RATE)
    alone = reference(bench, "ZeroMQ alone, ipc", "caisson_bench_zmq", "one-way", "ipc://SCRATCH/z", cpus=cpus,
                      unit=RATE)
    shm, figures = lane(bench, "shm lane", "one-way", SHM, cpus=cpus, unit=RATE)
    if figures:
        calls = figures["system_calls_per_message"]
        shm.against(ring, bench.rate_of(8_000_000, shm.value), Bar("≤ 0.05 system calls a message", calls <= 0.05))
    yield shm
    yield lane(bench, "ZeroMQ ipc lane", "one-way", IPC, cpus=cpus, unit=RATE)[0].against(alone)
    inproc = lane(bench, "inproc lane, one loop", "one-way", INPROC, cpus=one_cpu(), unit=RATE)[0]
    yield inproc.against(ring)
    yield ring
    yield alone


ROWS = [
    Row("lane-same-cpu", "lane round trip of 128 bytes, both ends asleep on one CPU", same_cpu),
    Row("lane-spread", "lane round trip of 128 bytes, ends on two CPUs", spread),
    Row("lane-one-way", "lane one way, 128 bytes, ends on two CPUs", one_way),
]
