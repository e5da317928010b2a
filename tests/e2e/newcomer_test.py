"""What a newcomer does first, on the embedded default: every capability, through separate processes."""

import json
import os
import unittest

from runtime import App, Runtime, component, wait_for

DECLARATIVE = """apiVersion: dapr.io/v2alpha1
kind: Subscription
metadata:
  name: refunds
spec:
  pubsubname: pubsub
  topic: refunds
  routes:
    default: /refunds
"""


class NewcomerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.app = App(subscriptions=[{"pubsubname": "pubsub", "topic": "orders", "route": "/orders"}])
        cls.addClassCleanup(cls.app.close)
        cls.runtime = Runtime(app=cls.app, default_resources=True)
        cls.runtime.__enter__()
        cls.addClassCleanup(cls.runtime.close)
        cls.http = cls.runtime.http

    def test_a_value_that_was_set_is_read_and_gone_after_a_delete(self):
        stored = self.http.post("/v1.0/state/statestore", [{"key": "cart", "value": {"items": 3}}])
        self.assertEqual(stored.status, 204, stored)

        got = self.http.get("/v1.0/state/statestore/cart")
        self.assertEqual((got.status, got.json()), (200, {"items": 3}))
        self.assertTrue(got.headers.get("etag"))

        self.assertEqual(self.http.delete("/v1.0/state/statestore/cart").status, 204)
        self.assertEqual(self.http.get("/v1.0/state/statestore/cart").status, 204)

    def test_a_write_with_a_stale_etag_is_refused_and_keeps_the_value(self):
        self.http.post("/v1.0/state/statestore", [{"key": "price", "value": 1}])
        etag = self.http.get("/v1.0/state/statestore/price").headers["etag"]
        self.http.post("/v1.0/state/statestore", [{"key": "price", "value": 2}])

        refused = self.http.post("/v1.0/state/statestore", [{"key": "price", "value": 3, "etag": etag}])

        self.assertEqual(refused.status, 409, refused)
        self.assertEqual(self.http.get("/v1.0/state/statestore/price").json(), 2)

    def test_a_published_event_reaches_the_app_that_asked_for_the_topic(self):
        published = self.http.post("/v1.0/publish/pubsub/orders", {"order": 17})
        self.assertEqual(published.status, 204, published)

        event = wait_for("the event arrives", lambda: self.app.received("/orders"))[0].json()

        self.assertEqual(event["data"], {"order": 17})
        self.assertEqual(event["topic"], "orders")
        self.assertEqual(event["pubsubname"], "pubsub")
        self.assertEqual(event["specversion"], "1.0")

    def test_a_declared_subscription_is_in_force_without_a_restart(self):
        self.runtime.write_resource("refunds.yaml", DECLARATIVE)

        def delivered():
            self.http.post("/v1.0/publish/pubsub/refunds", {"refund": 1})
            return self.app.received("/refunds")

        self.assertEqual(wait_for("the event arrives", delivered)[0].json()["data"], {"refund": 1})

    def test_a_secret_store_that_is_added_is_served_without_a_restart(self):
        path = os.path.join(self.runtime.folder, "secrets.json")
        with open(path, "w") as file:
            json.dump({"redis": {"password": "correct horse"}}, file)

        self.runtime.write_resource("vault.yaml", component("vault", "secretstores.local.file", {"secretsFile": path}))

        answer = wait_for("the secret is served",
                          lambda: (lambda a: a if a.status == 200 else None)(
                              self.http.get("/v1.0/secrets/vault/redis:password")))
        self.assertEqual(answer.json(), {"redis:password": "correct horse"})

    def test_the_metadata_names_app_and_components(self):
        metadata = self.http.get("/v1.0/metadata").json()

        self.assertEqual(metadata["id"], "shop")
        self.assertLessEqual({"statestore", "pubsub"}, {c["name"] for c in metadata["components"]})

    def test_an_app_is_invoked_by_its_id_with_its_answer_handed_back(self):
        self.app.answers["/hello"] = lambda r: (201, {"x-answer": "yes", "content-type": "text/plain"},
                                                b"got " + r.body)

        answer = self.http.post("/v1.0/invoke/shop/method/hello?a=b", "text", headers={"x-question": "q"})

        self.assertEqual((answer.status, answer.body, answer.headers.get("x-answer")), (201, b"got text", "yes"))
        received = self.app.received("/hello")[-1]
        self.assertEqual((received.path, received.headers.get("x-question")), ("/hello?a=b", "q"))

    def test_health_is_answered_in_whole_and_by_part(self):
        self.assertEqual(self.http.get("/v1.0/healthz").status, 204)
        self.assertEqual(self.http.get("/v1.0/healthz/outbound").status, 204)
        self.assertEqual(self.http.get("/v1.0/healthz?require=pubsub").status, 204)

    def test_an_unknown_store_is_a_clear_error(self):
        answer = self.http.get("/v1.0/state/nowhere/key")

        self.assertEqual(answer.status, 400, answer)
        self.assertEqual(answer.json()["errorCode"], "ERR_STATE_STORE_NOT_FOUND")

    def test_malformed_json_is_a_clear_error_and_the_connection_goes_on(self):
        answer = self.http.post("/v1.0/state/statestore", "[{", headers={"content-type": "application/json"})

        self.assertEqual(answer.status, 400, answer)
        self.assertEqual(answer.json()["errorCode"], "ERR_MALFORMED_REQUEST")
        self.assertEqual(self.http.get("/v1.0/healthz").status, 204)

    def test_one_scrape_holds_the_metrics_of_every_process(self):
        admin = self.runtime.admin()
        self.addCleanup(admin.close)

        metrics = admin.get("/metrics")

        self.assertEqual(metrics.status, 200)
        for process in (b"state", b"pubsub", b"config", b"invoke"):
            self.assertIn(process, metrics.body)


if __name__ == "__main__":
    unittest.main()
