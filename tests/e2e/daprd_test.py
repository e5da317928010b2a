"""The drop-in: `daprd` with daprd's flags, log lines, exit codes and rules of starting."""

import http.client
import os
import signal
import socket
import subprocess
import sys
import tempfile
import unittest

from runtime import BIN, PATIENCE, App, Client, Daprd, component, wait_for

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from servers import free_ports  # noqa: E402

READY = "dapr initialized. Status: Running. Init Elapsed "


def daprd(*words):
    """Runs daprd to its end."""
    return subprocess.run([os.path.join(BIN, "daprd"), *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, text=True, timeout=PATIENCE)


def ended(runtime):
    return wait_for("daprd ends", lambda: runtime.process.poll() is not None) and runtime.process.returncode


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=PATIENCE)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class CommandLineTest(unittest.TestCase):
    def test_version_is_one_line_of_a_version(self):
        done = daprd("--version")

        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"^\d+\.\d+\.\d+\n$")

    def test_build_info_is_three_lines(self):
        done = daprd("--build-info")

        self.assertEqual(done.returncode, 0)
        self.assertRegex(done.stdout, r"^Version: .+\nGit Commit: .+\nGit Version: .+\n$")

    def test_an_unknown_flag_and_a_missing_app_id_end_with_1(self):
        for words, text in ((["--app-id", "a", "--no-such-flag", "1"], "unknown flag: --no-such-flag"),
                            ([], "app-id parameter cannot be empty")):
            done = daprd(*words)
            self.assertEqual(done.returncode, 1, words)
            self.assertIn(text, done.stderr)

    def test_a_configuration_file_that_is_missing_or_broken_ends_it_with_1(self):
        with tempfile.TemporaryDirectory() as folder:
            broken = os.path.join(folder, "config.yaml")
            with open(broken, "w") as file:
                file.write("apiVersion: dapr.io/v1alpha1\nkind: [Configuration\n")
            for path in (os.path.join(folder, "none.yaml"), broken):
                done = daprd("--app-id", "a", "--dapr-http-port", "0", "--metrics-port", "0", "--config", path,
                             "--run-dir", os.path.join(folder, "run"), "--data-dir", os.path.join(folder, "data"))
                self.assertEqual(done.returncode, 1, done.stderr)
                self.assertIn(path, done.stderr)

    def test_a_resources_folder_that_is_missing_ends_it_with_1(self):
        with tempfile.TemporaryDirectory() as folder:
            done = daprd("--app-id", "a", "--dapr-http-port", "0", "--metrics-port", "0", "--resources-path",
                         os.path.join(folder, "none"), "--run-dir", os.path.join(folder, "run"), "--data-dir",
                         os.path.join(folder, "data"))
            self.assertEqual(done.returncode, 1, done.stderr)
            self.assertIn("none", done.stderr)


class StartTest(unittest.TestCase):
    def test_it_says_that_it_runs_once_the_app_listens(self):
        port = free_ports(1)[0]
        with Daprd(flags=["--app-port", str(port)], wait=False) as runtime:
            wait_for("it waits for the app", lambda: f"waiting on port {port}." in runtime.log())
            self.assertNotIn(READY, runtime.log())
            outbound = wait_for("the API answers", lambda: runtime.client().get("/v1.0/healthz/outbound"))
            self.assertEqual(outbound.status, 204)

            app = App(port=port)
            self.addCleanup(app.close)

            wait_for("it says that it runs", lambda: READY in runtime.log())
            self.assertIn(f"application discovered on port {port}", runtime.log())
            self.assertEqual(runtime.client().get("/v1.0/healthz").status, 204)

    def test_without_resources_there_are_no_components(self):
        with Daprd() as runtime:
            wait_for("it runs", lambda: READY in runtime.log())
            self.assertNotIn("components", runtime.http.get("/v1.0/metadata").json())
            self.assertEqual(runtime.http.get("/v1.0/state/statestore/a").status, 500)

    def test_the_dapr_cli_finds_it_among_the_processes(self):
        with Daprd() as runtime:
            with open(f"/proc/{runtime.process.pid}/comm") as name, \
                    open(f"/proc/{runtime.process.pid}/cmdline") as words:
                self.assertEqual(name.read(), "daprd\n")
                self.assertIn("-app-id\0shop\0", words.read())

    def test_wait_returns_once_the_runtime_answers(self):
        with Daprd() as runtime:
            done = daprd("--wait", "--dapr-http-port", str(runtime.http_port()))

            self.assertEqual(done.returncode, 0, done.stderr)

    def test_several_on_one_host_do_not_meet(self):
        with Daprd(own_folders=True, app_id="one", wait=False) as first:
            flags = ["--dapr-http-port", str(free_ports(1)[0])]
            with Daprd(own_folders=True, app_id="one", flags=flags, wait=False, folder=first.folder) as second, \
                    Daprd(own_folders=True, app_id="two", wait=False, folder=first.folder) as third:
                wait_for("all run", lambda: first.log().count(READY) == 3)  # one folder, one log
                for runtime in (first, second, third):
                    self.assertIsNone(runtime.process.poll())
                for runtime in (first, second, third):
                    self.assertEqual(runtime.stop(), 0)

    def test_a_port_in_use_ends_it_with_1(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            with Daprd(flags=["--dapr-http-port", str(taken.getsockname()[1])], wait=False) as runtime:
                self.assertEqual(ended(runtime), 1)
                self.assertIn("--dapr-http-port", runtime.log())


class ComponentFailureTest(unittest.TestCase):
    ODD = component("odd", "state.no-such-type")

    def test_an_unknown_component_type_ends_it_with_1_and_the_reason(self):
        for kind in ("state.no-such-type", "nonsense.kind"):
            with Daprd(resources={"odd.yaml": component("odd", kind)}, wait=False) as runtime:
                self.assertEqual(ended(runtime), 1, kind)
                self.assertRegex(runtime.log(), r"Fatal error from runtime: .*\[INIT_COMPONENT_FAILURE\].* odd \(" + kind)
                self.assertNotIn(READY, runtime.log())
                self.assertEqual(runtime.left_behind(), [])

    def test_with_ignore_errors_it_runs_without_that_component(self):
        ignoring = self.ODD.replace("  version: v1\n", "  version: v1\n  ignoreErrors: true\n")
        with Daprd(resources={"odd.yaml": ignoring, "s.yaml": component("good", "state.in-memory")}) as runtime:
            wait_for("it runs", lambda: READY in runtime.log())
            names = [c["name"] for c in runtime.http.get("/v1.0/metadata").json()["components"]]
            self.assertEqual(names, ["good"])

    def test_a_component_of_another_app_does_not_matter(self):
        with Daprd(resources={"odd.yaml": component("odd", "state.no-such-type", scopes=["other"])}) as runtime:
            wait_for("it runs", lambda: READY in runtime.log())

    def test_a_missing_secret_ends_it_with_1(self):
        text = component("s", "state.sqlite", {"connectionString": "x"})
        text = text.replace('    value: "x"\n', "    secretKeyRef:\n      name: none\n      key: none\n")
        text += "auth:\n  secretStore: vault\n"
        with tempfile.NamedTemporaryFile("w", suffix=".json") as secrets:
            secrets.write("{}")
            secrets.flush()
            vault = component("vault", "secretstores.local.file", {"secretsFile": secrets.name})
            with Daprd(resources={"s.yaml": text, "vault.yaml": vault}, wait=False) as runtime:
                self.assertEqual(ended(runtime), 1)
                self.assertIn("[INIT_COMPONENT_FAILURE]", runtime.log())

    def test_what_was_in_the_folder_at_an_earlier_start_is_forgotten(self):
        with Daprd(resources={"s.yaml": component("s", "state.in-memory")}) as runtime:
            wait_for("it runs", lambda: READY in runtime.log())
            self.assertEqual(runtime.stop(), 0)
            runtime.remove_resource("s.yaml")
            runtime.write_resource("t.yaml", component("t", "state.in-memory"))
            runtime.start()
            names = [c["name"] for c in runtime.http.get("/v1.0/metadata").json()["components"]]
            self.assertEqual(names, ["t"])


class EndTest(unittest.TestCase):
    def test_a_signal_ends_it_with_0_and_nothing_stays(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with Daprd() as runtime:
                runtime.process.send_signal(number)
                self.assertEqual(runtime.process.wait(PATIENCE), 0)
                self.assertEqual(runtime.left_behind(), [])

    def test_a_hang_up_does_not_end_it(self):
        with Daprd() as runtime:
            runtime.process.send_signal(signal.SIGHUP)
            wait_for("it says so", lambda: "SIGHUP" in runtime.log())
            self.assertEqual(runtime.http.get("/v1.0/healthz").status, 204)

    def test_killed_it_takes_everything_with_it(self):
        with Daprd() as runtime:
            runtime.process.kill()
            runtime.process.wait()
            wait_for("all processes end", lambda: runtime.left_behind() == [])

    def test_the_shutdown_api_ends_it_with_0(self):
        with Daprd() as runtime:
            self.assertEqual(runtime.http.post("/v1.0/shutdown").status, 204)
            self.assertEqual(ended(runtime), 0)

    def test_block_shutdown_goes_on_until_the_app_is_gone_and_a_second_signal_ends_at_once(self):
        app = App()
        with Daprd(app=app, flags=["--dapr-block-shutdown-duration", "10m"]) as runtime:
            runtime.process.send_signal(signal.SIGTERM)
            wait_for("it says so", lambda: "everything goes on until the app" in runtime.log())
            self.assertEqual(runtime.http.get("/v1.0/healthz").status, 204)
            app.close()
            self.assertEqual(ended(runtime), 0)
        with Daprd(flags=["--dapr-block-shutdown-duration", "10m"]) as runtime:
            runtime.process.send_signal(signal.SIGTERM)
            wait_for("it says so", lambda: "everything goes on until the app" in runtime.log())
            runtime.process.send_signal(signal.SIGTERM)
            self.assertEqual(ended(runtime), 1)


class DoorsTest(unittest.TestCase):
    def test_unix_domain_sockets_take_the_place_of_ports(self):
        with tempfile.TemporaryDirectory() as folder:
            with Daprd(flags=["--unix-domain-socket", folder], wait=False) as runtime:
                wait_for("it runs", lambda: READY in runtime.log())
                connection = UnixConnection(os.path.join(folder, "dapr-shop-http.socket"))
                connection.request("GET", "/v1.0/healthz")
                self.assertEqual(connection.getresponse().status, 204)
                connection.close()

    def test_the_api_token_is_asked_for(self):
        with Daprd(environment={"DAPR_API_TOKEN": "t0ken"}) as runtime:
            self.assertEqual(runtime.http.get("/v1.0/metadata").status, 401)
            answer = runtime.http.get("/v1.0/metadata", headers={"dapr-api-token": "t0ken"})
            self.assertEqual(answer.status, 200)

    def test_metrics_lie_on_the_metrics_port(self):
        port = free_ports(1)[0]
        with Daprd(flags=["--metrics-port", str(port), "--metrics-listen-address", "127.0.0.1"]):
            self.assertEqual(Client(port).get("/metrics").status, 200)

    def test_app_health_flags_probe_the_app(self):
        app = App()
        self.addCleanup(app.close)
        sick = {"now": False}
        app.answers["/alive"] = lambda _: (500 if sick["now"] else 200, {}, b"")
        flags = ["--enable-app-health-check", "--app-health-check-path", "/alive", "--app-health-probe-interval", "1",
                 "--app-health-probe-timeout", "900", "--app-health-threshold", "1"]
        with Daprd(app=app, flags=flags) as runtime:
            wait_for("calls go through", lambda: runtime.http.get("/v1.0/invoke/shop/method/hello").status == 200)
            sick["now"] = True
            wait_for("calls are refused", lambda: runtime.http.get("/v1.0/invoke/shop/method/hello").status == 500)

    def test_init_endpoints_that_are_disabled_are_not_asked(self):
        app = App(subscriptions=[{"pubsubname": "p", "topic": "t", "route": "/t"}])
        self.addCleanup(app.close)
        resources = {"p.yaml": component("p", "pubsub.in-memory")}
        with Daprd(app=app, resources=resources, flags=["--disable-init-endpoints", "subscribe"]) as runtime:
            wait_for("it runs", lambda: READY in runtime.log())
            self.assertEqual(runtime.http.get("/v1.0/invoke/shop/method/hello").status, 200)
            self.assertEqual(app.received("/dapr/subscribe"), [])
            self.assertNotIn("subscriptions", runtime.http.get("/v1.0/metadata").json())


if __name__ == "__main__":
    unittest.main()
