"""Apps that speak gRPC: an app made with Google's server, called through the whole runtime by a private
capability that passes on what Google's client sends."""

import concurrent.futures
import threading
import unittest

import grpc

from runtime import PATIENCE, Runtime, wait_for

MIB = 1024 * 1024
APP = "/caisson.test.App/"
RELAY = "/caisson.test.Relay/"
HEALTH = "/dapr.proto.runtime.v1.AppCallbackHealthCheck/HealthCheck"


def same(message):
    return message


class GrpcApp(grpc.GenericRpcHandler):
    """Unary "fail" fails with code, text and a trailer; "wait" waits until it is cancelled; all else comes
    back. Chat sends back every message. List answers with `listed`. Notes the metadata of every call."""

    def __init__(self, port=0, listed=b"[1]"):
        self.listed, self.healthy = listed, True
        self.calls, self.waiting, self.cancelled = [], threading.Event(), threading.Event()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(8),
                                  options=[("grpc.max_receive_message_length", 64 * MIB), ("grpc.so_reuseport", 0)])
        self.server.add_generic_rpc_handlers((self,))
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.server.start()

    def service(self, details):
        metadata = {}
        for name, value in details.invocation_metadata:
            metadata[name] = value
        self.calls.append((details.method, metadata))
        if details.method == APP + "Unary":
            return grpc.unary_unary_rpc_method_handler(self.unary, same, same)
        if details.method == APP + "Chat":
            return grpc.stream_stream_rpc_method_handler(self.chat, same, same)
        if details.method == APP + "List":
            return grpc.unary_unary_rpc_method_handler(lambda *_: self.listed, same, same)
        if details.method == HEALTH:
            return grpc.unary_unary_rpc_method_handler(self.health, same, same)
        return None

    def unary(self, message, context):
        context.send_initial_metadata((("x-lead", "yes"),))
        if message == b"fail":
            context.set_trailing_metadata((("x-tail-bin", b"\x00\xff"),))
            context.abort(grpc.StatusCode.NOT_FOUND, "nicht da: 100% \u00e4")
        if message == b"wait":
            context.add_callback(self.cancelled.set)
            self.waiting.set()
            self.cancelled.wait(PATIENCE)
        return message

    def chat(self, messages, context):
        context.send_initial_metadata((("x-lead", "yes"),))
        for message in messages:
            yield message
        context.set_trailing_metadata((("x-tail", "t"),))

    def health(self, _, context):
        if not self.healthy:
            context.abort(grpc.StatusCode.UNAVAILABLE, "unwell")
        return b""

    def called(self, method):
        return [metadata for name, metadata in self.calls if name == method]

    def close(self):
        self.server.stop(0).wait()


class GrpcAppTest(unittest.TestCase):
    flags = ()

    def setUp(self):
        self.app = GrpcApp()
        self.addCleanup(lambda: self.app.close())
        self.runtime = Runtime(app=self.app, flags=["--app-protocol", "grpc", *self.flags],
                               environment={"APP_API_TOKEN": "secret"})
        self.addCleanup(self.runtime.close)
        self.runtime.start()
        self.runtime.install_manifest("apptest")
        self.capability = self.runtime.start_capability("apptest")
        self.addCleanup(self.end_capability)
        port = self.runtime.gateway_json()["apps"][0]["grpc"]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_receive_message_length", 64 * MIB)])
        self.addCleanup(self.channel.close)
        self.relay = self.channel.unary_unary(RELAY + "Unary", same, same)
        self.stream = self.channel.stream_stream(RELAY + "Stream", same, same)
        self.answer = self.channel.unary_unary(RELAY + "Answer", same, same)

    def end_capability(self):
        self.capability.terminate()
        self.capability.wait(PATIENCE)

    def wait_for_answer(self, expected):
        def answered():
            try:
                return self.answer(b"", timeout=PATIENCE) == expected
            except grpc.RpcError as error:
                raise OSError(error) from error
        wait_for(f"the app's answer is {expected!r}", answered)

    def unary(self, message, **rest):
        return self.relay.with_call(message, timeout=PATIENCE, metadata=(("x-method", APP + "Unary"), *rest.items()))


class CallsTest(GrpcAppTest):
    def setUp(self):
        super().setUp()
        self.wait_for_answer(b"1 true 0 [1]")

    def test_an_app_is_asked_once_and_called_with_its_token_and_trace(self):
        answer, call = self.unary(b"hello", **{"x-mine": "1"})

        self.assertEqual(answer, b"hello")
        self.assertEqual(dict(call.initial_metadata())["x-lead"], "yes")
        self.assertEqual(len(self.app.called(APP + "List")), 1)
        seen = self.app.called(APP + "Unary")[0]
        self.assertEqual((seen["x-mine"], seen["dapr-api-token"]), ("1", "secret"))
        self.assertRegex(seen["traceparent"], "^00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]$")  # the binary form is hidden here

    def test_a_failure_keeps_its_code_text_and_trailers(self):
        with self.assertRaises(grpc.RpcError) as failed:
            self.unary(b"fail")
        error = failed.exception
        self.assertEqual((error.code(), error.details()), (grpc.StatusCode.NOT_FOUND, "nicht da: 100% \u00e4"))
        self.assertEqual(dict(error.trailing_metadata())["x-tail-bin"], b"\x00\xff")

    def test_a_method_that_the_app_has_not_is_unimplemented(self):
        with self.assertRaises(grpc.RpcError) as failed:
            self.relay(b"", timeout=PATIENCE, metadata=(("x-method", APP + "None"),))
        self.assertEqual(failed.exception.code(), grpc.StatusCode.UNIMPLEMENTED)

    def test_streams_pass_in_both_directions_with_metadata_and_trailers(self):
        said, heard = threading.Semaphore(0), []

        def messages():
            yield b"one"
            said.acquire(timeout=PATIENCE)
            yield b"two"
            for _ in range(20):
                yield b"x" * 200_000

        chat = self.stream(messages(), timeout=PATIENCE, metadata=(("x-method", APP + "Chat"),))
        for message in chat:
            heard.append(message)
            said.release()
        self.assertEqual(heard[:2], [b"one", b"two"])
        self.assertEqual([len(m) for m in heard[2:]], [200_000] * 20)
        self.assertEqual(dict(chat.initial_metadata())["x-lead"], "yes")
        self.assertEqual(dict(chat.trailing_metadata())["x-tail"], "t")

    def test_a_call_that_its_client_gives_up_is_cancelled_at_the_app(self):
        call = self.relay.future(b"wait", timeout=PATIENCE, metadata=(("x-method", APP + "Unary"),))
        self.assertTrue(self.app.waiting.wait(PATIENCE))
        call.cancel()
        self.assertTrue(self.app.cancelled.wait(PATIENCE))

    def test_an_app_that_is_back_is_asked_again(self):
        port = self.app.port
        self.app.close()
        wait_for("the app is gone", lambda: self.answer(b"").startswith(b"1 false"))
        with self.assertRaises(grpc.RpcError) as failed:
            self.unary(b"hello")
        self.assertEqual(failed.exception.code(), grpc.StatusCode.UNAVAILABLE)

        self.app = GrpcApp(port, listed=b"[2]")
        self.wait_for_answer(b"2 true 0 [2]")
        self.assertEqual(self.unary(b"hello")[0], b"hello")


class HealthTest(GrpcAppTest):
    flags = ("--enable-app-health-check", "--app-health-probe-interval", "1", "--app-health-threshold", "1")

    def test_an_app_that_is_not_well_is_not_called_until_it_is(self):
        self.wait_for_answer(b"1 true 0 [1]")
        self.app.healthy = False
        wait_for("the app is not well", lambda: self.answer(b"").startswith(b"1 false"))
        with self.assertRaises(grpc.RpcError) as failed:
            self.unary(b"hello")
        self.assertEqual(failed.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
        self.assertIn("not in a healthy state", failed.exception.details())

        self.app.healthy = True
        self.wait_for_answer(b"1 true 0 [1]")
        self.assertEqual(self.unary(b"hello")[0], b"hello")


if __name__ == "__main__":
    unittest.main()
