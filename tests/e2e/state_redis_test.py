"""state.redis behind a whole runtime: swapped in by YAML alone, with a server that restarts, falls silent
or is not there, and a state process that is killed."""

import json
import os
import unittest

from redis_server import RedisServer
from runtime import Load, Runtime, component, wait_for


def set_value(http, key, value, store="statestore", **item):
    return http.post(f"/v1.0/state/{store}", [{"key": key, "value": value, **item}])


class StateRedisTest(unittest.TestCase):
    def setUp(self):
        self.redis = RedisServer(password="s3cret")
        self.addCleanup(self.redis.close)

    def start(self, resources, **options):
        runtime = Runtime(resources=resources, **options)
        runtime.__enter__()
        self.addCleanup(runtime.close)
        self.addCleanup(lambda: any(e for _, e in getattr(self._outcome, "errors", [])) and runtime.dump_log())
        return runtime

    def redis_store(self, name="statestore", **metadata):
        return self.redis.component(name, "state.redis", metadata)

    def start_with_redis(self):
        runtime = self.start({"statestore.yaml": self.redis_store()})
        wait_for("the store serves", lambda: set_value(runtime.http, "first", 0).status == 204)
        return runtime

    def test_sqlite_is_swapped_for_redis_by_yaml_alone(self):
        runtime = self.start({"statestore.yaml": component("statestore", "state.sqlite")})
        http = runtime.http
        wait_for("sqlite serves", lambda: set_value(http, "cart", {"n": 1}).status == 204)

        def use_the_api():
            """What an app sees of a store, the same for both; `cart` is left with {"n": 3}."""
            seen = []
            seen.append(set_value(http, "cart", {"n": 1}).status)
            etag = http.get("/v1.0/state/statestore/cart").headers["etag"]
            seen.append(set_value(http, "cart", {"n": 2}, etag=etag).status)
            seen.append(set_value(http, "cart", {"n": 9}, etag=etag).status)
            seen.append(http.get("/v1.0/state/statestore/cart").json())
            seen.append(set_value(http, "lock", 1, options={"concurrency": "first-write"}).status)
            seen.append(set_value(http, "lock", 2, options={"concurrency": "first-write"}).status)
            seen.append(http.post("/v1.0/state/statestore/transaction", {"operations": [
                {"operation": "upsert", "request": {"key": "cart", "value": {"n": 3}}},
                {"operation": "delete", "request": {"key": "lock"}}]}).status)
            bulk = http.post("/v1.0/state/statestore/bulk", {"keys": ["cart", "lock"]}).json()
            seen.append([(item["key"], item.get("data")) for item in bulk])
            seen.append(http.get("/v1.0/state/statestore/lock").status)
            return seen

        with_sqlite = use_the_api()
        runtime.write_resource("statestore.yaml", self.redis_store())
        wait_for("redis serves", lambda: set_value(http, "probe", 1).status == 204 and self.redis.hash("shop||probe"))
        with_redis = use_the_api()

        self.assertEqual(with_redis, with_sqlite)
        self.assertEqual(with_redis[1:4], [204, 409, {"n": 2}])
        stored = self.redis.hash("shop||cart")
        self.assertEqual(json.loads(stored[b"data"]), {"n": 3})
        self.assertEqual(stored[b"version"], b"3")

    def test_what_daprd_wrote_is_read(self):
        runtime = self.start_with_redis()
        self.redis.command("HSET", "shop||theirs", "data", '{"from":"daprd"}')
        self.redis.command("HINCRBY", "shop||theirs", "version", 7)

        answer = runtime.http.get("/v1.0/state/statestore/theirs")

        self.assertEqual(answer.json(), {"from": "daprd"})
        self.assertEqual(answer.headers["etag"], "7")

    def test_an_etag_that_can_be_none_is_a_bad_request(self):
        runtime = self.start_with_redis()

        self.assertEqual(set_value(runtime.http, "first", 1, etag="x").status, 400)

    def test_redis_restarts_under_load_and_nothing_acknowledged_is_lost(self):
        runtime = self.start_with_redis()
        load = Load(runtime.http_port(), lambda client, n: set_value(client, f"k{n}", n))
        for _ in range(3):
            load.wait_for_more()
            self.redis.restart()
        load.wait_for_more()
        load.stop()

        self.assertEqual(load.broken, [])
        for number in load.with_status(204):
            self.assertEqual(json.loads(self.redis.hash(f"shop||k{number}")[b"data"]), number)
        print(f"\nredis restarted 3 times: {len(load.answers)} writes, errors: {load.others_than(204)}")

    def test_state_is_killed_and_no_success_is_called_a_conflict(self):
        runtime = self.start_with_redis()
        etag = runtime.http.get("/v1.0/state/statestore/first").headers["etag"]
        etags = {"next": etag}

        def write_after_my_own(client, number):
            """Nobody else writes the key: an etag mismatch would be wrong."""
            answer = set_value(client, "first", number, etag=etags["next"])
            if answer.status == 503:  # what became of it is not known: look
                etags["next"] = client.get("/v1.0/state/statestore/first").headers["etag"]
            else:
                etags["next"] = str(int(etags["next"]) + 1)
            return answer

        load = Load(runtime.http_port(), write_after_my_own)
        for _ in range(3):
            load.wait_for_more()
            old = runtime.kill("state")
            runtime.wait_for_new_pid("state", old)
        load.wait_for_more()
        load.stop()

        self.assertEqual(load.broken, [])
        for number, answer in load.others_than(204):
            self.assertEqual((answer.status, answer.json()["errorCode"]), (503, "ERR_OUTCOME_UNKNOWN"), number)
        self.assertEqual(self.redis.hash("shop||first")[b"version"].decode(), etags["next"])
        print(f"\nstate killed 3 times: {len(load.answers)} conditional writes, "
              f"{len(load.others_than(204))} of unknown outcome, none called a conflict")

    def test_a_redis_that_is_not_there_keeps_nobody_else_from_serving_and_heals(self):
        self.redis.kill()
        runtime = self.start({"a.yaml": self.redis_store("far"), "b.yaml": component("near", "state.sqlite")})
        wait_for("the other one serves", lambda: set_value(runtime.http, "k", 1, store="near").status == 204)
        refused = set_value(runtime.http, "k", 1, store="far")
        self.assertGreaterEqual(refused.status, 500)
        self.assertIn("refused", refused.json()["message"])

        self.redis.start()

        wait_for("redis serves", lambda: set_value(runtime.http, "k", 1, store="far").status == 204)

    def test_a_redis_that_falls_silent_holds_up_only_its_own_callers_and_shows_as_down(self):
        runtime = self.start({"a.yaml": self.redis_store("far", readTimeout="500ms"),
                              "b.yaml": component("near", "state.sqlite")})
        for store in ("far", "near"):
            wait_for(f"{store} serves", lambda: set_value(runtime.http, "k", 1, store=store).status == 204)
        self.redis.pause()
        load = Load(runtime.http_port(), lambda client, n: set_value(client, "k", n, store="far"))
        try:
            for number in range(50):
                self.assertEqual(set_value(runtime.http, "k", number, store="near").status, 204)
            wait_for("it is shown", lambda: "DOWN" in runtime.caisson("status").stdout)
        finally:
            self.redis.resume()
        wait_for("it serves again", lambda: set_value(runtime.http, "k", 2, store="far").status == 204)
        load.stop()

    def test_the_password_is_in_no_log_and_no_status(self):
        runtime = self.start({"statestore.yaml": self.redis_store().replace("s3cret", "letmein9")})
        wait_for("the refusal is said", lambda: "WRONGPASS" in runtime.log())

        refused = set_value(runtime.http, "k", 1)

        status = runtime.caisson("status", "--json").stdout
        self.assertIn("WRONGPASS", refused.body.decode() + status)
        for text in (runtime.log(), status, refused.body.decode()):
            self.assertNotIn("letmein9", text)


if __name__ == "__main__":
    unittest.main()
