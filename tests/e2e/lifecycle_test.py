"""Starting, ending, and the commands that speak to a running runtime."""

import json
import os
import socket
import subprocess
import tempfile
import unittest

from every_capability import Shop
from runtime import BIN, PATIENCE, App, Runtime, component, wait_for


def caisson(*words, **rest):
    return subprocess.run([os.path.join(BIN, "caisson"), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, timeout=PATIENCE, **rest)


class CommandLineTest(unittest.TestCase):
    def test_the_version_is_printed(self):
        done = caisson("--version")

        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"^\d+\.\d+\.\d+\n$")

    def test_help_names_every_command(self):
        done = caisson("--help")

        self.assertEqual(done.returncode, 0)
        for command in ("up", "status", "restart", "stop"):
            self.assertIn(command, done.stdout)

    def test_a_wrong_flag_is_one_line_and_exit_code_one(self):
        done = caisson("up", "--no-such-flag")

        self.assertEqual((done.returncode, done.stdout, done.stderr.count("\n")), (1, "", 1))

    def test_without_a_runtime_the_commands_say_so(self):
        with tempfile.TemporaryDirectory() as folder:
            for command in (("status",), ("restart", "state"), ("stop",)):
                done = caisson(*command, "--run-dir", folder)
                self.assertEqual(done.returncode, 1)
                self.assertIn("no caisson serves", done.stderr)

    def test_what_this_build_cannot_do_is_refused_clearly(self):
        with tempfile.TemporaryDirectory() as folder:
            for flags, words in ((("--transport", "pigeon"), "use shm, ipc or tcp"),
                                 (("--in-process", "--transport", "tcp"), "excludes")):
                done = caisson("up", "--run-dir", folder + "/r", "--data-dir", folder + "/d", *flags)
                self.assertEqual(done.returncode, 1)
                self.assertIn(words, done.stderr)


class StartTest(unittest.TestCase):
    def refused(self, runtime):
        with runtime:
            self.assertEqual(runtime.process.wait(PATIENCE), 1)
            return runtime.log()

    def test_a_port_in_use_is_named_with_its_flag(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = str(taken.getsockname()[1])
            log = self.refused(Runtime(flags=["--admin-port", port], wait=False))
            self.assertIn(f"port {port} (--admin-port): Address already in use", log)

    def test_a_run_directory_in_use_names_the_pid_that_holds_it(self):
        with Runtime() as first:
            second = Runtime(wait=False)
            second.run_dir = first.run_dir
            with second:
                self.assertEqual(second.process.wait(PATIENCE), 1)
                self.assertIn(f"is in use by another caisson (pid {first.process.pid})", second.log())
                second.run_dir = second.folder  # its own clean-up must not end the first one's processes
            self.assertEqual(first.http.get("/v1.0/healthz").status, 204)

    def test_a_data_directory_in_use_is_refused(self):
        with Runtime() as first:
            second = Runtime(wait=False)
            second.data_dir = first.data_dir
            self.assertIn("is in use by another caisson", self.refused(second))

    def test_a_missing_resources_folder_is_named(self):
        runtime = Runtime(wait=False)
        os.rmdir(runtime.resources)
        self.assertIn(runtime.resources, self.refused(runtime))


class EndTest(unittest.TestCase):
    def test_a_term_signal_ends_everything_with_exit_code_zero(self):
        with Runtime() as runtime:
            pids = runtime.left_behind()
            self.assertEqual(runtime.stop(), 0)

            for pid in pids:
                self.assertFalse(os.path.exists(f"/proc/{pid}"), pid)
            self.assertFalse([f for f in os.listdir(runtime.run_dir) if f.endswith(".pid")])

    def test_stop_returns_when_everything_has_ended(self):
        with Runtime() as runtime:
            pids = runtime.left_behind()

            done = runtime.caisson("stop")

            self.assertEqual((done.returncode, done.stdout), (0, "stopped\n"), done.stderr)
            for pid in pids:
                self.assertFalse(os.path.exists(f"/proc/{pid}"), pid)
            self.assertEqual(runtime.process.wait(PATIENCE), 0)

    def test_the_shutdown_call_ends_the_whole_runtime(self):
        with Runtime() as runtime:
            self.assertEqual(runtime.http.post("/v1.0/shutdown").status, 204)

            self.assertEqual(runtime.process.wait(PATIENCE), 0)
            self.assertEqual(runtime.left_behind(), [])

    def test_what_was_written_is_there_after_a_restart_of_everything(self):
        with Runtime(default_resources=True) as runtime:
            runtime.http.post("/v1.0/state/statestore", [{"key": "kept", "value": "yes"}])
            self.assertEqual(runtime.stop(), 0)

            runtime.start()

            self.assertEqual(runtime.http.get("/v1.0/state/statestore/kept").json(), "yes")

    def test_the_processes_of_a_killed_supervisor_go_on_and_the_next_takes_them_over(self):
        with Runtime(default_resources=True) as runtime:
            runtime.http.post("/v1.0/state/statestore", [{"key": "kept", "value": "yes"}])
            before = {name: runtime.pid(name) for name in ("config", "state", "pubsub", "invoke")}
            runtime.process.kill()
            runtime.process.wait()
            self.assertEqual(runtime.http.get("/v1.0/state/statestore/kept").json(), "yes")

            with open(runtime.log_path, "ab") as log:
                runtime.process = subprocess.Popen(runtime.command(), stdout=log, stderr=log)
            wait_for("the next supervisor answers",  # before it does, the gateway alone does
                     lambda: runtime.status()["runtime"]["pid"] == runtime.process.pid)

            self.assertEqual({name: runtime.pid(name) for name in before}, before)
            self.assertEqual(runtime.http.get("/v1.0/state/statestore/kept").json(), "yes")
            self.assertEqual(runtime.stop(), 0)
            self.assertEqual(runtime.left_behind(), [])

    def test_stop_ends_what_a_killed_supervisor_left_behind(self):
        with Runtime() as runtime:
            runtime.process.kill()
            runtime.process.wait()

            done = runtime.caisson("stop")

            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual(runtime.left_behind(), [])


class StatusTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.runtime = Runtime(default_resources=True)
        cls.runtime.__enter__()
        cls.addClassCleanup(cls.runtime.close)

    def test_status_shows_processes_and_components(self):
        def shown():
            done = self.runtime.caisson("status")
            return done.stdout if "statestore" in done.stdout else None

        table = wait_for("status names the components", shown)

        for words in ("gateway", "state", "pubsub", "config", "invoke", "running", "state.sqlite"):
            self.assertIn(words, table)

    def test_status_as_json_holds_the_pids_of_the_pid_files(self):
        status = self.runtime.status()

        pids = {p["name"]: p["pid"] for p in status["runtime"]["processes"]}
        for name in ("gateway", "state", "pubsub", "config", "invoke"):
            self.assertEqual(pids[name], self.runtime.pid(name))
        self.assertIsNotNone(status["gateway"])

    def test_restart_replaces_one_process_and_no_other(self):
        others = {name: self.runtime.pid(name) for name in ("gateway", "pubsub", "config", "invoke")}
        before = self.runtime.pid("state")

        done = self.runtime.caisson("restart", "state")

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotEqual(self.runtime.pid("state"), before)
        self.assertEqual({name: self.runtime.pid(name) for name in others}, others)

    def test_restarting_what_is_not_there_is_a_clear_error(self):
        done = self.runtime.caisson("restart", "nobody")

        self.assertEqual((done.returncode, done.stderr), (1, "caisson: no process is called nobody\n"))


class AppsTest(unittest.TestCase):
    def test_apps_attach_and_detach_while_it_runs(self):
        first, second = App(), App()
        self.addCleanup(first.close)
        self.addCleanup(second.close)
        with tempfile.TemporaryDirectory() as folder:
            apps = os.path.join(folder, "apps.yaml")

            def write(*entries):
                with open(apps + ".new", "w") as file:
                    json.dump([{"id": name, "appPort": app.port, "listenAddresses": ["127.0.0.1"]}
                               for name, app in entries], file)
                os.replace(apps + ".new", apps)

            write(("one", first))
            with Runtime(app_id="one", flags=["--apps", apps]) as runtime:
                write(("one", first), ("two", second))
                wait_for("the second app has a door", lambda: runtime.http_port("two"))
                answer = runtime.http.get("/v1.0/invoke/two/method/hello")
                self.assertEqual(answer.status, 200, answer)

                write(("one", first))
                wait_for("the second app's door is gone",
                         lambda: "two" not in [a["id"] for a in runtime.gateway_json()["apps"]])
                self.assertEqual(runtime.http.get("/v1.0/healthz").status, 204)


class TransportTest(unittest.TestCase):
    def test_every_capability_serves_over_every_lane(self):
        for transport in ("shm", "ipc", "tcp"):
            with self.subTest(transport), Shop(["--transport", transport]) as shop:
                shop.call_each(self)

    def test_the_lanes_are_counted(self):
        def counted(runtime, name):
            for line in runtime.admin().get("/metrics").body.decode().splitlines():
                if line.startswith(name + "{") and 'capability="state"' in line:
                    return float(line.split()[-1])
            raise KeyError(name)
        with Runtime(default_resources=True) as runtime:
            before = counted(runtime, "caisson_lane_frames_out_total")
            for _ in range(10):
                runtime.http.get("/v1.0/state/statestore/none")
            self.assertGreaterEqual(counted(runtime, "caisson_lane_frames_out_total"), before + 10)
            self.assertGreater(counted(runtime, "caisson_lane_own_bytes"), 0)
            self.assertGreater(counted(runtime, "caisson_lane_mapped_bytes"), 0)

    def test_gateway_and_config_share_one_copy_of_a_generation(self):
        def sealed(runtime, name):
            with open(f"/proc/{runtime.pid(name)}/maps") as file:
                return {line.split()[4] for line in file if "memfd:caisson-sealed" in line}
        many = {f"{i}.yaml": component(f"memory{i}", "state.in-memory") for i in range(40)}  # more than fits a record
        with Runtime(resources=many) as runtime:
            wait_for("a generation in both", lambda: sealed(runtime, "config") & sealed(runtime, "gateway"))
            self.assertEqual(sealed(runtime, "state"), set())  # it has read its own, and keeps none


class EnvironmentTest(unittest.TestCase):
    def test_only_the_gateway_is_given_the_tokens(self):
        tokens = {"DAPR_API_TOKEN": "in-canary-7", "APP_API_TOKEN": "out-canary-8"}
        with Runtime(environment=tokens, wait=False, resources={
                "s.yaml": component("env", "secretstores.local.env")}) as runtime:
            wait_for("all run", lambda: len(runtime.left_behind()) == 7)
            for name in ("state", "pubsub", "config", "invoke", "secrets", "lock"):
                with open(f"/proc/{runtime.pid(name)}/environ", "rb") as file:
                    self.assertNotIn(b"canary", file.read(), name)


if __name__ == "__main__":
    unittest.main()
