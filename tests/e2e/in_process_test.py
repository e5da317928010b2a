"""`caisson up --in-process`: the same runtime without walls."""

import os
import signal
import unittest

from compartments_test import annotated
from every_capability import Shop
from runtime import CAPABILITIES, PATIENCE, Runtime, component, wait_for

IN_PROCESS = ["--in-process"]


class InProcessTest(unittest.TestCase):
    def test_every_capability_serves_from_one_process(self):
        with Shop(IN_PROCESS) as shop:
            runtime = shop.runtime
            shop.call_each(self)

            names = [process["name"] for process in runtime.status()["runtime"]["processes"]]
            self.assertEqual(names, ["in-process"])
            self.assertEqual(runtime.pid("in-process"), runtime.pid("gateway"))
            self.assertFalse([name for name in CAPABILITIES if os.path.exists(f"{runtime.run_dir}/{name}.pid")])

            status = runtime.admin().get("/status").json()
            linked = {c["name"]: [i["pid"] for i in c["instances"]] for c in status["capabilities"]}
            self.assertEqual({name: linked[name] for name in CAPABILITIES},
                             {name: [runtime.pid("in-process")] for name in CAPABILITIES})
            metrics = runtime.admin().get("/metrics").body.decode()
            for name in ("state", "pubsub", "invoke", "config", "secrets", "lock"):
                self.assertRegex(metrics, rf'caisson_requests_total{{capability="{name}",instance="{name}"}} [1-9]')

            self.assertEqual(runtime.stop(), 0)
            self.assertFalse(os.path.exists(f"{runtime.run_dir}/gateway.pid"))
            self.assertFalse(os.path.exists(f"{runtime.run_dir}/in-process.pid"))

    def test_one_capability_cannot_be_restarted_but_the_process_can(self):
        with Runtime(flags=IN_PROCESS, default_resources=True) as runtime:
            for name in ("state", "gateway"):
                refused = runtime.caisson("restart", name)
                self.assertEqual(refused.returncode, 1)
                self.assertIn(f"{name} is not a process of its own here (--in-process)", refused.stderr)
            old = runtime.pid("in-process")

            done = runtime.caisson("restart", "in-process")

            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotEqual(runtime.pid("in-process"), old)
            self.assertEqual(runtime.caisson("stop").returncode, 0)
            self.assertEqual(runtime.process.wait(PATIENCE), 0)

    def test_a_compartment_that_is_asked_for_is_served_without_one_and_said(self):
        def annotate(name, text):
            return annotated(text, name, "apart") if name in ("statestore", "pubsub") else text

        with Shop(IN_PROCESS, annotate) as shop:
            shop.call_each(self)
            self.assertIn("Component 'statestore': compartment 'apart': there are none here", shop.runtime.log())

    def test_what_was_written_apart_is_read_in_one_process_and_back(self):
        def kill(runtime):
            """The processes go on without their `caisson up`."""
            runtime.process.send_signal(signal.SIGKILL)
            runtime.process.wait()

        resources = {"s.yaml": annotated(component("store", "state.sqlite"), "store", "apart")}
        with Runtime(resources=resources) as runtime:
            def holds(key, value):
                wait_for("the store serves", lambda: runtime.http.get("/v1.0/healthz?require=store").status == 204)
                self.assertEqual(runtime.http.get(f"/v1.0/state/store/{key}").json(), value)

            self.assertEqual(runtime.http.post("/v1.0/state/store", [{"key": "a", "value": 1}]).status, 204)
            for flags, key, number in ((IN_PROCESS, "a", 1), ([], "b", 2)):
                before = runtime.left_behind()
                kill(runtime)
                runtime.flags = flags
                runtime.start()
                holds(key, number)
                self.assertEqual(set(before) & set(runtime.left_behind()), set())
                self.assertEqual(runtime.http.post("/v1.0/state/store", [{"key": "b", "value": 2}]).status, 204)

    def test_killed_it_comes_back_with_what_was_acknowledged(self):
        with Runtime(flags=IN_PROCESS, default_resources=True) as runtime:
            self.assertEqual(runtime.http.post("/v1.0/state/statestore", [{"key": "a", "value": 1}]).status, 204)
            old = runtime.kill("in-process")
            runtime.wait_for_new_pid("in-process", old)
            runtime.http.close()
            wait_for("it serves again", lambda: runtime.client().get("/v1.0/healthz?require=statestore").status == 204)
            self.assertEqual(runtime.client().get("/v1.0/state/statestore/a").json(), 1)


if __name__ == "__main__":
    unittest.main()
