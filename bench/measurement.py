"""What a row yields, and the bench it runs on."""

import dataclasses
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
from typing import Callable, Optional

import harness
import load
import processes

ROOT = pathlib.Path(__file__).resolve().parent.parent
RATE, SPAN, SIZE = "1/s", "µs", "MB"
UNPINNED = "not pinned"


# Requests/s of redis-benchmark GET, 32 connections, no pipelining, where the absolute bars were set.
REDIS_WHERE_BARS_WERE_SET = 98_500


@dataclasses.dataclass
class Bar:
    """What issue 6 asks for, and whether it is met."""

    text: str
    met: bool
    at_speed: Optional[bool] = None  # of an absolute one: whether it is when scaled by Bench.speed


def at_least(factor, value, reference):
    return Bar(f"≥ {factor:g} × {reference.what}", value >= factor * reference.value)


def at_most(limit, value, what, unit):
    return Bar(f"{what} ≤ {limit:g} {unit}", value <= limit)


@dataclasses.dataclass
class Measurement:
    """One line of the table. `value` in `unit`: 1/s is better when higher, µs and MB when lower."""

    what: str
    value: float
    unit: str
    command: str
    placement: str = UNPINNED
    p50_us: Optional[float] = None
    p99_us: Optional[float] = None
    cpu_us: dict = dataclasses.field(default_factory=dict)
    memory: dict = dataclasses.field(default_factory=dict)
    others_cpus: Optional[float] = None  # CPUs that processes of others kept busy meanwhile
    errors: int = 0
    note: str = ""
    is_reference: bool = False
    reference: str = ""
    ratio: Optional[float] = None
    bars: list = dataclasses.field(default_factory=list)

    def against(self, reference, *bars):
        """Says what it is compared with; `bars` are judged already."""
        self.reference, self.ratio = reference.what, self.value / reference.value if reference.value else None
        self.bars += bars
        return self


@dataclasses.dataclass
class Row:
    name: str
    about: str
    measure: Callable  # of a Bench, gives Measurements
    default: bool = True  # part of a run without names


class Bench:
    """What rows need to know, and the short cuts they share."""

    def __init__(self, build, references, seconds, peers, app_port):
        self.build, self.references = build, references
        self.seconds, self.peers, self.app_port = seconds, peers, app_port
        self.measured_speed = None

    @property
    def speed(self):
        """Of this machine as a share of that where the absolute bars were set: what redis-benchmark makes. Measured
        when it is asked for first."""
        if self.measured_speed is None:
            with harness.Redis() as redis:
                made = load.redis_benchmark(redis, self.seconds, ["-d", "128", "-r", "1000", "-t", "get"])
            self.measured_speed = made["rate"] / REDIS_WHERE_BARS_WERE_SET
        return self.measured_speed

    def rate_of(self, limit, value):
        return Bar(f"≥ {limit:,} 1/s".replace(",", " "), value >= limit, value >= limit * self.speed)

    def cpu_of(self, limit, value, what):
        return Bar(f"{what} ≤ {limit:g} µs CPU", value <= limit, value <= limit / self.speed)

    def program(self, name):
        # Another version's build is measured with the programs of this one.
        for folder in (self.build / "bench-bin", ROOT / "build/release/bench-bin", self.references):
            if (folder / name).exists():
                return folder / name
        raise harness.Unavailable(f"{name} is not built")

    def run(self, what, name, *arguments, cpus=None, unit=SPAN, seconds=None, **more):
        """One of bench/programs to a Measurement of its round trip or rate. SCRATCH in an argument is a new folder."""
        words = [*arguments] + ([] if cpus is None else ["--cpus", f"{cpus[0]},{cpus[1]}"])
        words += ["--seconds", f"{seconds or self.seconds:g}"]
        with tempfile.TemporaryDirectory(prefix="caisson-bench-") as scratch:
            program = self.program(name)
            busy, used, clock = processes.busy_seconds(), load.load_seconds(), os.times().elapsed
            out = load.run([str(program), *[word.replace("SCRATCH", scratch) for word in words]])
            others = processes.busy_seconds() - busy - (load.load_seconds() - used)
            others /= os.times().elapsed - clock
        figures = json.loads(out.strip().splitlines()[-1])
        command = f"{program.relative_to(ROOT) if program.is_relative_to(ROOT) else program} {' '.join(words)}"
        value = figures.get("p50_us", figures.get("mean_us")) if unit == SPAN else figures["per_second"]
        if "system_calls_per_message" in figures:
            more["note"] = f"{figures['system_calls_per_message']:.4f} system calls per message"
        made = Measurement(what, value, unit, command.replace("SCRATCH", "/tmp"), placement(cpus),
                           p50_us=figures.get("p50_us"), p99_us=figures.get("p99_us"),
                           others_cpus=max(0, round(others, 2)), **more)
        if "cpu_us" in figures:
            made.cpu_us["asker"] = figures["cpu_us"]
        return made, figures

    def http(self, what, target, script, connections, arguments=(), pids=None, cpu=None, where=UNPINNED):
        """wrk against a runtime, a peer or nginx."""
        result = {}
        with load.spent(result, {**target.pids(), **(pids or {})}):
            result.update(load.wrk(target.url, script, connections, self.seconds, arguments, cpu))
        return Measurement(what, result["rate"], RATE, result["command"], where,
                           **{key: result[key] for key in ("p50_us", "p99_us", "cpu_us", "others_cpus", "errors")})

    def peers_http(self, ours, script, connections, arguments=()):
        """The same against every --peer."""
        for peer in self.peers:
            made = self.http(f"{ours.what}: {peer.name}", peer, script, connections, arguments)
            yield made.against(ours)


def placement(cpus):
    if cpus is None:
        return UNPINNED
    return "one CPU" if cpus[0] == cpus[1] else f"CPUs {cpus[0]} and {cpus[1]}"


def machine(build):
    """The machine without its name, and the commits of what was measured and of the programs that measured it."""
    def read(path, default=""):
        try:
            return pathlib.Path(path).read_text().strip()
        except OSError:
            return default

    def said(*command, folder=ROOT):
        if not shutil.which(command[0]):
            return ""
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stdout.strip()

    models = [line.split(":", 1)[1].strip() for line in read("/proc/cpuinfo").splitlines() if "model name" in line]
    return {
        "cpus": len(models), "model": models[0] if models else "", "kernel": said("uname", "-sr"),
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "none"),
        "hypervisor": said("systemd-detect-virt", "--vm") or "unknown",
        "memory_mb": int(read("/proc/meminfo").split()[1]) // 1024,
        "load_average": float(read("/proc/loadavg").split()[0]),
        "date": said("date", "-u", "+%Y-%m-%d %H:%M UTC"),
        "commit": said("git", "describe", "--always", "--dirty", folder=build),
        "bench_commit": said("git", "describe", "--always", "--dirty"),
    }
