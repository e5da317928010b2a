"""Builds the image and drives the committed compose files through the published port: every API, a restart
and a kill of every container under load, everything ended at once, the store changed by YAML."""

import json
import os
import sys
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from engine import Engine, wait_for  # noqa: E402
from runtime import component  # noqa: E402
from topology import Load, Topology  # noqa: E402

engine = Engine()
IMAGES = {name: f"caisson-test-{os.getpid()}-{name}" for name in ("caisson", "app", "redis")}


def setUpModule():
    started = time.monotonic()
    engine.start()
    unittest.addModuleCleanup(engine.close)
    engine.build_caisson(IMAGES["caisson"])
    engine.build_shop(IMAGES["app"])
    if engine.has_image("redis:7"):
        IMAGES["redis"] = "redis:7"
    else:
        engine.build_redis(IMAGES["redis"])
    size = engine.inspect(IMAGES["caisson"])["Size"] / 1e6
    print(f"image: {size:.0f} MB; images ready after {time.monotonic() - started:.0f} s", flush=True)


def without_not_ready(answers):
    """A gateway that begins or ends says so when its health is asked."""
    return [answer for answer in answers if "ERR_HEALTH_NOT_READY" not in answer]


class TopologyTest:
    """What holds in every topology; subclasses say which files."""

    FILES = ()
    # Which kinds of request a container serves itself; the others must not notice anything.
    OWN = {"gateway": None, "state": {"state-get", "state-set"}, "pubsub": {"publish"}, "invoke": {"invoke"},
           "secrets": {"secrets"}, "lock": {"lock"}, "config": {"configuration"}, "app": {"invoke"},
           "redis": {"configuration"}}

    @classmethod
    def setUpClass(cls):
        started = time.monotonic()
        cls.topology = Topology(engine, list(cls.FILES), IMAGES)
        cls.topology.__enter__()
        cls.addClassCleanup(cls.topology.__exit__, None)
        print(f"{' + '.join(cls.FILES)}: up after {time.monotonic() - started:.1f} s", flush=True)

    def setUp(self):
        self.topology.wait_until_serving()
        self.client = self.topology.client()
        self.addCleanup(self.client.close)

    def test_every_api_answers_through_the_published_port(self):
        self.assertEqual(self.client.post("/v1.0/state/statestore", [{"key": "cart", "value": 3}]).status, 204)
        self.assertEqual(self.client.get("/v1.0/state/statestore/cart").json(), 3)
        self.assertEqual(self.client.get("/v1.0/secrets/vault/redis:password").json(),
                         {"redis:password": "correct horse"})
        self.assertEqual(self.client.post("/v1.0-alpha1/lock/lockstore", {
            "resourceId": "cart", "lockOwner": "me", "expiryInSeconds": 1}).json(), {"success": True})
        engine.docker("exec", self.topology.container("redis"), "redis-cli", "set", "theme", "dark")
        wait_for("the configuration API", lambda: self.client.get("/v1.0/configuration/settings?key=theme")
                 .json()["theme"]["value"] == "dark")
        self.assertIn("statestore", [c["name"] for c in self.client.get("/v1.0/metadata").json()["components"]])
        accepted = self.client.post("/v1.0/invoke/shop/method/orders", {"id": 17, "item": "tea"})
        self.assertEqual((accepted.status, accepted.json()), (202, {"accepted": "17"}))

        def packed():
            return self.client.get("/v1.0/invoke/shop/method/orders/17").json() == {"item": "tea", "status": "packed"}
        wait_for("the order came as an event, and the app kept it", packed)

    def test_every_container_becomes_healthy_and_is_locked_down(self):
        for service in self.topology.services:
            wait_for(f"{service} is healthy",
                     lambda: self.topology.inspect(service)["State"]["Health"]["Status"] == "healthy", 90)
        users = set()
        for service in self.topology.services:
            about = self.topology.inspect(service)
            host = about["HostConfig"]
            self.assertTrue(host["ReadonlyRootfs"], service)
            self.assertEqual(host["CapDrop"], ["ALL"], service)
            self.assertIn("no-new-privileges:true", host["SecurityOpt"], service)
            self.assertGreater(host["Memory"], 0, service)
            self.assertGreater(host["PidsLimit"], 0, service)
            self.assertEqual(host["RestartPolicy"]["Name"], "unless-stopped", service)
            self.assertNotIn(about["Config"]["User"], users | {"", "0"}, service)
            users.add(about["Config"]["User"])

    def test_only_secrets_sees_the_secrets_file_and_only_config_the_resources(self):
        for service in self.topology.services:
            mounted = {m["Destination"] for m in self.topology.inspect(service)["Mounts"]}
            self.assertEqual("/etc/caisson/secrets.json" in mounted, service == "secrets", service)
            self.assertEqual("/etc/caisson/resources" in mounted, service == "config", service)
            sockets = {m for m in mounted if m.startswith("/run/caisson/")}
            if service != "gateway":
                self.assertLessEqual(sockets, {f"/run/caisson/{service}"}, service)

    def check_load(self, load, service, planned):
        own = self.OWN[service]
        for kind in load.kinds():
            failed, broken = load.failures.get(kind, []), load.broken.get(kind, [])
            if own is None:  # the gateway: connections break, and nothing is answered wrongly
                self.assertEqual(without_not_ready(failed), [], f"{service}: {kind}")
            elif kind not in own:
                self.assertEqual((failed, broken), ([], []), f"{service}: {kind}")
            else:
                self.assertEqual(broken, [], f"{service}: {kind}")
                if planned and service not in ("app", "redis"):  # theirs to answer, and not there
                    self.assertEqual(failed, [], f"planned restart of {service}: {kind}")
                for answer in failed:
                    self.assertRegex(answer, "ERR_", f"{service}: {kind}")
        load.check_nothing_was_lost(self)

    def test_a_kill_of_each_container_is_not_noticed_by_the_others_and_loses_nothing(self):
        for service in self.topology.services:
            with self.subTest(service=service), Load(self.topology, f"kill-{service}") as load:
                self.topology.kill(service)
                self.topology.wait_until_serving()
                load.wait_for_more()
            self.check_load(load, service, planned=False)

    def test_a_capability_may_come_before_the_gateway_and_after_it(self):
        self.topology.compose("stop", "gateway", "state")
        self.topology.compose("start", "state")
        wait_for("state runs", lambda: self.topology.inspect("state")["State"]["Running"])
        self.topology.compose("start", "gateway")
        self.topology.wait_until_serving()
        client = self.topology.client()
        self.addCleanup(client.close)
        self.assertEqual(client.post("/v1.0/state/statestore", [{"key": "late", "value": 1}]).status, 204)
        self.topology.compose("stop", "state")
        answers = []
        waiting = threading.Thread(target=lambda: answers.append(client.get("/v1.0/state/statestore/late")))
        waiting.start()
        self.topology.compose("start", "state")
        waiting.join(60)
        self.assertEqual([a.status for a in answers], [200])


class PodTest(TopologyTest, unittest.TestCase):
    FILES = ("compose.yaml",)

    def test_the_store_is_another_by_yaml_alone(self):
        """The app's container is the same before and after; orders taken in SQLite and in Redis are served."""
        app = self.topology.inspect("app")
        sqlite = self.topology.read_resource("statestore.yaml")
        self.addCleanup(self.topology.write_resource, "statestore.yaml", sqlite)
        self.topology.write_resource("statestore.yaml", component("statestore", "state.redis", {"redisHost": "redis:6379"}))
        wait_for("the component is another", lambda: "state.redis" in str(self.client.get("/v1.0/metadata").json()))

        def order_in_redis():
            self.client.post("/v1.0/invoke/shop/method/orders", {"id": 18, "item": "coffee"})
            return self.client.get("/v1.0/invoke/shop/method/orders/18").json() == {"item": "coffee", "status": "packed"}
        wait_for("an order is kept in Redis", order_in_redis)
        stored = engine.docker("exec", self.topology.container("redis"), "redis-cli", "hget", "shop||order-18", "data")
        self.assertIn("coffee", stored)

        self.topology.kill("redis")
        wait_for("the order outlives Redis' end", lambda: self.client.get(
            "/v1.0/invoke/shop/method/orders/18").json() == {"item": "coffee", "status": "packed"})
        after = self.topology.inspect("app")
        self.assertEqual((app["Id"], app["State"]["StartedAt"]), (after["Id"], after["State"]["StartedAt"]))

    def test_a_planned_restart_of_each_container_is_not_noticed_by_the_others_nor_by_its_own_callers(self):
        for service in self.topology.services:
            with self.subTest(service=service), Load(self.topology, f"restart-{service}") as load:
                self.topology.restart(service)
                self.topology.wait_until_serving()
                load.wait_for_more()
            self.check_load(load, service, planned=True)

    def end_all(self, load, order):
        """SIGTERM to the containers in groups, each group at once, the next when the first has been told."""
        containers = {service: self.topology.container(service) for service in sum(order, [])}
        for group in order:
            engine.docker("kill", "--signal", "TERM", *[containers[service] for service in group])

        def ended():
            return not any(engine.inspect(c)["State"]["Running"] for c in containers.values())
        wait_for("all have ended", ended, 60)
        load.stopping.set()
        for kind, failed in load.failures.items():
            self.assertEqual(without_not_ready(failed), [], f"{kind}, while all ended")
        codes = {service: engine.inspect(c)["State"]["ExitCode"] for service, c in containers.items()}
        self.assertEqual(set(codes.values()), {0}, codes)

    def test_sigterm_to_all_in_any_order_drains_without_an_error(self):
        capabilities = ["config", "state", "pubsub", "invoke", "secrets", "lock"]
        for order in ([["gateway", *capabilities]], [capabilities, ["gateway"]], [["gateway"], capabilities]):
            with self.subTest(order=order):
                with Load(self.topology, f"end-{len(order)}-{order[0][0]}") as load:
                    self.end_all(load, order)
                self.topology.up()
                load.check_nothing_was_lost(self)

    def test_every_container_stays_far_below_its_memory_limit_after_load(self):
        with Load(self.topology, "memory") as load:
            for _ in range(20):
                load.wait_for_more()
        figures = []
        for service in self.topology.services:
            container = self.topology.container(service)
            used = json.loads(engine.docker("stats", "--no-stream", "--format", "{{json .}}", container))["MemUsage"]
            figures.append(f"{service} {used.replace('iB', 'i')}")
            stat = self.topology.inspect(service)
            self.assertFalse(stat["State"]["OOMKilled"], service)
        print(f"memory after {sum(load.counts.values())} requests: " + ", ".join(figures), flush=True)


class TcpTest(TopologyTest, unittest.TestCase):
    FILES = ("compose.yaml", "compose.tcp.yaml")

    def test_a_capability_reaches_its_own_lane_at_the_gateway_and_no_other(self):
        networks = self.topology.inspect("pod")["NetworkSettings"]["Networks"]
        reach = {}
        for name in ("state", "pubsub"):
            address = next(n["IPAddress"] for key, n in networks.items() if key.endswith(f"bus-{name}"))
            done = engine.docker("exec", self.topology.container("state"), "timeout", "3", "bash", "-c",
                                 f"exec 3<>/dev/tcp/{address}/7001 && echo reached", check=False)
            reach[name] = "reached" in done
        self.assertEqual(reach, {"state": True, "pubsub": False})


class KafkaTest(unittest.TestCase):
    """The broker is Kafka: events cross it, and those that were acknowledged outlive both ends' deaths."""

    def test_acknowledged_events_outlive_the_death_of_the_broker_and_of_who_speaks_to_it(self):
        name = "apache/kafka:3.9.0"
        if not engine.has_image(name):
            name = f"caisson-test-{os.getpid()}-kafka"
            engine.build_kafka(name)
        with Topology(engine, ["compose.yaml", "compose.kafka.yaml"], dict(IMAGES, kafka=name)) as topology:
            client = topology.client()
            self.addCleanup(client.close)
            sent = []

            def publish(order):
                """Until it is acknowledged: what was not may come as well."""
                wait_for(f"order {order} is acknowledged", lambda: client.post(
                    "/v1.0/publish/pubsub/orders", {"id": order, "item": "tea"}).status == 204)
                sent.append(order)

            publish("first")
            wait_for("the broker is Kafka", lambda: "pubsub.kafka" in str(client.get("/v1.0/metadata").json()))
            for victim in ("pubsub-kafka", "kafka"):
                for number in range(10):
                    publish(f"before-{victim}-{number}")
                topology.kill(victim)
                self.assertEqual(client.get("/v1.0/state/statestore/none").status, 204)
                for number in range(10):
                    publish(f"after-{victim}-{number}")
            for order in sent:
                wait_for(f"order {order} reaches the app",
                         lambda: client.get(f"/v1.0/state/statestore/order-{order}").status == 200)


if __name__ == "__main__":
    unittest.main()
