"""Publish and subscribe by gRPC through the whole runtime, with Google's client and server."""

import concurrent.futures
import os
import queue
import subprocess
import sys
import tempfile
import unittest

import grpc

from runtime import PATIENCE, Runtime, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DAPR = "/dapr.proto.runtime.v1.Dapr/"


def load_messages():
    """Python's form of our .proto files, made for this run."""
    folder = tempfile.TemporaryDirectory()
    files = ["dapr/proto/common/v1/common.proto", "dapr/proto/runtime/v1/appcallback.proto",
             "dapr/proto/runtime/v1/pubsub.proto"]
    subprocess.run(["protoc", f"-I{ROOT}/proto", f"--python_out={folder.name}", *files], check=True)
    sys.path.insert(0, folder.name)
    from dapr.proto.runtime.v1 import appcallback_pb2, pubsub_pb2
    sys.path.remove(folder.name)
    return folder, appcallback_pb2, pubsub_pb2


FOLDER, APP, PUBSUB = load_messages()


class Stream:
    """A streaming subscription; the channel is its own, so that closing it is what a dead app looks like."""

    def __init__(self, port, topic):
        self.channel = grpc.insecure_channel(f"127.0.0.1:{port}")
        self.out = queue.Queue()
        first = PUBSUB.SubscribeTopicEventsRequestAlpha1()
        first.initial_request.pubsub_name = "pubsub"
        first.initial_request.topic = topic
        self.out.put(first)
        call = self.channel.stream_stream(DAPR + "SubscribeTopicEventsAlpha1",
                                          PUBSUB.SubscribeTopicEventsRequestAlpha1.SerializeToString,
                                          PUBSUB.SubscribeTopicEventsResponseAlpha1.FromString)
        self.events = call(iter(self.out.get, None), wait_for_ready=True)
        assert next(self.events).HasField("initial_response")

    def next(self):
        return next(self.events).event_message

    def answer(self, event, status):
        message = PUBSUB.SubscribeTopicEventsRequestAlpha1()
        message.event_processed.id = event.id
        message.event_processed.status.status = status
        self.out.put(message)

    def close(self):
        self.out.put(None)
        self.channel.close()


class CallbackApp:
    """An app that speaks gRPC: what it subscribes to, and the events it got."""

    def __init__(self, subscriptions):
        self.events = queue.Queue()
        self.batches = queue.Queue()
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(4))
        handlers = {
            "ListTopicSubscriptions": grpc.unary_unary_rpc_method_handler(
                lambda *_: subscriptions, None, APP.ListTopicSubscriptionsResponse.SerializeToString),
            "OnTopicEvent": grpc.unary_unary_rpc_method_handler(
                self.on_event, APP.TopicEventRequest.FromString, APP.TopicEventResponse.SerializeToString),
        }
        alpha = {"OnBulkTopicEventAlpha1": grpc.unary_unary_rpc_method_handler(
            self.on_batch, APP.TopicEventBulkRequest.FromString, APP.TopicEventBulkResponse.SerializeToString)}
        self.server.add_generic_rpc_handlers((
            grpc.method_handlers_generic_handler("dapr.proto.runtime.v1.AppCallback", handlers),
            grpc.method_handlers_generic_handler("dapr.proto.runtime.v1.AppCallbackAlpha", alpha)))
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def on_event(self, event, _):
        self.events.put(event)
        return APP.TopicEventResponse()

    def on_batch(self, batch, _):
        self.batches.put(batch)
        response = APP.TopicEventBulkResponse()
        for entry in batch.entries:
            response.statuses.add(entry_id=entry.entry_id)
        return response

    def close(self):
        self.server.stop(None)


class PubsubGrpcTest(unittest.TestCase):
    def start(self, **options):
        runtime = Runtime(default_resources=True, **options)
        self.addCleanup(runtime.close)
        runtime.start()
        self.runtime = runtime
        self.port = runtime.gateway_json()["apps"][0]["grpc"]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")
        self.addCleanup(self.channel.close)

    def stream(self, topic):
        stream = Stream(self.port, topic)
        self.addCleanup(stream.close)
        return stream

    def publish(self, topic, data):
        call = self.channel.unary_unary(DAPR + "PublishEvent", PUBSUB.PublishEventRequest.SerializeToString,
                                        bytes)
        call(PUBSUB.PublishEventRequest(pubsub_name="pubsub", topic=topic, data=data, data_content_type="text/plain"),
             timeout=PATIENCE, wait_for_ready=True)

    def publish_bulk(self, topic, data):
        call = self.channel.unary_unary(DAPR + "BulkPublishEvent", PUBSUB.BulkPublishRequest.SerializeToString,
                                        PUBSUB.BulkPublishResponse.FromString)
        request = PUBSUB.BulkPublishRequest(pubsub_name="pubsub", topic=topic)
        for number, one in enumerate(data):
            request.entries.add(entry_id=str(number), event=one, content_type="text/plain")
        return call(request, timeout=PATIENCE, wait_for_ready=True)

    def test_a_stream_gets_what_is_published_and_its_verdicts_count(self):
        self.start()
        stream = self.stream("orders")

        self.publish("orders", b"one")
        first = stream.next()
        stream.answer(first, APP.TopicEventResponse.SUCCESS)
        self.assertEqual(list(self.publish_bulk("orders", [b"two", b"three"]).failedEntries), [])
        others = [stream.next(), stream.next()]

        self.assertEqual((first.data, first.topic, first.path), (b"one", "orders", "/"))
        self.assertEqual(sorted(event.data for event in others), [b"three", b"two"])

    def test_what_a_dead_app_did_not_answer_reaches_its_next_stream(self):
        self.start()
        stream = self.stream("orders")
        self.publish("orders", b"one")
        event = stream.next()

        stream.close()
        again = self.stream("orders").next()

        self.assertEqual(again.id, event.id)

    def test_nothing_is_lost_when_the_capability_dies_under_a_stream(self):
        self.start()
        stream = self.stream("orders")
        self.publish("orders", b"one")
        event = stream.next()

        self.runtime.kill("pubsub")
        try:
            again = stream.next()  # the gateway opened the stream anew
        except grpc.RpcError as error:
            self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE)
            again = self.stream("orders").next()

        self.assertEqual(again.id, event.id)

    def test_errors_have_codes(self):
        self.start()
        for pubsub, code in (("nowhere", grpc.StatusCode.INVALID_ARGUMENT), ("", grpc.StatusCode.INVALID_ARGUMENT)):
            call = self.channel.unary_unary(DAPR + "PublishEvent", PUBSUB.PublishEventRequest.SerializeToString,
                                            bytes)
            with self.assertRaises(grpc.RpcError) as failed:
                call(PUBSUB.PublishEventRequest(pubsub_name=pubsub, topic="t"), timeout=PATIENCE)
            self.assertEqual(failed.exception.code(), code)

    def test_an_app_that_speaks_grpc_gets_events_and_batches(self):
        subscriptions = APP.ListTopicSubscriptionsResponse()
        subscriptions.subscriptions.add(pubsub_name="pubsub", topic="single")
        bulk = subscriptions.subscriptions.add(pubsub_name="pubsub", topic="bulk")
        bulk.bulk_subscribe.enabled = True
        bulk.bulk_subscribe.max_messages_count = 3
        app = CallbackApp(subscriptions)
        self.addCleanup(app.close)
        self.start(flags=("--app-port", str(app.port), "--app-protocol", "grpc"))

        self.publish("single", b"one")
        self.publish_bulk("bulk", [b"1", b"2", b"3"])

        event = app.events.get(timeout=PATIENCE)
        self.assertEqual((event.data, event.data_content_type, event.extensions["pubsubname"]),
                         (b"one", "text/plain", "pubsub"))
        data = []
        while len(data) < 3:
            data += [entry.cloud_event.data for entry in app.batches.get(timeout=PATIENCE).entries]
        self.assertEqual(sorted(data), [b"1", b"2", b"3"])

    def test_metadata_names_streams(self):
        self.start()
        stream = self.stream("orders")

        def kinds():
            metadata = self.runtime.http.get("/v1.0/metadata").json()
            return [one["type"] for one in metadata.get("subscriptions", [])]
        wait_for("the stream stands in the metadata", lambda: kinds() == ["STREAMING"])
        stream.close()
        wait_for("it is gone", lambda: kinds() == [])


if __name__ == "__main__":
    unittest.main()
