"""Invocations over gRPC between real apps: InvokeService, HTTP to a gRPC app, and proxied calls of all four
kinds, with metadata, trailers and status."""

import os
import tempfile
import threading
import unittest
from concurrent import futures

import grpc

from runtime import App, Runtime, wait_for, PATIENCE


def as_is(message):
    return message


class Calculator(grpc.GenericRpcHandler):
    """Messages are bytes; needs no generated code. Keeps the metadata it was called with."""

    def __init__(self):
        self.seen = []
        self.failures = 0  # the next calls of Fail end as UNAVAILABLE

    def service(self, details):
        self.seen.append(dict(details.invocation_metadata))
        kinds = {
            "/calc.Calculator/Double": (grpc.unary_unary_rpc_method_handler, self.double),
            "/calc.Calculator/Count": (grpc.unary_stream_rpc_method_handler, self.count),
            "/calc.Calculator/Join": (grpc.stream_unary_rpc_method_handler, self.join),
            "/calc.Calculator/Echo": (grpc.stream_stream_rpc_method_handler, self.echo),
            "/calc.Calculator/Fail": (grpc.unary_unary_rpc_method_handler, self.fail),
            "/dapr.proto.runtime.v1.AppCallback/OnInvoke": (grpc.unary_unary_rpc_method_handler, self.on_invoke),
        }
        if details.method not in kinds:
            return None
        make, handler = kinds[details.method]
        return make(handler, request_deserializer=as_is, response_serializer=as_is)

    def double(self, request, context):
        context.send_initial_metadata((("x-leading", "first"),))
        context.set_trailing_metadata((("x-last", "bye"), ("x-blob-bin", b"\x00\x01")))
        return request * 2

    def count(self, request, context):
        for number in range(int(request)):
            yield str(number).encode()

    def join(self, requests, context):
        return b",".join(requests)

    def echo(self, requests, context):
        for request in requests:
            yield request

    def fail(self, request, context):
        if self.failures > 0:
            self.failures -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        context.set_trailing_metadata((("x-last", "bye"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "never \u00e9")

    def on_invoke(self, request, context):
        # InvokeResponse: data (1) is an Any whose value (2) is the request as it came.
        value = b"\x12" + varint(len(request)) + request
        return b"\x0a" + varint(len(value)) + value + b"\x12\x0atext/plain"


def varint(number):
    out = b""
    while number >= 128:
        out += bytes((number & 127 | 128,))
        number >>= 7
    return out + bytes((number,))


def field(number, content):
    return bytes((number << 3 | 2,)) + varint(len(content)) + content


def invoke_request(app, method, data, verb):
    message = field(1, method) + field(2, field(2, data)) + field(4, b"\x08" + bytes((verb,)))
    return field(1, app) + field(3, message)


class InvokeGrpcTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.calculator = Calculator()
        cls.server = grpc.server(futures.ThreadPoolExecutor(8), handlers=(cls.calculator,))
        port = cls.server.add_insecure_port("127.0.0.1:0")
        cls.server.start()
        cls.cart = App()
        cls.cart.answers["/orders"] = lambda received: (201, {"x-own": "back"}, b"order of " + received.body)
        cls.cart.answers["/missing"] = lambda received: (404, {}, b"there is none")
        cls.folder = tempfile.TemporaryDirectory(prefix="caisson-e2e-apps-")
        apps = os.path.join(cls.folder.name, "apps.yaml")
        with open(apps, "w") as file:
            file.write(f"- {{id: shop}}\n- {{id: calc, appPort: {port}, appProtocol: grpc}}\n"
                       f"- {{id: cart, appPort: {cls.cart.port}}}\n")
        cls.runtime = Runtime(app_id="shop", flags=("--apps", apps), resources={"policies.yaml": POLICIES})
        cls.runtime.__enter__()
        wait_for("the apps are reachable", lambda: cls.runtime.http.get("/v1.0/invoke/calc/method/x").status == 200)
        cls.channel = grpc.insecure_channel(f"127.0.0.1:{cls.grpc_port('shop')}")

    @classmethod
    def tearDownClass(cls):
        cls.channel.close()
        cls.runtime.close()
        cls.server.stop(None)
        cls.cart.close()
        cls.folder.cleanup()

    @classmethod
    def grpc_port(cls, app_id):
        return next(app["grpc"] for app in cls.runtime.gateway_json()["apps"] if app["id"] == app_id)

    def call(self, kind, method, request, *metadata, app="calc"):
        call = getattr(self.channel, kind)(method, request_serializer=as_is, response_deserializer=as_is)
        return call(request, metadata=(("dapr-app-id", app),) + metadata, timeout=PATIENCE)

    def test_a_unary_call_with_metadata_both_ways(self):
        call = self.channel.unary_unary("/calc.Calculator/Double", as_is, as_is)

        answer, done = call.with_call(b"ab", timeout=PATIENCE, metadata=(
            ("dapr-app-id", "calc"), ("x-mine", "1"), ("x-mine-bin", b"\x00\xff")))

        self.assertEqual(answer, b"abab")
        self.assertIn(("x-leading", "first"), done.initial_metadata())
        self.assertIn(("x-last", "bye"), done.trailing_metadata())
        self.assertIn(("x-blob-bin", b"\x00\x01"), done.trailing_metadata())
        seen = self.calculator.seen[-1]
        self.assertEqual((seen["x-mine"], seen["x-mine-bin"]), ("1", b"\x00\xff"))
        self.assertEqual((seen["dapr-caller-app-id"], seen["dapr-callee-app-id"]), ("shop", "calc"))
        self.assertNotIn("dapr-app-id", seen)

    def test_streams_of_all_kinds(self):
        numbers = list(self.call("unary_stream", "/calc.Calculator/Count", b"300"))
        joined = self.call("stream_unary", "/calc.Calculator/Join", iter([b"a", b"b", b"c"]), ("dapr-stream", "true"))

        self.assertEqual(numbers, [str(number).encode() for number in range(300)])
        self.assertEqual(joined, b"a,b,c")

    def test_a_conversation(self):
        turn = threading.Semaphore(1)

        def questions():
            for number in range(20):
                turn.acquire()  # the next question only after the answer to the last
                yield str(number).encode()
        answers = []
        for answer in self.call("stream_stream", "/calc.Calculator/Echo", questions(), ("dapr-stream", "1")):
            answers.append(answer)
            turn.release()

        self.assertEqual(answers, [str(number).encode() for number in range(20)])

    def test_big_messages_and_gzip(self):
        call = self.channel.unary_unary("/calc.Calculator/Double", as_is, as_is)
        big = os.urandom(1_500_000)

        plain = call(big, timeout=PATIENCE, metadata=(("dapr-app-id", "calc"),))
        packed = call(b"x" * 500_000, timeout=PATIENCE, metadata=(("dapr-app-id", "calc"),),
                      compression=grpc.Compression.Gzip)

        self.assertEqual(plain, big * 2)
        self.assertEqual(packed, b"x" * 1_000_000)

    def test_a_status_with_its_text_and_trailers(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.call("unary_unary", "/calc.Calculator/Fail", b"", app="calc")

        self.assertEqual(caught.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
        self.assertEqual(caught.exception.details(), "never \u00e9")
        self.assertIn(("x-last", "bye"), caught.exception.trailing_metadata())

    def test_a_policy_repeats_what_the_app_refuses(self):
        self.calculator.failures = 2

        with self.assertRaises(grpc.RpcError) as caught:
            self.call("unary_unary", "/calc.Calculator/Fail", b"")

        self.assertEqual(self.calculator.failures, 0)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)

    def test_a_second_message_under_a_policy_of_retries_is_a_failed_precondition(self):
        with self.assertRaises(grpc.RpcError) as caught:
            self.call("stream_unary", "/calc.Calculator/Join", iter([b"a", b"b"]))

        self.assertEqual(caught.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)

    def test_what_cannot_be_proxied(self):
        for app, code in (("nobody", grpc.StatusCode.UNKNOWN), ("cart", grpc.StatusCode.FAILED_PRECONDITION)):
            with self.assertRaises(grpc.RpcError) as caught:
                self.call("unary_unary", "/calc.Calculator/Double", b"", app=app)
            self.assertEqual(caught.exception.code(), code)
        with self.assertRaises(grpc.RpcError) as caught:
            self.call("unary_unary", "/calc.Calculator/Nothing", b"")
        self.assertEqual(caught.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_invoke_service_of_http_and_grpc_apps(self):
        invoke = self.channel.unary_unary("/dapr.proto.runtime.v1.Dapr/InvokeService", as_is, as_is)

        answer, done = invoke.with_call(invoke_request(b"cart", b"orders", b"apples", 3), timeout=PATIENCE)
        of_grpc = invoke(invoke_request(b"calc", b"add", b"2+2", 0), timeout=PATIENCE)
        with self.assertRaises(grpc.RpcError) as caught:
            invoke(invoke_request(b"cart", b"missing", b"", 1), timeout=PATIENCE)

        self.assertIn(b"order of apples", answer)
        self.assertIn(("dapr-http-status", "201"), done.initial_metadata())
        self.assertIn(("x-own", "back"), done.initial_metadata())
        self.assertIn(b"2+2", of_grpc)
        self.assertEqual(caught.exception.code(), grpc.StatusCode.NOT_FOUND)
        self.assertEqual(caught.exception.details(), "Not Found")
        details = dict(caught.exception.trailing_metadata())["grpc-status-details-bin"]
        self.assertIn(b"there is none", details)

    def test_http_to_a_grpc_app(self):
        answer = self.runtime.http.request("PUT", "/v1.0/invoke/calc/method/add?with=2", body="2+2")

        self.assertEqual((answer.status, answer.headers["content-type"]), (200, "text/plain"))
        self.assertIn(b"add", answer.body)
        self.assertIn(b"with=2", answer.body)
        self.assertIn(b"2+2", answer.body)


POLICIES = """apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata:
  name: policies
spec:
  policies:
    retries:
      again:
        policy: constant
        duration: 10ms
        maxRetries: 3
        matching:
          gRPCStatusCodes: "14"
  targets:
    apps:
      calc:
        retry: again
"""

if __name__ == "__main__":
    unittest.main()
