"""Service invocation of a local app against nginx proxying to the same app."""

import harness
from measurement import Row, at_least

APP_PATH = "/hello"
RUNTIME_PATH = "/v1.0/invoke/bench/method/hello"


def measure(bench):
    with harness.App(bench.program("caisson_bench_app"), bench.app_port) as app:
        with harness.Runtime(bench.build, harness.component("statestore", "state.in-memory"),
                             ["--app-port", str(app.port)], "invoke") as runtime:
            ours = bench.http("invoke a local app, 32 connections", runtime, "get.lua", 32, [RUNTIME_PATH], app.pids())
        proxies = []
        # As many workers as the gateway has threads, and nginx's own default; compared with the faster.
        for workers in (1, "auto"):
            with harness.Nginx(app.port, workers) as nginx:
                proxy = bench.http(f"nginx, worker_processes {workers}", nginx, "get.lua", 32, [APP_PATH], app.pids())
                proxy.is_reference = True
                proxies.append(proxy)
        fastest = max(proxies, key=lambda proxy: proxy.value)
        yield ours.against(fastest, at_least(0.8, ours.value, fastest))
        yield from proxies
        yield from bench.peers_http(ours, "get.lua", 32, [RUNTIME_PATH])


ROWS = [Row("invoke", "invoke a local app over HTTP, 32 connections", measure)]
