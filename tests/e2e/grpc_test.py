"""gRPC through the whole runtime, with Google's own client against a private capability that serves the
four kinds of calls."""

import socket
import threading
import unittest

import grpc
from grpc_status import rpc_status

from runtime import PATIENCE, Runtime, wait_for

MIB = 1024 * 1024
STREAM = "/caisson.test.Rpc/"


def same(message):
    return message


class Rpcs:
    """The methods of the capability over one channel."""

    def __init__(self, port, **options):
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_receive_message_length", 64 * MIB)],
                                             **options)
        self.unary = self.channel.unary_unary(STREAM + "Unary", same, same)
        self.expand = self.channel.unary_stream(STREAM + "Expand", same, same)
        self.count = self.channel.stream_unary(STREAM + "Count", same, same)
        self.chat = self.channel.stream_stream(STREAM + "Chat", same, same)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()


class GrpcTest(unittest.TestCase):
    flags = ()
    environment = {}

    def setUp(self):
        self.runtime = Runtime(flags=self.flags, environment=self.environment)
        self.addCleanup(self.runtime.close)
        self.runtime.start()
        self.runtime.install_manifest("rpctest")
        self.capability = self.runtime.start_capability("rpctest")
        self.addCleanup(self.end_capability)
        self.port = self.runtime.gateway_json()["apps"][0]["grpc"]
        token = self.environment.get("DAPR_API_TOKEN")
        self.token = (("dapr-api-token", token),) if token else ()

        def answers():
            with Rpcs(self.port) as rpcs:
                try:
                    return rpcs.unary(b"hello", timeout=PATIENCE, metadata=self.token) == b"hello"
                except grpc.RpcError as error:
                    raise OSError(error) from error
        wait_for("the capability answers", answers)

    def end_capability(self):
        self.capability.terminate()
        self.capability.wait(PATIENCE)

    def failure(self, call):
        with self.assertRaises(grpc.RpcError) as failed:
            call()
        return failed.exception

    def admin(self, path):
        client = self.runtime.admin()
        try:
            return client.get(path)
        finally:
            client.close()

    def metric(self, name):
        for line in self.admin("/metrics").body.decode().splitlines():
            if line.startswith("caisson_" + name) and not line.startswith("#"):
                return float(line.rsplit(" ", 1)[1])
        return 0


class CallsTest(GrpcTest):
    def test_a_unary_call_carries_metadata_both_ways(self):
        with Rpcs(self.port) as rpcs:
            answer, call = rpcs.unary.with_call(b"hi", metadata=(("x-mine", "1"), ("x-mine-bin", b"\x00\xff")))
        leading, trailing = dict(call.initial_metadata()), dict(call.trailing_metadata())
        self.assertEqual(answer, b"hi")
        self.assertEqual((leading["x-path"], leading["x-mine"]), (STREAM + "Unary", "1"))
        self.assertEqual(trailing["x-mine-bin"], b"\x00\xff")

    def test_a_failure_keeps_its_code_and_text(self):
        with Rpcs(self.port) as rpcs:
            error = self.failure(lambda: rpcs.unary("fail:5:nicht da: 100% \u00e4\n".encode()))
        self.assertEqual((error.code(), error.details()), (grpc.StatusCode.NOT_FOUND, "nicht da: 100% \u00e4\n"))

    def test_streams_of_all_kinds(self):
        with Rpcs(self.port) as rpcs:
            self.assertEqual([len(m) for m in rpcs.expand(b"20:100000")], [100000] * 20)
            self.assertEqual(rpcs.count(iter([b"a" * 70000] * 30)), b"30 2100000")
            chat = rpcs.chat(iter([b"one", b"two"]))
            self.assertEqual(list(chat), [b"one", b"two"])
            self.assertEqual(dict(chat.initial_metadata())["x-lead"], "yes")

    def test_a_conversation_goes_back_and_forth(self):
        said, heard = threading.Semaphore(0), []

        def requests():
            for i in range(5):
                yield b"%d" % i
                self.assertTrue(said.acquire(timeout=PATIENCE))

        with Rpcs(self.port) as rpcs:
            for answer in rpcs.chat(requests(), timeout=PATIENCE):
                heard.append(answer)
                said.release()
        self.assertEqual(heard, [b"0", b"1", b"2", b"3", b"4"])

    def test_packed_messages_are_unpacked(self):
        with Rpcs(self.port, compression=grpc.Compression.Gzip) as rpcs:
            self.assertEqual(rpcs.unary(b"z" * 100000), b"z" * 100000)
            self.assertEqual(rpcs.count(iter([b"z" * 50000] * 3)), b"3 150000")

    def test_big_messages_pass_up_to_the_limit(self):
        with Rpcs(self.port) as rpcs:
            self.assertEqual(len(rpcs.unary(b"q" * (4 * MIB))), 4 * MIB)
            self.assertEqual(len(rpcs.unary(b"big:12000000")), 12000000)
            error = self.failure(lambda: rpcs.unary(b"q" * (4 * MIB + 1)))
            self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)
        with Rpcs(self.port, compression=grpc.Compression.Gzip) as rpcs:
            error = self.failure(lambda: rpcs.unary(b"q" * (40 * MIB)))
            self.assertEqual(error.code(), grpc.StatusCode.RESOURCE_EXHAUSTED)

    def test_a_deadline_ends_the_call_here_and_there(self):
        with Rpcs(self.port) as rpcs:
            error = self.failure(lambda: rpcs.unary(b"wait", timeout=0.2))
        self.assertEqual(error.code(), grpc.StatusCode.DEADLINE_EXCEEDED)
        wait_for("the capability is told", lambda: self.metric("rpc_abandoned_total") == 1)

    def test_a_cancelled_call_is_cancelled_in_the_capability(self):
        with Rpcs(self.port) as rpcs:
            waiting = rpcs.unary.future(b"wait")
            chat = rpcs.chat(iter_forever(b"x"))
            next(chat)
            waiting.cancel()
            chat.cancel()
            wait_for("both are told", lambda: self.metric("rpc_abandoned_total") == 2)

    def test_a_slow_reader_stops_the_writer(self):
        with Rpcs(self.port) as rpcs:
            answers = rpcs.expand(b"1000:100000")
            next(answers)
            settled = []

            def written():
                settled.append(self.metric("rpc_bytes_written_total"))
                return len(settled) > 20 and settled[-1] == settled[-20]
            wait_for("the writer stands still", written)
            self.assertLess(settled[-1], 30e6)
            self.assertEqual(sum(1 for _ in answers), 999)

    def test_what_nobody_serves_is_unimplemented(self):
        with Rpcs(self.port) as rpcs:
            unknown = rpcs.channel.unary_unary("/caisson.test.Other/Unary", same, same)
            error = self.failure(lambda: unknown(b""))
        self.assertIn(error.code(), (grpc.StatusCode.UNIMPLEMENTED, grpc.StatusCode.UNKNOWN))

    def test_a_call_waits_for_the_next_instance(self):
        with Rpcs(self.port) as rpcs:
            self.capability.kill()
            self.capability.wait()
            # Until its end is noticed a call may still be sent to it, and then its outcome is unknown.
            wait_for("its end is noticed", lambda: not self.linked())
            waiting = rpcs.unary.future(b"patience", timeout=PATIENCE)
            self.capability = self.runtime.start_capability("rpctest")
            self.assertEqual(waiting.result(), b"patience")

    def test_a_call_that_was_taken_when_its_instance_died_has_an_unknown_outcome(self):
        with Rpcs(self.port) as rpcs:
            waiting = rpcs.unary.future(b"wait", timeout=PATIENCE)
            wait_for("it is taken", lambda: self.in_flight() == 1)
            self.capability.kill()
            self.capability.wait()
            error = self.failure(waiting.result)
            self.assertEqual(error.code(), grpc.StatusCode.UNKNOWN)
            reason = rpc_status.from_call(error).details[0].value
            self.assertIn(b"ERR_OUTCOME_UNKNOWN", reason)

    def instances(self):
        for capability in self.admin("/status").json()["capabilities"]:
            if capability["name"] == "rpctest":
                return capability["instances"]
        return []

    def linked(self):
        return any(instance["linked"] for instance in self.instances())

    def in_flight(self):
        return sum(instance["inFlight"] for instance in self.instances())

    def test_ending_finishes_what_runs(self):
        with Rpcs(self.port) as rpcs:
            done, go_on = threading.Event(), threading.Event()

            def requests():
                yield b"before"
                self.assertTrue(go_on.wait(PATIENCE))
                yield b"after"

            chat = rpcs.chat(requests(), timeout=PATIENCE)
            self.assertEqual(next(chat), b"before")
            ending = threading.Thread(target=lambda: (self.runtime.stop(), done.set()))
            ending.start()
            # The gateway takes no new connections once it drains.
            wait_for("it drains", lambda: not self.listens())
            go_on.set()
            self.assertEqual(next(chat), b"after")
            self.assertEqual(list(chat), [])
            ending.join(PATIENCE)
            self.assertTrue(done.is_set())

    def listens(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False


def iter_forever(first):
    yield first
    threading.Event().wait(PATIENCE)


class TokenTest(GrpcTest):
    environment = {"DAPR_API_TOKEN": "sesame"}

    def test_without_the_token_every_call_is_unauthenticated(self):
        with Rpcs(self.port) as rpcs:
            self.assertEqual(rpcs.unary(b"hi", metadata=self.token), b"hi")
            for metadata in ((), (("dapr-api-token", "wrong"),)):
                error = self.failure(lambda: rpcs.unary(b"hi", metadata=metadata))
                self.assertEqual(error.code(), grpc.StatusCode.UNAUTHENTICATED)
                self.assertIn(b"Unauthorized", rpc_status.from_call(error).details[0].value)
                self.assertNotIn("sesame", error.details())


if __name__ == "__main__":
    unittest.main()
