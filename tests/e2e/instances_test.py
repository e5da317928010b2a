"""Several instances of one capability: what one of them does alone, what they share, and what becomes of it when
one goes."""

import os
import re
import subprocess
import threading
import unittest

from redis_server import RedisServer
from runtime import Load, Runtime, component, wait_for

STORES = ("statestore", "memory", "redis")


def set_value(client, store, key, value, etag=None):
    item = {"key": key, "value": value}
    if etag is not None:
        item.update(etag=etag, options={"concurrency": "first-write"})
    return client.post(f"/v1.0/state/{store}", [item])


def instances_of(runtime, capability):
    """The linked instances as the gateway knows them: name to the names of their components that are up."""
    for one in runtime.status()["gateway"]["capabilities"]:
        if one["name"] == capability:
            return {i["instance"]: [c["name"] for c in i["components"] if c["state"] == "UP"]
                    for i in one["instances"] if i["linked"]}
    raise KeyError(capability)


def served_by(runtime, operation="get"):
    """How many operations each instance of state has served, out of its own counters."""
    admin = runtime.admin()
    text = admin.get("/metrics").body.decode()
    admin.close()
    served = {}
    for labels, value in re.findall(r"^caisson_state_requests_total\{([^}]*)\} (\d+)", text, re.M):
        if f'operation="{operation}"' in labels:
            name = re.search(r'instance="([^"]*)"', labels).group(1)
            served[name] = served.get(name, 0) + int(value)
    return served


class InstancesTest(unittest.TestCase):
    def setUp(self):
        self.redis = RedisServer()
        self.addCleanup(self.redis.close)

    def start(self, flags=("--instances", "state=2"), **more):
        resources = {"statestore.yaml": component("statestore", "state.sqlite"),
                     "memory.yaml": component("memory", "state.in-memory"),
                     "redis.yaml": self.redis.component("redis", "state.redis")}
        runtime = Runtime(resources=resources, flags=list(flags), **more)
        self.addCleanup(runtime.close)
        self.addCleanup(lambda: any(e for _, e in getattr(self._outcome, "errors", [])) and runtime.dump_log())
        runtime.__enter__()
        wait_for("both instances hold what they may",
                 lambda: {name: sorted(held) for name, held in instances_of(runtime, "state").items()} ==
                 {"state": ["memory", "redis", "statestore"], "state-2": ["redis", "statestore"]})
        return runtime

    def test_each_has_its_name_its_pid_and_its_counters(self):
        runtime = self.start()

        self.assertNotEqual(runtime.pid("state"), runtime.pid("state-2"))
        self.assertEqual(runtime.process_status("state-2")["state"], "running")
        for name in ("state", "state-2"):
            self.assertTrue(os.path.exists(f"{runtime.run_dir}/state/{name}.counters"))

    def test_a_key_stays_with_its_instance_and_keys_are_shared_out(self):
        runtime = self.start()
        for store in ("statestore", "redis"):
            before = served_by(runtime)
            for _ in range(10):
                self.assertEqual(runtime.http.get(f"/v1.0/state/{store}/cart").status, 204)
            after = served_by(runtime)
            self.assertEqual(sorted(after.get(n, 0) - before.get(n, 0) for n in ("state", "state-2")), [0, 10])
        before = served_by(runtime)
        for number in range(200):
            runtime.http.get(f"/v1.0/state/statestore/k{number}")
        after = served_by(runtime)
        shares = [after[name] - before.get(name, 0) for name in ("state", "state-2")]
        self.assertEqual(sum(shares), 200)
        self.assertGreater(min(shares), 50)

    def test_a_key_has_the_same_instance_whichever_gateway_it_comes_through(self):
        runtime = self.start(flags=("--instances", "state=2", "--gateways", "2"))
        wait_for("both instances are linked to both gateways", lambda: all(
            runtime.log().count(f"state '{name}'") >= 2 for name in ("state", "state-2")))
        before = served_by(runtime)
        for _ in range(40):
            client = runtime.client()  # a new connection: any of the gateways takes it
            self.assertEqual(client.get("/v1.0/state/statestore/cart").status, 204)
            client.close()
        after = served_by(runtime)

        self.assertEqual(sorted(after.get(n, 0) - before.get(n, 0) for n in ("state", "state-2")), [0, 40])

    def test_counters_in_stores_that_are_shared_lose_no_update_and_none_is_locked(self):
        runtime = self.start()
        problems = []

        def count_up(store, key, times):
            client = runtime.client()
            done = 0
            while done < times:
                now = client.get(f"/v1.0/state/{store}/{key}")
                answer = set_value(client, store, key, now.json() + 1, now.headers["etag"])
                if answer.status == 204:
                    done += 1
                elif answer.status != 409:
                    problems.append((store, answer))
                    break
            client.close()

        def write_keys(store, prefix, times):
            client = runtime.client()
            for number in range(times):
                key = f"{prefix}-{number}"
                answer = set_value(client, store, key, number)
                found = client.get(f"/v1.0/state/{store}/{key}")
                if answer.status != 204 or found.status != 200 or found.json() != number:
                    problems.append((store, key, answer, found))
            client.close()

        threads = []
        for store in STORES:
            self.assertEqual(set_value(runtime.http, store, "count", 0).status, 204)
            threads += [threading.Thread(target=count_up, args=(store, "count", 25)) for _ in range(4)]
            threads += [threading.Thread(target=write_keys, args=(store, f"t{n}", 50)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        self.assertEqual(problems, [])
        for store in STORES:
            self.assertEqual(runtime.http.get(f"/v1.0/state/{store}/count").json(), 100)
        shares = served_by(runtime, "set")
        self.assertGreater(min(shares.get("state", 0), shares.get("state-2", 0)), 0, shares)

    def test_one_is_killed_under_load_and_no_read_fails(self):
        runtime = self.start()
        for number in range(50):
            for store in ("statestore", "redis"):
                self.assertEqual(set_value(runtime.http, store, f"k{number}", number).status, 204)
        loads = [Load(runtime.http_port(), lambda client, n, s=store: client.get(f"/v1.0/state/{s}/k{n % 50}"))
                 for store in ("statestore", "redis") for _ in range(2)]
        for name in ("state-2", "state", "state-2"):
            for load in loads:
                load.wait_for_more(50)
            old = runtime.kill(name)
            runtime.wait_for_new_pid(name, old)
            wait_for("both are linked", lambda: len(instances_of(runtime, "state")) == 2)
        for load in loads:
            load.wait_for_more(50)
            load.stop()

        for load in loads:
            self.assertEqual((load.broken, load.others_than(200)), ([], []))
            for number, answer in load.answers:
                self.assertEqual(answer.json(), number % 50)
        print(f"\n3 kills: {sum(len(load.answers) for load in loads)} reads, none failed")

    def test_one_is_restarted_and_no_request_fails(self):
        runtime = self.start()
        writes = Load(runtime.http_port(), lambda client, n: set_value(client, "statestore", f"w{n}", n))
        reads = Load(runtime.http_port(), lambda client, n: client.get("/v1.0/state/statestore/w1"))
        for name, other in (("state", "state-2"), ("state-2", "state"), ("state", "state-2")):
            writes.wait_for_more()
            reads.wait_for_more()
            old = {one: runtime.pid(one) for one in (name, other)}
            done = runtime.caisson("restart", name)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotEqual(runtime.pid(name), old[name])
            self.assertEqual(runtime.pid(other), old[other])
        writes.wait_for_more()
        reads.wait_for_more()
        writes.stop()
        reads.stop()

        self.assertEqual((writes.broken, writes.others_than(204)), ([], []))
        self.assertEqual((reads.broken, reads.others_than(200, 204)), ([], []))
        for number in writes.with_status(204):
            self.assertEqual(runtime.http.get(f"/v1.0/state/statestore/w{number}").json(), number)

    def test_requests_for_what_only_the_first_holds_wait_while_it_is_away(self):
        runtime = self.start()
        pid = runtime.pid("state")
        self.assertEqual(set_value(runtime.http, "memory", "k", "before").status, 204)
        load = Load(runtime.http_port(), lambda client, n: client.get("/v1.0/state/memory/k"))
        load.wait_for_more()

        runtime.kill("state")
        runtime.wait_for_new_pid("state", pid)
        load.wait_for_more()
        load.stop()

        # It has begun anew, as it says; but it was never answered by the other, which does not know it.
        self.assertEqual((load.broken, load.others_than(200, 204)), ([], []))
        self.assertNotIn("memory", instances_of(runtime, "state").get("state-2", []))

    def test_fewer_instances_after_a_kill_of_the_supervisor_leave_none_behind(self):
        runtime = self.start()
        second = runtime.pid("state-2")
        runtime.process.kill()
        runtime.process.wait()
        runtime.flags = []

        with open(runtime.log_path, "ab") as log:
            runtime.process = subprocess.Popen(runtime.command(), stdout=log, stderr=log)

        wait_for("the next supervisor answers", lambda: runtime.status()["runtime"]["pid"] == runtime.process.pid)
        wait_for("one instance is left", lambda: list(instances_of(runtime, "state")) == ["state"])
        wait_for("the second has ended", lambda: not os.path.exists(f"/proc/{second}"))
        self.assertEqual(set_value(runtime.http, "statestore", "k", 1).status, 204)

    def test_stop_ends_those_that_a_killed_supervisor_left(self):
        with Runtime(flags=["--instances", "state=3"]) as runtime:
            runtime.process.kill()
            runtime.process.wait()

            done = runtime.caisson("stop")

            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(runtime.left_behind(), [])

    def test_every_capability_but_config_may_have_several(self):
        flags = [word for name in ("pubsub", "lock", "secrets", "invoke") for word in ("--instances", f"{name}=2")]
        runtime = Runtime(resources={"pubsub.yaml": component("pubsub", "pubsub.sqlite"),
                                     "lock.yaml": component("locks", "lock.sqlite")}, flags=flags)
        self.addCleanup(runtime.close)
        runtime.__enter__()
        wait_for("all are linked", lambda: all(len(instances_of(runtime, name)) == 2
                                               for name in ("pubsub", "lock", "secrets", "invoke")))

        for number in range(20):
            self.assertEqual(runtime.http.post("/v1.0/publish/pubsub/t", {"n": number}).status, 204)
            taken = runtime.http.post("/v1.0-alpha1/lock/locks", {"resourceId": "r", "lockOwner": f"o{number}",
                                                                  "expiryInSeconds": 60})
            self.assertEqual((taken.status, taken.json()), (200, {"success": number == 0}))

        refused = Runtime(flags=["--instances", "config=2"], wait=False)
        self.addCleanup(refused.close)
        refused.start()
        self.assertNotEqual(refused.process.wait(), 0)
        self.assertIn("there is one config only", refused.log())


if __name__ == "__main__":
    unittest.main()
