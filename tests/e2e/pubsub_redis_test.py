"""pubsub.redis under faults: the server is restarted, emptied and silent, the process is killed. Every
publish that was acknowledged arrives, and health says what is so."""

import json
import threading
import unittest

from redis_server import RedisServer
from runtime import App, Load, Runtime, wait_for

HEALTH = "/v1.0/healthz?require=events"


def publish(client, number):
    return client.post("/v1.0/publish/events/orders", {"n": number})


class PubsubRedisTest(unittest.TestCase):
    def setUp(self):
        self.redis = RedisServer()
        self.addCleanup(self.redis.close)
        self.app = App(subscriptions=[{"pubsubname": "events", "topic": "orders", "route": "/orders"}])
        self.addCleanup(self.app.close)
        self.runtime = self.enterContext(Runtime(
            app=self.app, resources={"events.yaml": self.redis.component("events", "pubsub.redis", self.metadata())}))
        self.wait_until_up()

    def metadata(self):
        return {"redeliverInterval": "500ms", "readTimeout": "1s"}

    def enterContext(self, manager):  # unittest has it from Python 3.11 on; this is 3.9's
        value = manager.__enter__()
        self.addCleanup(manager.__exit__, None, None, None)
        return value

    def is_up(self):
        return self.runtime.http.get(HEALTH).status == 204

    def wait_until_up(self):
        wait_for("the component is UP", self.is_up)

    def wait_until_down(self):
        wait_for("the component is DOWN", lambda: not self.is_up())

    def received(self):
        """How often each number arrived."""
        counts = {}
        for request in self.app.received("/orders"):
            number = request.json()["data"]["n"]
            counts[number] = counts.get(number, 0) + 1
        return counts

    def pending(self):
        return self.redis.command("XPENDING", "orders", "shop")[0]

    def all_arrive(self, load):
        load.stop()
        acknowledged = set(load.with_status(204))
        self.assertGreater(len(acknowledged), 0)

        def missing():
            return acknowledged - set(self.received())
        wait_for("every acknowledged publish arrives", lambda: not missing())
        wait_for("nothing stays pending", lambda: self.pending() == 0)
        return acknowledged

    def test_redis_is_killed_and_started_under_load(self):
        load = Load(self.runtime.http_port(), publish)
        for _ in range(3):
            load.wait_for_more()
            self.redis.kill()
            self.wait_until_down()
            self.redis.start()
            self.wait_until_up()
            load.wait_for_more()

        acknowledged = self.all_arrive(load)

        # What was in flight when the server died may arrive again; the rest did once.
        again = [number for number, times in self.received().items() if times > 1]
        self.assertLess(len(again), len(acknowledged) / 2 + 20)

    def test_redis_is_emptied_and_events_flow_again(self):
        # What is acknowledged and not yet delivered goes with it, so nothing is under way meanwhile.
        for number in range(5):
            self.assertEqual(publish(self.runtime.http, number).status, 204)
            wait_for("the event arrives", lambda: number in self.received())
            wait_for("nothing stays pending", lambda: self.pending() == 0)
            self.redis.command("FLUSHALL")
        self.assertEqual(publish(self.runtime.http, 5).status, 204)
        wait_for("the event arrives", lambda: 5 in self.received())
        self.wait_until_up()
        self.assertLess(self.runtime.log().count("was gone"), 10)

    def test_pubsub_is_killed_with_messages_in_hand(self):
        held, release = threading.Event(), threading.Event()
        self.addCleanup(release.set)

        def slow(_):
            held.set()
            release.wait(60)
            return 200, {}, b""
        self.app.answers["/orders"] = slow
        load = Load(self.runtime.http_port(), publish)
        load.wait_for_more()
        self.assertTrue(held.wait(30))

        pid = self.runtime.kill("pubsub")
        release.set()
        self.runtime.wait_for_new_pid("pubsub", pid)
        load.wait_for_more()

        self.all_arrive(load)
        # The same consumer as before: what it held came at once, nobody's lease had to run out.
        consumers = self.redis.command("XINFO", "CONSUMERS", "orders", "shop")
        self.assertEqual(len(consumers), 1)

    def test_a_failed_event_comes_again_and_is_counted_at_the_server(self):
        answers = [500, 500, 200]
        self.app.answers["/orders"] = lambda _: (answers.pop(0) if answers else 200, {}, b"")

        self.assertEqual(publish(self.runtime.http, 1).status, 204)

        wait_for("three attempts", lambda: self.received().get(1) == 3)
        wait_for("nothing stays pending", lambda: self.pending() == 0)

    def test_what_lies_in_the_stream_is_daprs(self):
        self.assertEqual(publish(self.runtime.http, 1).status, 204)

        (_, fields), = self.redis.command("XRANGE", "orders", "-", "+")

        self.assertEqual(fields[::2], [b"data", b"metadata"])
        event = json.loads(fields[1])
        self.assertEqual((event["specversion"], event["topic"], event["pubsubname"], event["data"]),
                         ("1.0", "orders", "events", {"n": 1}))
        self.assertIsInstance(json.loads(fields[3]), dict)

        # As daprd writes it.
        event.update(id="from-daprd", data={"n": 2})
        self.redis.command("XADD", "orders", "*", "data", json.dumps(event), "metadata", "{}")
        wait_for("it arrives", lambda: 2 in self.received())

    def test_a_silent_server_is_noticed(self):
        self.redis.pause()
        try:
            self.wait_until_down()
        finally:
            self.redis.resume()
        self.wait_until_up()
        self.assertEqual(publish(self.runtime.http, 7).status, 204)
        wait_for("the event arrives", lambda: 7 in self.received())


if __name__ == "__main__":
    unittest.main()
