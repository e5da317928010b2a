"""Compartments narrower than a capability: a component with a process of its own. Its death, hang and move
are nobody else's, and nothing that was acknowledged is lost on the way."""

import os
import signal
import subprocess
import threading
import unittest

from runtime import BIN, App, Runtime, component, wait_for


def store(runtime, name, compartment=None):
    text = component(name, "state.sqlite", {"connectionString": os.path.join(runtime.data_dir, name + ".db")})
    return annotated(text, name, compartment)


def annotated(text, name, compartment):
    if compartment is None:
        return text
    named = f"  name: {name}\n"
    return text.replace(named, f"{named}  annotations:\n    caisson.io/compartment: {compartment}\n", 1)


def write(client, name, key, value=1):
    return client.post(f"/v1.0/state/{name}", [{"key": key, "value": value}])


class Writer(threading.Thread):
    """Writes numbered keys to a store until it is stopped, on a connection of its own."""

    def __init__(self, runtime, name):
        super().__init__(daemon=True)
        self.client, self.name = runtime.client(), name
        self.acknowledged, self.failed = [], []
        self.ended = threading.Event()

    def run(self):
        number = 0
        while not self.ended.is_set():
            try:
                answer = write(self.client, self.name, f"k{number}", number)
                (self.acknowledged if answer.status == 204 else self.failed).append(
                    number if answer.status == 204 else answer)
            except OSError as error:
                self.failed.append(error)
            number += 1
        self.client.close()

    def more(self, count=20):
        target = len(self.acknowledged) + count
        wait_for(f"{self.name} takes {count} more writes", lambda: len(self.acknowledged) >= target or self.failed)

    def stop(self):
        self.ended.set()
        self.join()


def holders(status, name):
    """Processes that say in the gateway's /status that they have the component up."""
    return [capability["name"] for capability in status["capabilities"] for instance in capability["instances"]
            if instance["linked"] and any(c["name"] == name and c["state"] == "UP" for c in instance["components"])]


def wait_for_holder(runtime, name, process):
    """Asks the gateway, which answers without a supervisor too."""
    admin = runtime.admin()
    try:
        wait_for(f"{name} is held by {process}",
                 lambda: holders(admin.get("/status").json(), name) == [process])
    finally:
        admin.close()


class CompartmentsTest(unittest.TestCase):
    def start(self, compartment="b"):
        """Two stores, `near` with the others and `far` in a compartment."""
        self.runtime = Runtime(wait=False)
        self.addCleanup(self.runtime.close)
        self.runtime.write_resource("near.yaml", store(self.runtime, "near"))
        self.annotate(compartment)
        self.runtime.start()
        self.runtime.wait_until_healthy()
        for name in ("near", "far"):
            wait_for(f"{name} serves", lambda: write(self.runtime.http, name, "first").status == 204)

    def annotate(self, compartment):
        self.runtime.write_resource("far.yaml", store(self.runtime, "far", compartment))

    def writer(self, name):
        writer = Writer(self.runtime, name)
        self.addCleanup(writer.stop)
        writer.start()
        return writer

    def held_by(self, name, process):
        wait_for_holder(self.runtime, name, process)

    def processes(self):
        return [p["name"] for p in self.runtime.status()["runtime"]["processes"]]

    def assert_nothing_lost(self, writer):
        client = self.runtime.client()
        self.addCleanup(client.close)
        for number in writer.acknowledged:
            self.assertEqual(client.get(f"/v1.0/state/{writer.name}/k{number}").json(), number)

    def test_status_and_commands_know_the_compartment(self):
        self.start()

        self.assertIn("state.b", self.processes())
        self.held_by("far", "state.b")
        self.held_by("near", "state")
        self.assertIn("state.b", self.runtime.caisson("status").stdout)
        names = [c["name"] for c in self.runtime.http.get("/v1.0/metadata").json()["components"]]
        self.assertEqual(sorted(names), ["far", "near"])
        before = self.runtime.pid("state.b"), self.runtime.pid("state")
        done = self.runtime.caisson("restart", "state.b")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotEqual(self.runtime.pid("state.b"), before[0])
        self.assertEqual(self.runtime.pid("state"), before[1])
        self.assertEqual(self.runtime.http.get("/v1.0/state/far/first").json(), 1)

    def test_a_killed_compartment_fails_no_request_to_the_other_store_and_its_own_wait(self):
        self.start()
        near = self.writer("near")
        for _ in range(3):
            near.more()
            old = self.runtime.kill("state.b")
            # A read is safe to send again; a write may have reached the dead one, which is then said.
            self.assertEqual(self.runtime.http.get("/v1.0/state/far/first").json(), 1)
            self.assertEqual(write(self.runtime.http, "far", "after").status, 204)
            self.runtime.wait_for_new_pid("state.b", old)

        near.more()
        near.stop()
        self.assertEqual(near.failed, [])
        self.assert_nothing_lost(near)
        self.assertEqual(self.runtime.http.get("/v1.0/state/far/first").json(), 1)

    def test_a_stopped_compartment_fails_no_request_to_the_other_store(self):
        self.start()
        pid = self.runtime.kill("state.b", signal.SIGSTOP)
        self.addCleanup(lambda: os.kill(pid, signal.SIGCONT) if os.path.exists(f"/proc/{pid}") else None)
        answers = []
        client = self.runtime.client()
        self.addCleanup(client.close)
        waiting = threading.Thread(target=lambda: answers.append(write(client, "far", "late").status))
        waiting.start()
        near = self.writer("near")

        near.more(200)

        self.assertEqual((near.failed, answers), ([], []))
        os.kill(pid, signal.SIGCONT)
        waiting.join()
        near.stop()
        self.assertEqual(near.failed, [])
        self.assertEqual(answers, [204])

    def test_requests_wait_for_a_compartment_that_is_not_back_yet(self):
        self.start()
        old = self.runtime.pid("state.b")
        # Without a supervisor nobody starts it again until the next one does.
        self.runtime.process.kill()
        self.runtime.process.wait()
        os.kill(old, signal.SIGKILL)
        admin = self.runtime.admin()
        self.addCleanup(admin.close)

        def part():
            return next(c for c in admin.get("/status").json()["capabilities"] if c["name"] == "state.b")
        wait_for("its death is noticed", lambda: not any(i["linked"] for i in part()["instances"]))
        answers = []
        client = self.runtime.client()
        self.addCleanup(client.close)
        waiting = threading.Thread(target=lambda: answers.append(write(client, "far", "waits").status))
        waiting.start()
        wait_for("the request is parked", lambda: part()["parked"] == 1)
        for name, status in (("far", 500), ("near", 204), ("state.b", 500), ("state", 500), ("pubsub", 204)):
            answer = self.runtime.http.get(f"/v1.0/healthz?require={name}")
            self.assertEqual(answer.status, status, (name, answer))
        self.assertIn("state.b is not linked", self.runtime.http.get("/v1.0/healthz?require=far").json()["message"])
        self.assertEqual(write(self.runtime.http, "near", "meanwhile").status, 204)
        self.assertEqual(answers, [])

        with open(self.runtime.log_path, "ab") as log:
            self.runtime.process = subprocess.Popen(self.runtime.command(), stdout=log, stderr=log)
        waiting.join()
        self.assertEqual(answers, [204])
        self.assertEqual(self.runtime.http.get("/v1.0/healthz?require=far,state,state.b").status, 204)

    def test_the_annotation_comes_and_goes_under_load_and_nothing_is_lost(self):
        self.start(compartment=None)
        self.held_by("far", "state")
        near, far = self.writer("near"), self.writer("far")
        for _ in range(3):
            far.more()
            self.annotate("b")
            self.held_by("far", "state.b")
            far.more()
            self.annotate("c")
            self.held_by("far", "state.c")
            far.more()
            self.annotate(None)
            self.held_by("far", "state")
            wait_for("the compartments' processes have ended",
                     lambda: not [p for p in self.processes() if p.startswith("state.")])
        near.stop()
        far.stop()

        self.assertEqual((near.failed, far.failed), ([], []))
        self.assert_nothing_lost(near)
        self.assert_nothing_lost(far)

    def test_a_killed_gateway_and_a_killed_config_know_the_compartment_again(self):
        self.start()
        for name in ("gateway", "config"):
            old = self.runtime.kill(name)
            self.runtime.wait_for_new_pid(name, old)
            self.runtime.http.close()
            self.runtime.wait_until_healthy()
            self.assertEqual(write(self.runtime.http, "far", name).status, 204)
        self.held_by("far", "state.b")
        self.annotate(None)
        self.held_by("far", "state")
        self.assertEqual(self.runtime.http.get("/v1.0/state/far/config").json(), 1)

    def test_the_compartment_of_a_killed_supervisor_goes_on_and_an_unwanted_one_is_ended(self):
        self.start()
        self.annotate("c")
        self.held_by("far", "state.c")
        pid = self.runtime.pid("state.c")
        self.runtime.process.kill()
        self.runtime.process.wait()
        self.assertEqual(write(self.runtime.http, "far", "between").status, 204)

        with open(self.runtime.log_path, "ab") as log:
            self.runtime.process = subprocess.Popen(self.runtime.command(), stdout=log, stderr=log)
        wait_for("the next supervisor answers", self.runtime.status)
        wait_for("it keeps the compartment", lambda: "state.c" in self.processes())
        self.assertEqual(self.runtime.pid("state.c"), pid)

        self.runtime.process.kill()
        self.runtime.process.wait()
        self.annotate(None)
        self.held_by("far", "state")
        self.assertTrue(os.path.exists(f"/proc/{pid}"))
        with open(self.runtime.log_path, "ab") as log:
            self.runtime.process = subprocess.Popen(self.runtime.command(), stdout=log, stderr=log)
        wait_for("it is ended", lambda: not os.path.exists(f"/proc/{pid}"))

        self.assertEqual(self.runtime.stop(), 0)
        self.assertEqual(self.runtime.left_behind(), [])

    def test_without_a_supervisor_the_component_stays_until_somebody_starts_the_process(self):
        self.start(compartment=None)
        self.runtime.process.kill()
        self.runtime.process.wait()
        self.annotate("b")
        wait_for("config has read it", lambda: "'far' moves to 'state.b'" in self.runtime.log())
        self.assertEqual(write(self.runtime.http, "far", "alone").status, 204)
        wait_for_holder(self.runtime, "far", "state")

        run, data = self.runtime.run_dir, self.runtime.data_dir
        with open(self.runtime.log_path, "ab") as log:
            by_hand = subprocess.Popen([os.path.join(BIN, "caisson-state"), "--connect",
                                        f"shm://{run}/state.b/bus.sock", "--run-dir", run, "--data-dir",
                                        f"{data}/state", "--compartment", "b"], stdout=log, stderr=log)
        self.addCleanup(by_hand.wait)
        self.addCleanup(by_hand.kill)
        wait_for_holder(self.runtime, "far", "state.b")
        self.assertEqual(self.runtime.pid("state.b"), by_hand.pid)
        self.assertEqual(self.runtime.http.get("/v1.0/state/far/alone").json(), 1)

        self.annotate(None)
        wait_for_holder(self.runtime, "far", "state")
        self.assertEqual(self.runtime.http.get("/v1.0/state/far/alone").json(), 1)

    def test_stop_without_a_supervisor_ends_the_compartment_too(self):
        self.start()
        self.runtime.process.kill()
        self.runtime.process.wait()

        done = self.runtime.caisson("stop")

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(self.runtime.left_behind(), [])

    def test_an_annotation_that_cannot_be_a_name_is_reported_with_its_line(self):
        self.start()
        self.annotate("../b")

        wait_for("it is reported", lambda: "caisson.io/compartment must be 1 to 24" in self.runtime.log())

        self.assertIn("far.yaml:6", self.runtime.log())
        self.assertEqual(write(self.runtime.http, "far", "still").status, 204)
        self.held_by("far", "state.b")


class PubsubCompartmentTest(unittest.TestCase):
    def test_subscriptions_follow_a_component_and_an_unknown_one_is_said_once(self):
        app = App([{"pubsubname": name, "topic": "t", "route": "/" + name} for name in ("near", "far", "nowhere")])
        self.addCleanup(app.close)
        with Runtime(app=app, wait=False) as runtime:
            for name in ("near", "far"):
                text = component(name, "pubsub.sqlite")
                runtime.write_resource(name + ".yaml", annotated(text, name, "b" if name == "far" else None))
            runtime.wait_until_healthy()

            def publish(name, number):
                return runtime.http.post(f"/v1.0/publish/{name}/t", {"n": number}).status

            for number, compartment in enumerate(("b", None, "b")):
                runtime.write_resource("far.yaml", annotated(component("far", "pubsub.sqlite"), "far", compartment))
                if number > 0:  # the first is what it was started with
                    self.assertEqual(publish("far", f"moving-{number}"), 204)
                wait_for_holder(runtime, "far", f"pubsub.{compartment}" if compartment else "pubsub")
                for name in ("near", "far"):
                    self.assertEqual(publish(name, number), 204)
                    wait_for(f"{name} delivers event {number}", lambda: number in {
                        r.json()["data"]["n"] for r in app.received("/" + name)})
            wait_for("what was published meanwhile arrives", lambda: {"moving-1", "moving-2"} <= {
                r.json()["data"]["n"] for r in app.received("/far")})
            old = runtime.kill("pubsub.b")
            self.assertEqual(publish("near", 9), 204)
            # What the dead one may have taken is said to be of unknown outcome.
            wait_for("far takes the event", lambda: publish("far", 9) == 204)
            wait_for("both arrive", lambda: all(
                9 in {r.json()["data"]["n"] for r in app.received("/" + name)} for name in ("near", "far")))
            runtime.wait_for_new_pid("pubsub.b", old)

            listed = runtime.http.get("/v1.0/metadata").json()["subscriptions"]
            self.assertEqual(sorted(s["pubsubname"] for s in listed), ["far", "near", "nowhere"])
            self.assertEqual(runtime.log().count("'nowhere', which is no pubsub component"), 1)


if __name__ == "__main__":
    unittest.main()
