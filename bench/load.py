"""The load generators, and what was spent meanwhile."""

import contextlib
import os
import pathlib
import re
import resource
import subprocess
import tempfile

import processes
from harness import Unavailable

BENCH = pathlib.Path(__file__).resolve().parent
UNITS = {"us": 1, "ms": 1e3, "s": 1e6, "m": 60e6}


def whole(seconds):
    """wrk and h2load take whole seconds."""
    return max(1, round(seconds))


def microseconds(text):
    number, unit = re.fullmatch(r"([\d.]+)([a-z]+)", text).groups()
    return float(number) * UNITS[unit]


LONGEST = 120  # seconds until a program hangs; none measures for so long


def run(command, cpu=None):
    """A load generator to its end, on one CPU or anywhere; what it printed."""
    if cpu is not None:
        command = ["taskset", "-c", str(cpu), *command]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{command[0]} hung") from None
    except FileNotFoundError:
        raise Unavailable(f"{command[0]} is not installed") from None
    if done.returncode != 0:
        raise Unavailable((done.stderr or done.stdout).strip().splitlines()[0] if done.stderr or done.stdout
                          else f"{command[0]} ended with {done.returncode}")
    return done.stdout


def wrk(url, script, connections, seconds, arguments=(), cpu=None):
    command = ["wrk", "-t1", f"-c{connections}", f"-d{whole(seconds)}s", "--latency", "-s",
               str(BENCH / "wrk" / script), url, "--", *arguments]
    out = run(command, cpu)
    errors = [int(count) for count in re.findall(r"Non-2xx or 3xx responses: (\d+)", out)]
    for counts in re.findall(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out):
        errors += map(int, counts)
    return {
        "command": f"wrk -t1 -c{connections} -d{whole(seconds)}s --latency -s bench/wrk/{script} URL"
                   + (f" -- {' '.join(arguments)}" if arguments else ""),
        "requests": int(re.search(r"(\d+) requests in", out).group(1)),
        "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)),
        "p50_us": microseconds(re.search(r"^\s+50%\s+(\S+)", out, re.M).group(1)),
        "p99_us": microseconds(re.search(r"^\s+99%\s+(\S+)", out, re.M).group(1)),
        "errors": sum(errors),
    }


def h2load(port, path, body, connections, streams, seconds):
    """Calls/s of one prebuilt gRPC body."""
    with tempfile.TemporaryDirectory(prefix="caisson-bench-") as folder:
        data = pathlib.Path(folder, "body")
        data.write_bytes(body)
        out = run(h2load_command(port, path, data, connections, streams, seconds))
    counts = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded", out)
    done, succeeded = int(counts.group(1)), int(counts.group(2))
    return {"command": " ".join(h2load_command("PORT", path, "BODY", connections, streams, seconds)),
            "requests": max(succeeded, 1), "errors": done - succeeded, "rate": succeeded / whole(seconds)}


def h2load_latencies(port, path, body, connections, streams):
    """p50 and p99 of one second; a run of its own, because h2load's log of single calls costs it speed."""
    with tempfile.TemporaryDirectory(prefix="caisson-bench-") as folder:
        data, log = pathlib.Path(folder, "body"), pathlib.Path(folder, "log")
        data.write_bytes(body)
        run(h2load_command(port, path, data, connections, streams, 1, f"--log-file={log}"))
        spans = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    return {"p50_us": spans[len(spans) // 2], "p99_us": spans[len(spans) * 99 // 100]}


def h2load_command(port, path, body, connections, streams, seconds, *more):
    return ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{whole(seconds)}", "-d", str(body), *more,
            "-H", "content-type: application/grpc", "-H", "te: trailers", f"http://127.0.0.1:{port}{path}"]


def redis_benchmark(redis, seconds, command):
    """Requests/s of 32 connections without pipelining; `command`: arguments that say what."""
    command = ["redis-benchmark", "-c", "32", "-P", "1", "-n", str(int(max(seconds, 0.2) * 60000)), "--csv", *command]
    line = run([command[0], "-p", str(redis.port), *command[1:]]).splitlines()[-1]
    fields = [field.strip('"') for field in line.split('","')]
    return {"command": " ".join(command[:8] + [c if len(c) < 40 else "VALUE" for c in command[8:]]),
            "rate": float(fields[1]), "p50_us": float(fields[4]) * 1e3, "p99_us": float(fields[6]) * 1e3}


@contextlib.contextmanager
def spent(result, pids):
    """Adds to `result` the CPU time per request of each process and of the load generator, and how much of the
    machine others took. `result["requests"]` is there at the end of the block."""
    before = {name: processes.cpu_seconds(pid) for name, pid in pids.items()}
    generator, all_before = load_seconds(), processes.busy_seconds()
    clock = os.times().elapsed
    yield
    used = {name: processes.cpu_seconds(pid) - before[name] for name, pid in pids.items()}
    used["load"] = load_seconds() - generator
    others = processes.busy_seconds() - all_before - sum(used.values())
    result["cpu_us"] = {name: seconds * 1e6 / result["requests"] for name, seconds in used.items()
                        if seconds * 1e6 / result["requests"] >= 0.01}
    result["others_cpus"] = max(0, round(others / (os.times().elapsed - clock), 2))


def load_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
