"""GetState over gRPC: h2load, 4 connections with 8 streams each, one prebuilt body."""

import urllib.request

import load
from measurement import RATE, Measurement, Row
from rows.state import VALUE, redis_alone, runtime_on

METHOD = "/dapr.proto.runtime.v1.Dapr/GetState"


def framed(message):
    return b"\0" + len(message).to_bytes(4, "big") + message


def string_field(number, text):
    return bytes([number << 3 | 2, len(text)]) + text.encode()


def row_of(store):
    def measure(bench):
        with runtime_on(bench, store) as (runtime, redis):
            save = urllib.request.Request(runtime.url + "/v1.0/state/statestore", method="POST",
                                          data=('[{"key":"k","value":%s}]' % VALUE).encode(),
                                          headers={"content-type": "application/json"})
            urllib.request.urlopen(save, timeout=10).close()
            body = framed(string_field(1, "statestore") + string_field(2, "k"))
            result = {}
            with load.spent(result, {**runtime.pids(), **(redis.pids() if redis else {})}):
                result.update(load.h2load(runtime.grpc_port, METHOD, body, 4, 8, bench.seconds))
            latencies = load.h2load_latencies(runtime.grpc_port, METHOD, body, 4, 8)
            made = Measurement(f"GetState on {store}, 4 × 8", result["rate"], RATE, result["command"], **latencies,
                               **{key: result[key] for key in ("cpu_us", "others_cpus", "errors")})
            if not redis:
                yield made
                return
            alone = redis_alone(bench, redis, "get")
            both = made.cpu_us.get("gateway", 0) + made.cpu_us.get("state", 0)
            yield made.against(alone, bench.rate_of(120000, made.value), bench.cpu_of(8, both, "gateway and state"))
            yield alone
    return measure


ROWS = [Row(f"grpc-get-{store}", f"gRPC GetState on {store}, h2load 4 connections × 8 streams", row_of(store))
        for store in ("redis", "memory")]
