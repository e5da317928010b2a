"""Locks behind a whole runtime: who holds one is known to the store, so a lock process that is killed and
started again knows it too, and nobody is told wrongly that somebody else holds what he took himself."""

import unittest

from redis_server import RedisServer
from runtime import Load, Runtime, component, wait_for


def lock(http, resource, owner, seconds=3600, store="lockstore"):
    return http.post(f"/v1.0-alpha1/lock/{store}", {"resourceId": resource, "lockOwner": owner,
                                                    "expiryInSeconds": seconds})


def unlock(http, resource, owner, store="lockstore"):
    return http.post(f"/v1.0-alpha1/unlock/{store}", {"resourceId": resource, "lockOwner": owner})


class LockTest:
    """What holds for every store; subclasses give the component."""

    def component(self):
        raise NotImplementedError

    def setUp(self):
        self.runtime = Runtime(resources={"lockstore.yaml": self.component()})
        self.runtime.__enter__()
        self.addCleanup(self.runtime.close)
        self.addCleanup(lambda: any(e for _, e in getattr(self._outcome, "errors", [])) and self.runtime.dump_log())
        self.http = self.runtime.http
        wait_for("the store serves", lambda: lock(self.http, "probe", "probe").status == 200)

    def kill(self):
        old = self.runtime.kill("lock")
        self.runtime.wait_for_new_pid("lock", old)

    def test_a_lock_outlives_the_process_and_ends_on_time(self):
        self.assertEqual(lock(self.http, "long", "a").json(), {"success": True})
        self.assertEqual(lock(self.http, "short", "a", seconds=2).json(), {"success": True})

        self.kill()

        self.assertEqual(lock(self.http, "long", "b").json(), {"success": False})
        self.assertEqual(unlock(self.http, "long", "b").json(), {"status": 2})
        wait_for("the short one ends by itself", lambda: lock(self.http, "short", "b").json()["success"])
        self.assertEqual(unlock(self.http, "short", "a").json(), {"status": 2})
        self.assertEqual(unlock(self.http, "long", "a").json(), {"status": 0})
        self.assertEqual(unlock(self.http, "long", "a").json(), {"status": 1})

    def test_lock_is_killed_under_load_and_nobody_is_told_wrongly(self):
        """Each request has a lock of its own, which nobody else wants: any `false`, or an unlock that is not
        done, would be wrong."""
        def take_and_release(client, number):
            taken = lock(client, f"own-{number}", "me")
            if taken.status != 200:
                return taken
            self.assertEqual(taken.json(), {"success": True}, number)
            released = unlock(client, f"own-{number}", "me")
            if released.status == 200:
                self.assertEqual(released.json(), {"status": 0}, number)
            return released

        load = Load(self.runtime.http_port(), take_and_release)
        for _ in range(5):
            load.wait_for_more()
            self.kill()
        load.wait_for_more()
        load.stop()

        self.assertEqual(load.broken, [])
        for number, answer in load.others_than(200):
            self.assertEqual((answer.status, answer.json()["errorCode"]), (503, "ERR_OUTCOME_UNKNOWN"), number)
            # Either it happened or it did not; whoever asks again is told so.
            self.assertIn(unlock(self.http, f"own-{number}", "me").json()["status"], (0, 1))
        print(f"\nlock killed 5 times: {len(load.answers)} locks taken and released, "
              f"{len(load.others_than(200))} of unknown outcome")

    def test_the_other_apis_do_not_notice(self):
        self.runtime.write_resource("statestore.yaml", component("statestore", "state.sqlite"))
        wait_for("state serves", lambda: self.http.post(
            "/v1.0/state/statestore", [{"key": "k", "value": 1}]).status == 204)
        load = Load(self.runtime.http_port(), lambda c, n: c.get("/v1.0/state/statestore/k"))
        load.wait_for_more()
        self.kill()
        load.wait_for_more()
        load.stop()

        self.assertEqual((load.broken, load.others_than(200)), ([], []))


class SqliteLockTest(LockTest, unittest.TestCase):
    def component(self):
        return component("lockstore", "lock.sqlite")

    def test_no_store_at_all_is_said_and_one_that_is_added_is_in_force_at_once(self):
        self.runtime.write_resource("statestore.yaml", component("statestore", "state.sqlite"))
        self.runtime.remove_resource("lockstore.yaml")
        answer = wait_for("it is gone", lambda: (a := lock(self.http, "a", "a")).status == 500 and a)
        self.assertEqual(answer.json(), {"errorCode": "ERR_LOCK_STORE_NOT_CONFIGURED",
                                         "message": "lock store is not configured"})

        self.runtime.write_resource("other.yaml", component("other", "lock.sqlite"))

        wait_for("it serves", lambda: lock(self.http, "a", "a", store="other").status == 200)
        self.assertEqual(lock(self.http, "a", "a").json()["errorCode"], "ERR_LOCK_STORE_NOT_FOUND")


class RedisLockTest(LockTest, unittest.TestCase):
    def component(self):
        self.redis = RedisServer(password="s3cret")
        self.addCleanup(self.redis.close)
        return self.redis.component("lockstore", "lock.redis", {})

    def test_a_lock_of_a_daprd_is_respected_and_the_reverse(self):
        self.redis.command("SET", "lock||shop||theirs", "daprd", "NX", "EX", 3600)

        self.assertEqual(lock(self.http, "theirs", "a").json(), {"success": False})
        self.assertEqual(unlock(self.http, "theirs", "a").json(), {"status": 2})
        lock(self.http, "ours", "a")

        self.assertIsNone(self.redis.command("SET", "lock||shop||ours", "daprd", "NX", "EX", 3600))


if __name__ == "__main__":
    unittest.main()
