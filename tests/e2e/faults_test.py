"""SIGKILL of each process under a light load: the others fail no request; callers of the dead one wait or
get a clear error; what was acknowledged is there."""

import json
import signal
import unittest

from runtime import App, Load, Runtime, wait_for

KILLS = 3


def state_write(client, number):
    return client.post("/v1.0/state/statestore", [{"key": f"k{number}", "value": number}])


def publish(client, number):
    return client.post("/v1.0/publish/pubsub/orders", {"n": number})


def invoke(client, _):
    return client.get("/v1.0/invoke/shop/method/hello")


def metadata(client, _):
    return client.get("/v1.0/metadata")


class KillTest(unittest.TestCase):
    def setUp(self):
        self.app = App(subscriptions=[{"pubsubname": "pubsub", "topic": "orders", "route": "/orders"}])
        self.addCleanup(self.app.close)
        self.runtime = Runtime(app=self.app, default_resources=True)
        self.runtime.__enter__()
        self.addCleanup(self.runtime.close)
        self.addCleanup(self.dump_after_failure)
        http = self.runtime.http
        wait_for("the store serves", lambda: state_write(http, 0).status == 204)
        wait_for("the app subscribes", lambda: self.app.received("/dapr/subscribe"))
        wait_for("the app can be invoked", lambda: invoke(http, 0).status == 200)
        self.steps = {"state": state_write, "pubsub": publish, "invoke": invoke, "gateway's own": metadata}

    def dump_after_failure(self):
        if any(error for _, error in getattr(self._outcome, "errors", [])):
            self.runtime.dump_log()

    def kill_under_load(self, victim):
        port = self.runtime.http_port()
        loads = {name: Load(port, step) for name, step in self.steps.items()}
        try:
            for load in loads.values():
                load.wait_for_more()
            for _ in range(KILLS):
                old = self.runtime.kill(victim)
                self.runtime.wait_for_new_pid(victim, old)
                for load in loads.values():
                    load.wait_for_more()
        finally:
            for load in loads.values():
                load.stop()
        for name, load in loads.items():
            self.assertEqual(load.broken, [], f"{name}: the gateway dropped a connection while {victim} was killed")
            if name == victim:
                for number, answer in load.others_than(200, 204):
                    self.assertGreaterEqual(answer.status, 500, (number, answer))
                    self.assertIn("errorCode", answer.json())
            else:
                self.assertEqual(load.others_than(200, 204), [], f"{name} failed while {victim} was killed")
        print(f"\n{victim} killed {KILLS} times: " + ", ".join(
            f"{name} {len(load.answers)} answers, {len(load.others_than(200, 204))} errors"
            for name, load in loads.items()))
        return loads

    def test_state_is_killed_and_no_acknowledged_write_is_lost(self):
        loads = self.kill_under_load("state")

        client = self.runtime.client()
        self.addCleanup(client.close)
        for number in loads["state"].with_status(204):
            self.assertEqual(client.get(f"/v1.0/state/statestore/k{number}").json(), number)

    def test_pubsub_is_killed_and_every_acknowledged_event_arrives(self):
        loads = self.kill_under_load("pubsub")

        acknowledged = set(loads["pubsub"].with_status(204))
        def missing():
            arrived = {json.loads(r.body)["data"]["n"] for r in self.app.received("/orders")}
            return acknowledged - arrived
        wait_for("every acknowledged event arrives", lambda: not missing())

    def test_invoke_is_killed(self):
        self.kill_under_load("invoke")

    def test_config_is_killed_and_nobody_notices(self):
        self.kill_under_load("config")

    def test_a_stopped_capability_makes_only_its_own_callers_wait(self):
        pid = self.runtime.kill("state", signal.SIGSTOP)
        try:
            client = self.runtime.client()
            self.addCleanup(client.close)
            for number in range(20):
                self.assertEqual(publish(client, number).status, 204)
                self.assertEqual(invoke(client, number).status, 200)
                self.assertEqual(metadata(client, number).status, 200)
        finally:
            self.runtime.kill("state", signal.SIGCONT)
        wait_for("state answers again", lambda: state_write(self.runtime.http, 1).status == 204)
        self.assertEqual(self.runtime.pid("state"), pid)

    def test_the_gateway_is_killed_and_is_back_with_everything(self):
        others = {name: self.runtime.pid(name) for name in ("state", "pubsub", "config", "invoke")}

        old = self.runtime.kill("gateway")
        self.runtime.wait_for_new_pid("gateway", old)
        self.runtime.wait_until_healthy()

        wait_for("the store serves", lambda: state_write(self.runtime.http, 1).status == 204)
        self.assertEqual({name: self.runtime.pid(name) for name in others}, others)

    def test_a_capability_that_keeps_dying_is_shown_and_the_others_serve(self):
        def crash_looping():
            try:
                self.runtime.kill("invoke")
            except (OSError, ValueError):
                pass
            return self.runtime.process_status("invoke")["state"] == "crash-looping"

        wait_for("invoke is shown as crash-looping", crash_looping)

        self.assertEqual(state_write(self.runtime.http, 1).status, 204)
        self.assertEqual(publish(self.runtime.http, 1).status, 204)


if __name__ == "__main__":
    unittest.main()
