"""Invocations of servers outside the runtime, and what an access control list forbids."""

import json
import os
import unittest

from runtime import App, Runtime, component, wait_for

CANARY = "canary-" + "c41f07d2aa"

ENDPOINT = """apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata:
  name: partner
spec:
  baseUrl: http://localhost:{port}/api
  headers:
  - name: X-Key
    secretKeyRef:
      name: partner:key
      key: partner:key
  - name: X-Region
    envRef: PARTNER_REGION
auth:
  secretStore: vault
"""

ACCESS = """apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata:
  name: access
spec:
  accessControl:
    defaultAction: deny
    policies:
    - appId: shop
      trustDomain: public
      namespace: default
      defaultAction: deny
      operations:
      - name: /open/*
        httpVerb: ["GET"]
        action: allow
"""


class ExternalTest(unittest.TestCase):
    def test_an_http_endpoint_with_a_secret_and_a_variable_among_its_headers(self):
        partner = App()
        self.addCleanup(partner.close)
        partner.answers["/api/orders"] = lambda received: (202, {"x-own": "back"}, b"taken: " + received.body)
        runtime = Runtime(wait=False, environment={"PARTNER_REGION": "north"})
        self.addCleanup(runtime.close)
        vault = os.path.join(runtime.folder, "vault.json")
        with open(vault, "w", encoding="utf-8") as file:
            json.dump({"partner": {"key": CANARY}}, file)
        runtime.write_resource("vault.yaml", component("vault", "secretstores.local.file", {"secretsFile": vault}))
        runtime.write_resource("partner.yaml", ENDPOINT.format(port=partner.port))
        runtime.start()
        runtime.wait_until_healthy()

        answer = wait_for("the secret store is there", lambda: ok(runtime.http.post(
            "/v1.0/invoke/partner/method/orders?a=1", "two apples", headers={"x-mine": "1"})))

        self.assertEqual((answer.status, answer.body, answer.headers["x-own"]), (202, b"taken: two apples", "back"))
        seen = partner.received("/api/orders")[-1]
        self.assertEqual((seen.headers["x-key"], seen.headers["x-region"], seen.headers["x-mine"]), (CANARY, "north", "1"))
        self.assertEqual(seen.path, "/api/orders?a=1")
        self.assertNotIn("dapr-caller-app-id", seen.headers)
        self.assertNotIn(CANARY, runtime.log())
        self.assertEqual(runtime.http.get("/v1.0/metadata").json()["httpEndpoints"], [{"name": "partner"}])

        runtime.remove_resource("partner.yaml")
        wait_for("the document is gone", lambda: runtime.http.get("/v1.0/invoke/partner/method/x").status == 500)

    def test_a_url_in_an_app_ids_place(self):
        partner = App()
        self.addCleanup(partner.close)
        closed = App()
        closed.close()
        with Runtime() as runtime:
            url = f"http://127.0.0.1:{partner.port}"

            by_path = runtime.http.get(f"/v1.0/invoke/{url}/method/orders")
            by_header = runtime.http.get("/stock", headers={"dapr-app-id": url})
            gone = runtime.http.get(f"/v1.0/invoke/http://127.0.0.1:{closed.port}/method/orders")

            self.assertEqual((by_path.status, by_header.status), (200, 200))
            self.assertEqual([received.path for received in partner.requests], ["/orders", "/stock"])
            self.assertEqual((gone.status, gone.json()["errorCode"]), (500, "ERR_DIRECT_INVOKE"))


def ok(answer):
    return answer if answer.status < 300 else None


class AccessControlTest(unittest.TestCase):
    def test_a_caller_may_do_what_its_policy_allows(self):
        cart = App()
        self.addCleanup(cart.close)
        runtime = Runtime(wait=False)
        self.addCleanup(runtime.close)
        apps, access = (os.path.join(runtime.folder, name) for name in ("apps.yaml", "access.yaml"))
        with open(apps, "w", encoding="utf-8") as file:
            file.write(f"- {{id: shop}}\n- {{id: other}}\n- {{id: cart, appPort: {cart.port}}}\n")
        with open(access, "w", encoding="utf-8") as file:
            file.write(ACCESS)
        runtime.flags += ["--apps", apps, "--config", access]
        runtime.start()
        runtime.wait_until_healthy()
        wait_for("the app is reachable",
                 lambda: runtime.http.get("/v1.0/invoke/cart/method/open/1").status == 200)
        other = runtime.client("other")
        self.addCleanup(other.close)

        by_verb = runtime.http.post("/v1.0/invoke/cart/method/open/1")
        by_path = runtime.http.get("/v1.0/invoke/cart/method/closed")
        by_caller = other.get("/v1.0/invoke/cart/method/open/1")

        for denied in (by_verb, by_path, by_caller):
            self.assertEqual((denied.status, denied.json()["errorCode"]), (403, "ERR_DIRECT_INVOKE"))
        self.assertEqual(cart.received("/closed"), [])


if __name__ == "__main__":
    unittest.main()
