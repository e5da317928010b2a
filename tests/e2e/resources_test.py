"""Component files that are added, changed, broken and removed while the runtime runs, and components
that cannot come up."""

import os
import time
import unittest

from runtime import Runtime, component, wait_for


def store(name, runtime, file=None):
    return component(name, "state.sqlite", {"connectionString": os.path.join(runtime.data_dir, file or name + ".db")})


def set_value(http, name, key="k", value=1):
    return http.post(f"/v1.0/state/{name}", [{"key": key, "value": value}])


class ResourcesTest(unittest.TestCase):
    def setUp(self):
        self.runtime = Runtime()
        self.runtime.__enter__()
        self.addCleanup(self.runtime.close)
        self.http = self.runtime.http

    def wait_for_status(self, name, status):
        wait_for(f"writes to {name} are answered with {status}", lambda: set_value(self.http, name).status == status)

    def test_a_component_file_that_is_added_is_served(self):
        self.assertNotEqual(set_value(self.http, "late").status, 204)

        self.runtime.write_resource("late.yaml", store("late", self.runtime))

        self.wait_for_status("late", 204)

    def test_a_component_that_is_changed_serves_from_its_new_place(self):
        self.runtime.write_resource("s.yaml", store("s", self.runtime, "first.db"))
        self.wait_for_status("s", 204)

        self.runtime.write_resource("s.yaml", store("s", self.runtime, "second.db"))

        wait_for("the new database is empty", lambda: self.http.get("/v1.0/state/s/k").status == 204)
        self.assertTrue(os.path.exists(os.path.join(self.runtime.data_dir, "second.db")))

    def test_a_component_that_stops_parsing_keeps_serving_and_is_reported(self):
        self.runtime.write_resource("s.yaml", store("s", self.runtime))
        self.wait_for_status("s", 204)

        self.runtime.write_resource("s.yaml", "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: [\n")

        wait_for("the file is reported", lambda: "s.yaml" in self.runtime.log())
        self.assertEqual(self.http.get("/v1.0/state/s/k").json(), 1)

    def test_a_component_file_that_is_removed_is_no_longer_served(self):
        self.runtime.write_resource("a.yaml", store("a", self.runtime))
        self.runtime.write_resource("b.yaml", store("b", self.runtime))
        self.wait_for_status("a", 204)
        self.wait_for_status("b", 204)

        self.runtime.remove_resource("b.yaml")

        wait_for("b is gone", lambda: set_value(self.http, "b").status == 400)
        self.assertEqual(self.http.get("/v1.0/state/a/k").json(), 1)

    def test_a_change_that_cannot_be_opened_leaves_the_old_one_serving(self):
        self.runtime.write_resource("s.yaml", store("s", self.runtime))
        self.wait_for_status("s", 204)

        self.runtime.write_resource("s.yaml", store("s", self.runtime, "no/such/folder/x.db"))

        wait_for("the failure is shown", lambda: "no/such/folder" in self.runtime.log()
                 or "DOWN" in self.runtime.caisson("status").stdout)
        self.assertEqual(self.http.get("/v1.0/state/s/k").json(), 1)


class BrokenComponentTest(unittest.TestCase):
    def test_the_others_serve_at_once_when_one_cannot_come_up_and_it_heals_by_itself(self):
        runtime = Runtime(wait=False)
        folder = os.path.join(runtime.folder, "later")
        runtime.write_resource("good.yaml", store("good", runtime))
        runtime.write_resource("bad.yaml",
                               component("bad", "state.sqlite", {"connectionString": os.path.join(folder, "x.db")}))
        with runtime:
            runtime.wait_until_healthy()
            wait_for("the good one serves", lambda: set_value(runtime.http, "good").status == 204)

            refused = set_value(runtime.http, "bad")
            self.assertGreaterEqual(refused.status, 400, refused)
            self.assertIn("errorCode", refused.json())

            os.mkdir(folder)
            wait_for("the bad one heals", lambda: set_value(runtime.http, "bad").status == 204)

    def test_a_component_of_unknown_type_is_reported_and_keeps_nobody_else_from_serving(self):
        runtime = Runtime(wait=False)
        runtime.write_resource("good.yaml", store("good", runtime))
        runtime.write_resource("odd.yaml", component("odd", "state.does-not-exist", {"a": "b"}))
        with runtime:
            runtime.wait_until_healthy()

            wait_for("the good one serves", lambda: set_value(runtime.http, "good").status == 204)
            wait_for("the odd one is named", lambda: "odd" in runtime.log())

    def test_the_whole_runtime_is_healthy_soon_after_its_start(self):
        started = time.monotonic()
        with Runtime(default_resources=True):
            print(f"healthy after {(time.monotonic() - started) * 1000:.0f} ms")


if __name__ == "__main__":
    unittest.main()
