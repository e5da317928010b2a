"""Several gateways behind the same ports: what they share, and what a fault in one costs the others."""

import json
import os
import re
import select
import socket
import tempfile
import threading
import unittest

from runtime import PATIENCE, App, Client, Load, Runtime, component, wait_for

STORES = {
    "a.yaml": component("statestore", "state.in-memory") + "---\n" + component("pubsub", "pubsub.sqlite"),
}

# With a limit of calls invoke does not dial the app itself.
THROUGH_GATEWAY = ["--app-max-concurrency", "64"]


def gateway_name(number):
    return "gateway" if number == 1 else f"gateway-{number}"


class Pair(Runtime):
    """A runtime with two gateways."""

    def __init__(self, **rest):
        self.opened = []
        super().__init__(flags=["--gateways", "2", *rest.pop("flags", [])], resources=rest.pop("resources", STORES),
                         **rest)

    def wait_until_healthy(self):
        super().wait_until_healthy()
        if "2" in self.flags:
            self.wait_for_both()

    def ports_of(self, number):
        folder = self.run_dir if number == 1 else os.path.join(self.run_dir, "gateways", str(number))
        with open(os.path.join(folder, "gateway.json")) as file:
            return json.load(file)

    def wait_for_both(self):
        """Both listen for the first one's apps, and every capability is linked to both."""
        def ready():
            if self.ports_of(1)["apps"] != self.ports_of(2)["apps"]:
                return False
            for number in (1, 2):
                client = Client(self.ports_of(number)["admin"])
                status = client.get("/status").json()
                client.close()
                if status["pid"] != self.pid(gateway_name(number)):
                    return False
                for capability in status["capabilities"]:
                    if not any(i["linked"] and i["configured"] for i in capability["instances"]):
                        return False
            return True
        wait_for("both gateways serve", ready)

    def metric(self, number, name, label=""):
        client = Client(self.ports_of(number)["admin"])
        try:
            text = client.get("/metrics").body.decode()
        finally:
            client.close()
        return float(re.search(rf"^{name}{re.escape(label)} (\S+)$", text, re.M).group(1))

    def owner(self, client):
        """Number of the gateway that holds the other end of a client's connection; None: nobody yet."""
        mine, theirs = client.connection.sock.getsockname()[1], client.connection.sock.getpeername()[1]
        with open("/proc/net/tcp") as file:
            rows = [line.split() for line in file][1:]
        for row in rows:
            local, remote = (int(row[i].split(":")[1], 16) for i in (1, 2))
            if (local, remote) != (theirs, mine):
                continue
            for number in (1, 2):
                folder = f"/proc/{self.pid(gateway_name(number))}/fd"
                for entry in os.listdir(folder):
                    try:
                        if os.readlink(os.path.join(folder, entry)) == f"socket:[{row[9]}]":
                            return number
                    except OSError:
                        pass  # closed meanwhile
        return None

    def close(self):
        for client in self.opened:
            client.close()
        super().close()

    def clients(self, each=1, app_id=None):
        """Clients by the gateway that serves them; closed with the runtime."""
        found = {1: [], 2: []}

        def enough():
            client = self.client(app_id)
            client.get("/v1.0/healthz/outbound")
            number = self.owner(client)
            if number is None or len(found[number]) >= each:
                client.close()
            else:
                found[number].append(client)
                self.opened.append(client)
            return all(len(some) >= each for some in found.values())
        wait_for("connections land on both gateways", enough)
        return found

    def loads(self, step, each=1):
        """Loads by the gateway that serves them."""
        found = {1: [], 2: []}
        for number, clients in self.clients(each).items():
            for client in clients:
                load = Load(client.port, step, client)
                found[number].append(load)
        return found


def is_alive(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read() != b""  # nothing is left of it in one that nobody has waited for
    except OSError:
        return False


def set_and_get(client, number):
    key = f"k{number % 50}"
    answer = client.post("/v1.0/state/statestore", [{"key": key, "value": number}])
    return answer if answer.status != 204 else client.get(f"/v1.0/state/statestore/{key}")


class SharedTest(unittest.TestCase):
    """What two gateways do as one."""

    @classmethod
    def setUpClass(cls):
        cls.app = App(subscriptions=[{"pubsubname": "pubsub", "topic": "orders", "route": "/orders"}])
        cls.addClassCleanup(cls.app.close)
        cls.runtime = Pair(app=cls.app)
        cls.addClassCleanup(cls.runtime.close)
        cls.runtime.start()
        wait_for("the app subscribes", lambda: cls.app.received("/dapr/subscribe"))
        cls.both = {number: clients[0] for number, clients in cls.runtime.clients().items()}

    def test_connections_land_on_both_and_each_counts_its_own(self):
        name = "caisson_gateway_requests_total"
        before = self.runtime.metric(2, name)

        for _ in range(10):
            self.both[2].get("/v1.0/healthz/outbound")

        wait_for("it counts them", lambda: self.runtime.metric(2, name) >= before + 10)
        wait_for("the first one shows them", lambda: self.runtime.metric(1, name, '{gateway="gateway-2"}') >=
                 before + 10)
        self.assertGreater(self.runtime.metric(1, name, '{gateway="gateway"}'), 0)

    def test_status_lists_every_gateway(self):
        for name in ("gateway", "gateway-2"):
            self.assertEqual(self.runtime.process_status(name)["state"], "running")
            self.assertEqual(self.runtime.process_status(name)["pid"], self.runtime.pid(name))

    def test_what_is_written_through_one_is_read_through_the_other(self):
        for number, client in self.both.items():
            self.assertEqual(client.post("/v1.0/state/statestore", [{"key": f"by-{number}", "value": number}]).status,
                             204)
        for number in self.both:
            for client in self.both.values():
                self.assertEqual(client.get(f"/v1.0/state/statestore/by-{number}").json(), number)

    def test_a_message_is_delivered_once_however_many_gateways_know_the_app(self):
        for n in range(50):
            for number, client in self.both.items():
                answer = client.post("/v1.0/publish/pubsub/orders", {"by": number, "n": n})
                self.assertEqual(answer.status, 204, answer)
        self.both[1].post("/v1.0/publish/pubsub/orders", {"by": 0, "n": 0})

        def data():
            return [(r.json()["data"]["by"], r.json()["data"]["n"]) for r in self.app.received("/orders")]
        wait_for("all are delivered", lambda: len(data()) >= 101)
        wait_for("nothing is under way", lambda: self.runtime.metric(1, "caisson_app_calls_in_flight",
                                                                     '{app="shop"}') == 0)
        self.assertEqual(sorted(data()), sorted([(0, 0)] + [(b, n) for b in (1, 2) for n in range(50)]))

    def test_the_app_is_invoked_through_both(self):
        for number, client in self.both.items():
            answer = client.post("/v1.0/invoke/shop/method/hello", {"by": number})
            self.assertEqual(answer.status, 200, answer)
        self.assertEqual(sorted(r.json()["by"] for r in self.app.received("/hello")), [1, 2])

    def test_attributes_put_through_one_are_seen_through_the_other(self):
        self.assertEqual(self.both[1].put("/v1.0/metadata/colour", "red").status, 204)
        self.assertEqual(self.both[2].put("/v1.0/metadata/size", "large").status, 204)

        for client in self.both.values():
            extended = client.get("/v1.0/metadata").json()["extended"]
            self.assertEqual((extended["colour"], extended["size"]), ("red", "large"))

    def test_a_changed_configuration_is_in_force_at_both(self):
        self.runtime.write_resource("b.yaml", component("second", "state.in-memory"))

        for client in self.both.values():
            wait_for("the component is there", lambda c=client: c.get("/v1.0/state/second/none").status == 204)
        self.runtime.remove_resource("b.yaml")
        for client in self.both.values():
            wait_for("the component is gone", lambda c=client: c.get("/v1.0/state/second/none").status == 400)


class LimitTest(unittest.TestCase):
    def test_the_limit_of_calls_to_the_app_is_one_for_all_gateways(self):
        app = App()
        self.addCleanup(app.close)
        inside, most, changed = [0], [0], threading.Condition()

        def slow(_):
            with changed:
                inside[0] += 1
                most[0] = max(most[0], inside[0])
                changed.notify_all()
                changed.wait_for(lambda: inside[0] > 1, timeout=0.02)  # gives another one the time to come
                inside[0] -= 1
            return 200, {}, b""
        app.answers["/slow"] = slow
        with Pair(app=app, flags=["--app-max-concurrency", "1"]) as runtime:
            loads = runtime.loads(lambda client, n: client.post("/v1.0/invoke/shop/method/slow", "x"), each=2)
            for load in loads[1] + loads[2]:
                load.wait_for_more(20)
            for load in loads[1] + loads[2]:
                load.stop()
                self.assertEqual((load.broken, load.others_than(200)), ([], []))
        self.assertEqual(most[0], 1)


class AppsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = os.path.join(self.folder.name, "apps.yaml")

    def write(self, *apps):
        with open(self.path + ".new", "w") as file:
            json.dump([dict(app, listenAddresses=["127.0.0.1"]) for app in apps], file)
        os.replace(self.path + ".new", self.path)

    def test_apps_come_and_go_at_both(self):
        other = App()
        self.addCleanup(other.close)
        self.write({"id": "shop"})
        with Pair(flags=["--apps", self.path]) as runtime:
            self.write({"id": "shop"}, {"id": "till"})
            wait_for("it is attached", lambda: runtime.http_port("till"))
            runtime.wait_for_both()
            both = runtime.clients(app_id="till")
            for number, clients in both.items():
                answer = clients[0].post("/v1.0/state/statestore", [{"key": "k", "value": number}])
                self.assertEqual(answer.status, 204, answer)

            port = runtime.http_port("till")
            self.write({"id": "shop"}, {"id": "till", "httpPort": port, "appPort": other.port})
            wait_for("it is invoked where it is now", lambda: runtime.http.post(
                "/v1.0/invoke/till/method/x", "").status == 200)
            runtime.wait_for_both()
            self.assertEqual(runtime.http_port("till"), port)
            runtime.clients(app_id="till")

            self.write({"id": "shop"})
            wait_for("it is detached", lambda: all(
                [app["id"] for app in runtime.ports_of(number)["apps"]] == ["shop"] for number in (1, 2)))
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", port))
            self.assertEqual(runtime.http.get("/v1.0/healthz").status, 204)


class FaultTest(unittest.TestCase):
    def kill_under_load(self, killed):
        app = App(subscriptions=[{"pubsubname": "pubsub", "topic": "orders", "route": "/orders"}])
        self.addCleanup(app.close)
        with Pair(app=app) as runtime:
            port = runtime.http_port()
            loads = runtime.loads(set_and_get, each=2)
            survivors = loads[3 - killed]
            for load in loads[1] + loads[2]:
                load.wait_for_more()

            old = runtime.pid(gateway_name(killed))
            death = os.pidfd_open(old)
            self.addCleanup(os.close, death)
            runtime.kill(gateway_name(killed))
            self.assertEqual(select.select([death], [], [], PATIENCE)[0], [death])
            for number in range(20):  # new connections are served at once
                client = Client(port)
                answer = set_and_get(client, number)
                client.close()
                self.assertEqual(answer.status, 200, answer)
            runtime.wait_for_new_pid(gateway_name(killed), old)
            runtime.wait_for_both()
            for load in survivors:
                load.wait_for_more()
            for load in loads[1] + loads[2]:
                load.stop()

            for load in survivors:
                self.assertEqual((load.broken, load.others_than(200)), ([], []))
            self.assertEqual(runtime.http_port(), port)
            both = runtime.clients()  # and it takes connections again
            for number, clients in both.items():
                answer = clients[0].post("/v1.0/publish/pubsub/orders", {"by": number})
                self.assertEqual(answer.status, 204, answer)
                wait_for("the app is told", lambda n=number: any(
                    r.json()["data"] == {"by": n} for r in app.received("/orders")))
                self.assertEqual(clients[0].post("/v1.0/invoke/shop/method/hello", "").status, 200)

    def test_the_first_is_killed(self):
        self.kill_under_load(1)

    def test_the_second_is_killed(self):
        self.kill_under_load(2)

    def test_the_app_is_invoked_while_the_first_is_away(self):
        app = App()
        self.addCleanup(app.close)
        with Pair(app=app, flags=THROUGH_GATEWAY) as runtime:
            client = runtime.clients()[2][0]
            self.assertEqual(client.post("/v1.0/invoke/shop/method/x", "").status, 200)

            lost = '{capability="invoke",instance="invoke"}'
            before = runtime.metric(2, "caisson_links_lost_total", lost)
            old = runtime.kill("gateway")
            wait_for("the link to it is seen to be gone",
                     lambda: runtime.metric(2, "caisson_links_lost_total", lost) > before)
            load = Load(client.port, lambda own, n: own.post("/v1.0/invoke/shop/method/x", ""), client)
            load.wait_for_more()
            runtime.wait_for_new_pid("gateway", old)
            runtime.wait_for_both()
            load.wait_for_more()
            load.stop()
            self.assertEqual((load.broken, load.others_than(200)), ([], []))

    def test_a_planned_restart_of_the_first_breaks_nothing_at_the_second(self):
        app = App()
        self.addCleanup(app.close)
        with Pair(app=app, flags=THROUGH_GATEWAY) as runtime:
            client = runtime.clients()[2][0]
            load = Load(client.port, lambda own, n: own.post("/v1.0/invoke/shop/method/x", ""), client)
            load.wait_for_more()

            done = runtime.caisson("restart", "gateway")

            self.assertEqual(done.returncode, 0, done.stderr)
            runtime.wait_for_both()
            load.wait_for_more()
            load.stop()
            self.assertEqual((load.broken, load.others_than(200)), ([], []))

    def test_config_comes_back_to_both(self):
        with Pair() as runtime:
            both = runtime.clients()
            old = runtime.kill("config")
            runtime.wait_for_new_pid("config", old)
            runtime.wait_for_both()
            runtime.write_resource("b.yaml", component("second", "state.in-memory"))
            for clients in both.values():
                wait_for("the component is there",
                         lambda c=clients[0]: c.get("/v1.0/state/second/none").status == 204)


class StartAndEndTest(unittest.TestCase):
    def test_a_term_signal_ends_everything_with_exit_code_zero(self):
        with Pair() as runtime:
            pids = runtime.left_behind()
            self.assertIn(runtime.pid("gateway-2"), pids)
            self.assertEqual(runtime.stop(), 0)

            for pid in pids:
                self.assertFalse(os.path.exists(f"/proc/{pid}"), pid)
            self.assertFalse([f for f in os.listdir(runtime.run_dir) if f.endswith(".pid")])

    def test_a_shutdown_call_through_the_second_ends_the_whole_runtime(self):
        with Pair() as runtime:
            self.assertEqual(runtime.clients()[2][0].post("/v1.0/shutdown").status, 204)

            self.assertEqual(runtime.process.wait(PATIENCE), 0)
            self.assertEqual(runtime.left_behind(), [])

    def test_the_second_is_restarted_by_name(self):
        with Pair() as runtime:
            old = runtime.pid("gateway-2")
            done = runtime.caisson("restart", "gateway-2")

            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotEqual(runtime.pid("gateway-2"), old)
            runtime.wait_for_both()
            runtime.clients()

    def test_what_a_killed_supervisor_left_goes_on_or_is_ended(self):
        with Pair() as runtime:
            runtime.process.kill()
            runtime.process.wait()
            left = runtime.left_behind()
            second = runtime.pid("gateway-2")

            runtime.flags = ["--gateways", "1"]
            runtime.start()

            wait_for("what is not wanted is ended", lambda: not is_alive(second))
            runtime.process.kill()
            runtime.process.wait()
            done = runtime.caisson("stop")
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual([pid for pid in left if is_alive(pid)], [])

    def test_a_port_of_another_runtime_is_refused_with_its_flag(self):
        with Pair() as first:
            port = str(first.http_port())
            second = Runtime(flags=["--gateways", "2", "--dapr-http-port", port], wait=False)
            with second:
                self.assertEqual(second.process.wait(PATIENCE), 1)
                self.assertIn(f"port {port} (--dapr-http-port of app shop): Address already in use", second.log())

    def test_a_unix_socket_and_several_gateways_are_refused_together(self):
        runtime = Runtime(flags=["--gateways", "2", "--unix-domain-socket", tempfile.gettempdir()], wait=False)
        with runtime:
            self.assertEqual(runtime.process.wait(PATIENCE), 1)
            self.assertIn("needs --gateways 1", runtime.log())


if __name__ == "__main__":
    unittest.main()
