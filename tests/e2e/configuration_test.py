"""Configuration stores: apps read items and are told of changes, whatever dies meanwhile."""

import json
import os
import threading
import unittest
from urllib.parse import quote

from redis_server import RedisServer
from runtime import App, Runtime, component, wait_for

# Updates under way at once per subscription (capabilities/config/items/subscriptions.cpp): so many a killed
# process may have told without having noted it.
UNDER_WAY = 4


class ConfiguredApp(App):
    """Remembers the items it was told, in order: (key, item)."""

    def __init__(self, port=0):
        self.told = []
        super().__init__(port=port)

    def answer(self, received):
        if received.path.startswith("/configuration/") and received.method == "POST":
            with self.lock:
                self.told.extend(received.json()["items"].items())
        return super().answer(received)

    def versions(self, key):
        with self.lock:
            return [item.get("version") for k, item in self.told if k == key]

    def last(self):
        with self.lock:
            return dict(self.told)


def subscribe(runtime, store, keys=()):
    query = "&".join("key=" + quote(key) for key in keys)
    answer = runtime.http.get(f"/v1.0/configuration/{store}/subscribe?{query}")
    assert answer.status == 200, answer
    return answer.json()["id"]


def ready(runtime, store):
    if runtime.http is None:
        runtime.wait_until_healthy()
    wait_for(f"{store} is up", lambda: runtime.http.get(f"/v1.0/healthz?require={store}").status == 204)


def doubles(app):
    """How many (key, version) were told more than once."""
    with app.lock:
        pairs = [(key, item.get("version")) for key, item in app.told]
    return len(pairs) - len(set(pairs))


class LocalFileTest(unittest.TestCase):
    def test_an_app_reads_items_subscribes_is_told_and_unsubscribes(self):
        app = ConfiguredApp()
        self.addCleanup(app.close)
        runtime = Runtime(app, wait=False)
        path = os.path.join(runtime.folder, "flags.json")

        def write(items):
            with open(path + ".next", "w", encoding="utf-8") as file:
                json.dump(items, file)
            os.rename(path + ".next", path)
        write({"color": {"value": "red", "version": "1"}, "size": "7"})
        runtime.write_resource("flags.yaml", component("flags", "configuration.local.file", {"file": path}))
        runtime.write_resource("till.yaml", component("tills", "configuration.local.file", {"file": path}, ["till"]))
        with runtime:
            ready(runtime, "flags")
            http = runtime.http

            self.assertEqual(http.get("/v1.0/configuration/flags?key=color").json(),
                             {"color": {"value": "red", "version": "1"}})
            self.assertEqual(len(http.get("/v1.0-alpha1/configuration/flags").json()), 2)
            self.assertEqual(http.get("/v1.0/configuration/flags?key=none").status, 204)
            self.assertEqual(http.get("/v1.0/configuration/tills").json()["errorCode"],
                             "ERR_CONFIGURATION_STORE_NOT_FOUND")
            subscription = subscribe(runtime, "flags", ["color"])
            write({"color": {"value": "blue", "version": "2"}})
            [update] = wait_for("the update", lambda: app.received("/configuration/flags/color"))
            self.assertEqual(update.json(), {"id": subscription, "items": {"color": {"value": "blue", "version": "2"}}})
            ended = http.get(f"/v1.0/configuration/flags/{subscription}/unsubscribe")
            self.assertEqual((ended.status, ended.json()), (200, {"ok": True}))
            again = http.get(f"/v1.0/configuration/flags/{subscription}/unsubscribe")
            self.assertEqual((again.status, list(again.json())), (500, ["message"]))

            with open(path, "w", encoding="utf-8") as file:
                file.write("{\n\"color\": oops}")
            wait_for("the status says what is broken", lambda: "flags.json:2: " in runtime.caisson("status").stdout)
            self.assertEqual(http.get("/v1.0/configuration/flags?key=color").json()["color"]["value"], "blue")


class RedisTest(unittest.TestCase):
    def setUp(self):
        self.redis = RedisServer(password="canary-pw")
        self.addCleanup(self.redis.close)
        self.app = ConfiguredApp()
        self.addCleanup(self.app.close)

    def runtime(self, metadata=None):
        """With the store `settings`, whose password comes from a secret store."""
        runtime = Runtime(self.app, wait=False)
        vault = os.path.join(runtime.folder, "vault.json")
        with open(vault, "w", encoding="utf-8") as file:
            json.dump({"redis": self.redis.password}, file)
        runtime.write_resource("vault.yaml", component("vault", "secretstores.local.file", {"secretsFile": vault}))
        text = component("settings", "configuration.redis", {"redisHost": self.redis.host, **(metadata or {})})
        runtime.write_resource("settings.yaml", text.rstrip("\n") + (
            "\n  - name: redisPassword\n    secretKeyRef:\n      name: redis\n      key: redis\n"
            "auth:\n  secretStore: vault\n"))
        return runtime

    def change(self, key, number):
        self.redis.command("SET", key, f"value {number}||v{number}")

    def wait_for_last(self, last):
        """Until the app was told these values last: {key: number}."""
        def told():
            has = self.app.last()
            return all(has.get(key, {}).get("version") == f"v{number}" for key, number in last.items())
        wait_for("every key's last value", told)

    def test_config_is_killed_while_keys_change_a_thousand_times(self):
        keys = [f"key{i}" for i in range(20)]
        with self.runtime() as runtime:
            ready(runtime, "settings")
            subscribe(runtime, "settings", keys[:10])
            subscribe(runtime, "settings", keys[10:])
            last = {}
            kills = 0
            pid = runtime.pid("config")
            for number in range(1000):
                key = keys[number % len(keys)]
                self.change(key, number)
                last[key] = number
                if number % 200 == 100:
                    if kills:
                        runtime.wait_for_new_pid("config", pid)
                    pid = runtime.kill("config")
                    kills += 1
            self.wait_for_last(last)

            # What waits is gone when a change made now has been told.
            self.change(keys[0], 1000)
            self.change(keys[-1], 1001)
            self.wait_for_last({keys[0]: 1000, keys[-1]: 1001})
            self.assertEqual(kills, 5)
            for key in keys:
                versions = [int(v[1:]) for v in self.app.versions(key)]
                self.assertEqual(versions, sorted(versions), f"{key} was told out of order")
            # An update that the killed process had under way may come once more; no other.
            self.assertLessEqual(doubles(self.app), kills * UNDER_WAY * 2)

    def test_a_version_that_was_noted_is_not_told_again_after_kills(self):
        with self.runtime() as runtime:
            ready(runtime, "settings")
            subscribe(runtime, "settings")
            for number in range(5):
                self.change("a", number)
                self.change("b", number)
                self.wait_for_last({"a": number, "b": number})
                # A barrier: subscribing writes to the same file, after everything noted before.
                subscribe(runtime, "settings", ["barrier"])
                pid = runtime.kill("config")
                runtime.wait_for_new_pid("config", pid)
                ready(runtime, "settings")
            self.change("end", 1)
            self.wait_for_last({"end": 1})

            self.assertEqual(doubles(self.app), 0)
            self.assertEqual(self.app.versions("a"), [f"v{number}" for number in range(5)])

    def test_what_changes_while_config_is_dead_is_told_when_it_is_back(self):
        with self.runtime() as runtime:
            self.change("a", 1)
            self.redis.command("SET", "gone", "1")
            ready(runtime, "settings")
            subscribe(runtime, "settings")
            pid = runtime.kill("config")
            self.change("a", 2)
            self.redis.command("DEL", "gone")
            runtime.wait_for_new_pid("config", pid)

            self.wait_for_last({"a": 2})
            wait_for("the deletion", lambda: self.app.last().get("gone") == {})

    def test_redis_restarts_while_keys_change(self):
        with self.runtime() as runtime:
            ready(runtime, "settings")
            subscribe(runtime, "settings")
            last = {}
            for number in range(200):
                if number == 100:
                    self.redis.restart()
                key = f"key{number % 10}"
                self.change(key, number)
                last[key] = number
            self.wait_for_last(last)

            self.change("end", 1000)
            self.wait_for_last({"end": 1000})
            self.assertEqual(doubles(self.app), 0)

    def test_a_dead_redis_delays_no_generation(self):
        with self.runtime() as runtime:
            ready(runtime, "settings")
            self.redis.pause()
            self.addCleanup(self.redis.resume)
            answers = []
            asking = [threading.Thread(target=lambda: answers.append(
                runtime.client().get("/v1.0/configuration/settings"))) for _ in range(20)]
            for thread in asking:
                thread.start()

            runtime.write_resource("s.yaml", component("late", "state.in-memory"))

            ready(runtime, "late")
            self.redis.resume()
            for thread in asking:
                thread.join()
            self.assertLessEqual({answer.status for answer in answers}, {204, 500})

    def test_an_app_that_restarts_is_told_once_under_its_new_subscription(self):
        with self.runtime() as runtime:
            ready(runtime, "settings")
            subscribe(runtime, "settings", ["a"])
            port = self.app.port
            self.app.close()
            wait_for("the runtime sees that the app is gone", lambda: "no longer reachable" in runtime.log())
            self.change("a", 1)
            self.app = ConfiguredApp(port)
            self.addCleanup(self.app.close)
            wait_for("the runtime sees the app", lambda: "incarnation 2" in runtime.log())

            renewed = subscribe(runtime, "settings", ["a"])
            self.change("a", 2)
            self.wait_for_last({"a": 2})

            ids = [r.json()["id"] for r in self.app.received("/configuration/settings/a") if "v2" in str(r.body)]
            self.assertEqual(ids, [renewed])


if __name__ == "__main__":
    unittest.main()
