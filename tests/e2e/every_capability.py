"""One call of each capability, whatever joins them: used by tests of the lanes and of --in-process."""

import json
import os

from runtime import App, Runtime, component, wait_for


class Shop:
    """with Shop(flags) as shop: a runtime with a component for each capability, and its app."""

    def __init__(self, flags=(), annotate=lambda name, text: text):
        self.app = App(subscriptions=[{"pubsubname": "pubsub", "topic": "orders", "route": "/orders"}])
        self.runtime = Runtime(app=self.app, flags=flags)
        folder = self.runtime.folder
        with open(os.path.join(folder, "secrets.json"), "w") as file:
            json.dump({"key": "canary"}, file)
        with open(os.path.join(folder, "flags.json"), "w") as file:
            json.dump({"color": {"value": "red", "version": "1"}}, file)
        for name, kind, metadata in (
                ("statestore", "state.sqlite", {}), ("pubsub", "pubsub.sqlite", {}), ("lockstore", "lock.sqlite", {}),
                ("vault", "secretstores.local.file", {"secretsFile": os.path.join(folder, "secrets.json")}),
                ("flags", "configuration.local.file", {"file": os.path.join(folder, "flags.json")})):
            self.runtime.write_resource(f"{name}.yaml", annotate(name, component(name, kind, metadata)))

    def __enter__(self):
        self.runtime.__enter__()
        return self

    def __exit__(self, *error):
        self.runtime.__exit__(*error)
        self.app.close()

    def call_each(self, test):
        http = self.runtime.http
        for name in ("statestore", "pubsub", "lockstore", "vault", "flags"):
            wait_for(f"{name} is up", lambda: http.get(f"/v1.0/healthz?require={name}").status == 204)

        test.assertEqual(http.post("/v1.0/state/statestore", [{"key": "a", "value": {"n": 1}}]).status, 204)
        test.assertEqual(http.get("/v1.0/state/statestore/a").json(), {"n": 1})
        large = "x" * 1_000_000
        test.assertEqual(http.post("/v1.0/state/statestore", [{"key": "large", "value": large}]).status, 204)
        test.assertEqual(http.get("/v1.0/state/statestore/large").json(), large)
        test.assertEqual(http.post("/v1.0/publish/pubsub/orders", {"order": 17}).status, 204)
        arrived = wait_for("the event arrives", lambda: self.app.received("/orders"))
        test.assertEqual(arrived[0].json()["data"], {"order": 17})
        test.assertEqual(http.post("/v1.0/invoke/shop/method/hello", "hi").status, 200)
        test.assertEqual(self.app.received("/hello")[0].body, b"hi")
        test.assertEqual(http.get("/v1.0/configuration/flags?key=color").json()["color"]["value"], "red")
        test.assertEqual(http.get("/v1.0/secrets/vault/key").json(), {"key": "canary"})
        lock = {"resourceId": "cart", "lockOwner": "me", "expiryInSeconds": 60}
        test.assertEqual(http.post("/v1.0-alpha1/lock/lockstore", lock).json(), {"success": True})
        test.assertEqual(http.post("/v1.0-alpha1/lock/lockstore", lock).json(), {"success": False})
        test.assertEqual(http.post("/v1.0-alpha1/unlock/lockstore", lock).json(), {"status": 0})
