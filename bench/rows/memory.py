"""Memory of a whole runtime, idle and after load, process by process."""

import harness
import load
import processes
from measurement import SIZE, Measurement, Row, at_most
from rows.invoke import RUNTIME_PATH


def now(runtime, what):
    by_process = {name: processes.memory(pid) for name, pid in runtime.pids().items()}
    total = sum(one["pss_kib"] for one in by_process.values()) / 1024
    return Measurement(what, round(total, 1), SIZE, "grep Pss: /proc/PID/smaps_rollup", memory=by_process)


def measure(bench):
    with harness.Redis() as redis, harness.App(bench.program("caisson_bench_app"), bench.app_port) as app:
        documents = [redis.component("statestore", "state.redis"), redis.component("pubsub", "pubsub.redis")]
        with harness.Runtime(bench.build, "\n---\n".join(documents), ["--app-port", str(app.port)],
                             "state,statestore,pubsub,pubsub,invoke") as runtime:
            idle = now(runtime, "whole runtime, idle, PSS")
            idle.note = f"start to healthy {runtime.start_seconds * 1000:.0f} ms"
            yield idle
            for script, arguments in (("state_set.lua", []), ("state_get.lua", []), ("publish.lua", ["taken"]),
                                      ("get.lua", [RUNTIME_PATH])):
                load.wrk(runtime.url, script, 32, bench.seconds, arguments)
            loaded = now(runtime, "whole runtime, after load, PSS")
            loaded.note = "state SET and GET, publish and delivery, invoke at 32 connections each"
            yield loaded.against(idle, at_most(40, loaded.value, "PSS", SIZE))


ROWS = [Row("memory", "memory of the whole runtime, idle and after load", measure)]
