"""pubsub.kafka through the whole runtime, with a real broker: its process is a compartment of its own, and
neither a broker that is away nor the end of that process loses what was acknowledged or touches anybody else."""

import os
import socket
import sys
import time
import unittest

from runtime import ROOT, App, Runtime, component, wait_for

sys.path.insert(0, os.path.join(ROOT, "tests", "kafka"))
from kafka_server import KafkaServer  # noqa: E402 (where it lies is known only now)

STORE = component("cart", "state.in-memory")
SUBSCRIPTION = {"pubsubname": "events", "topic": "orders", "route": "/orders"}
FAST = {"authType": "none", "initialOffset": "oldest", "heartbeatInterval": "300ms", "sessionTimeout": "3s",
        "backOffDuration": "200ms"}


def events(address):
    return component("events", "pubsub.kafka", {"brokers": address, **FAST})


def closed_port():
    """A port of this host that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Numbers:
    """An app that is given numbered events; `refuse` holds numbers it fails on."""

    def __init__(self):
        self.app = App([SUBSCRIPTION])
        self.refuse = set()
        self.app.answers["/orders"] = self.take

    def take(self, received):
        return (500 if received.json()["data"]["n"] in self.refuse else 200), {}, b""

    def got(self):
        return [r.json()["data"]["n"] for r in self.app.received("/orders")]


def publish(runtime, number, topic="orders"):
    return runtime.http.post(f"/v1.0/publish/events/{topic}?metadata.partitionKey=a", {"n": number}).status


def reason(runtime, name):
    """What the gateway's /status says hinders the component; empty while it is up."""
    admin = runtime.admin()
    try:
        status = admin.get("/status").json()
    finally:
        admin.close()
    for capability in status["capabilities"]:
        for instance in capability["instances"]:
            for one in instance["components"]:
                if one["name"] == name:
                    return one.get("reason") or ("" if one["state"] == "UP" else one["state"])
    raise KeyError(name)


class PubsubKafkaTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.kafka = KafkaServer().__enter__()  # ends what it started when it fails

    @classmethod
    def tearDownClass(cls):
        cls.kafka.close()

    def setUp(self):
        self.numbers = Numbers()
        self.addCleanup(self.numbers.app.close)

    def start(self, **rest):
        # A group and topic of each test's own: the broker is shared.
        self.app_id = f"shop-{self.id().rsplit('.', 1)[1][:40].replace('_', '-')}"
        topic = self.app_id + "-orders"
        self.numbers.app.subscriptions = [dict(SUBSCRIPTION, topic=topic)]
        runtime = Runtime(app=self.numbers.app, app_id=self.app_id,
                          resources={"cart.yaml": STORE, "events.yaml": events(self.kafka.address)}, **rest)
        runtime.__enter__()
        self.addCleanup(runtime.__exit__, None, None, None)
        self.publish = lambda number: publish(runtime, number, topic)
        return runtime

    def test_what_is_published_is_delivered_with_its_key_by_a_process_of_its_own(self):
        runtime = self.start()

        for number in range(20):
            self.assertEqual(self.publish(number), 204)

        wait_for("all are delivered", lambda: self.numbers.got() == list(range(20)))
        headers = self.numbers.app.received("/orders")[0].headers
        self.assertEqual(headers["__key"], "a")
        self.assertNotEqual(runtime.pid("pubsub.kafka"), runtime.pid("pubsub"))
        with open(f"/proc/{runtime.pid('pubsub')}/maps") as maps:
            self.assertNotIn("librdkafka", maps.read())

    def test_a_killed_process_loses_nothing_and_nobody_else_notices(self):
        runtime = self.start()
        self.numbers.refuse = {3}
        for number in range(6):
            self.assertEqual(self.publish(number), 204)
        wait_for("the third is being retried", lambda: self.numbers.got().count(3) > 1)

        killed = runtime.kill("pubsub.kafka")
        self.assertEqual(runtime.http.post("/v1.0/state/cart", [{"key": "a", "value": 1}]).status, 204)
        # Waits for the new process; one that the dying process may have taken says that nobody knows.
        wait_for("a publish succeeds", lambda: self.publish(6) == 204)
        runtime.wait_for_new_pid("pubsub.kafka", killed)
        self.numbers.refuse = set()

        wait_for("all are delivered", lambda: set(self.numbers.got()) == set(range(7)))
        acknowledged_first = self.numbers.got()
        self.assertLess(acknowledged_first.index(3), acknowledged_first.index(4), "order within a partition")

    def test_a_broker_that_restarts_is_found_again(self):
        runtime = self.start()
        self.assertEqual(self.publish(0), 204)
        wait_for("it is delivered", lambda: self.numbers.got() == [0])

        self.kafka.kill()
        try:
            wait_for("the status says so", lambda: reason(runtime, "events"))
            self.assertEqual(runtime.http.post("/v1.0/state/cart", [{"key": "a", "value": 1}]).status, 204)
        finally:
            self.kafka.start()

        wait_for("it works again", lambda: self.publish(1) == 204)
        wait_for("delivery goes on", lambda: 1 in self.numbers.got())
        wait_for("the status is good", lambda: reason(runtime, "events") == "")


class DeadBrokerTest(unittest.TestCase):
    def test_state_answers_at_once_although_the_broker_is_dead_at_the_start(self):
        resources = {"cart.yaml": STORE, "events.yaml": events(f"127.0.0.1:{closed_port()}")}
        with Runtime(resources=resources) as runtime:
            started = time.monotonic()
            self.assertEqual(runtime.http.post("/v1.0/state/cart", [{"key": "a", "value": 1}]).status, 204)
            took = time.monotonic() - started

            wait_for("the status says why", lambda: "refused" in reason(runtime, "events"))
            print(f"state answered after {took:.3f} s", file=sys.stderr)


if __name__ == "__main__":
    unittest.main()
