"""The committed compose files under a project name of the test's own, and a load on what they serve."""

import http.client
import os
import shutil
import signal
import tempfile
import threading

from engine import ROOT, run, wait_for
from runtime import PATIENCE, Client


class Topology:
    """with Topology(engine, ["compose.yaml"], images) as topology: topology.client().get(...)"""

    def __init__(self, engine, files, images):
        self.engine, self.files = engine, files
        self.folder = tempfile.mkdtemp(prefix="caisson-topology-")
        self.project = os.path.basename(self.folder).replace("_", "").lower()
        self.compose_folder = os.path.join(self.folder, "compose")
        shutil.copytree(os.path.join(ROOT, "compose"), self.compose_folder)
        shutil.copytree(os.path.join(ROOT, "examples", "shop"), os.path.join(self.folder, "examples", "shop"))
        os.chmod(self.folder, 0o755)
        self.environment = dict(engine.environment, CAISSON_HTTP_PORT="0")
        services = self.compose("config", "--services").split()
        with open(os.path.join(self.compose_folder, "compose.images.yaml"), "w") as file:
            file.write("services:\n")
            for service in services:
                file.write(f"  {service}: {{image: '{images.get(service, images['caisson'])}'}}\n")
        self.files = files + ["compose.images.yaml"]
        self.services = [s for s in services if not s.startswith("pod")]

    def __enter__(self):
        try:
            self.up()
        except BaseException:
            self.__exit__(AssertionError)
            raise
        return self

    def __exit__(self, kind, *_):
        if kind is not None:
            print(self.compose("logs", "--no-color", "--tail=60", check=False)[-20000:], flush=True)
        self.compose("down", "--volumes", "--remove-orphans", "--timeout", "10", check=False)
        shutil.rmtree(self.folder, ignore_errors=True)

    def compose(self, *words, **rest):
        files = [word for file in self.files for word in ("--file", os.path.join(self.compose_folder, file))]
        return run("docker-compose", "--project-name", self.project, *files, *words, env=self.environment, **rest)

    def up(self):
        self.compose("up", "--detach", "--no-build")
        self.wait_until_serving()

    def wait_until_serving(self):
        def serving():
            client = self.client()
            try:
                return (client.get("/v1.0/healthz").status == 204
                        and client.get("/v1.0/invoke/shop/method/healthz").status == 200)
            finally:
                client.close()
        wait_for("the topology serves", serving)

    def container(self, service):
        return self.compose("ps", "--quiet", service).strip()

    def inspect(self, service):
        return self.engine.inspect(self.container(service))

    def client(self, timeout=None):
        port = self.inspect("pod")["NetworkSettings"]["Ports"]["3500/tcp"][0]["HostPort"]
        return Client(int(port), timeout)

    def restart(self, service):
        """SIGTERM, and again."""
        self.engine.docker("restart", "--time", "15", self.container(service))

    def kill(self, service):
        """As a crash: not through Docker, which would take it for a wish. Returns when it runs again."""
        container = self.container(service)
        old = self.engine.inspect(container)["State"]["Pid"]
        os.kill(old, signal.SIGKILL)

        def runs_again():
            state = self.engine.inspect(container)["State"]
            return state["Running"] and state["Pid"] not in (0, old)
        wait_for(f"{service} runs again", runs_again)

    def read_resource(self, name):
        with open(os.path.join(self.compose_folder, "resources", name)) as file:
            return file.read()

    def write_resource(self, name, text):
        beside = os.path.join(self.folder, name)
        with open(beside, "w") as file:
            file.write(text)
        os.replace(beside, os.path.join(self.compose_folder, "resources", name))


class Load:
    """Requests of every API over kept connections, each kind on a thread, until it is stopped. Remembers what
    was acknowledged and every answer that is not the kind's own."""

    def __init__(self, topology, prefix):
        self.topology, self.prefix = topology, prefix
        self.written, self.published, self.counts, self.failures = [], [], {}, {}
        self.broken = {}
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=item) for item in self.kinds().items()]

    def kinds(self):
        """Name to (client, number) -> whether the answer was the right one."""
        return {
            "state-get": lambda c, n: self.expect(c.get("/v1.0/state/statestore/kept"), 200),
            "state-set": self.write,
            "publish": self.publish,
            "invoke": lambda c, n: self.expect(c.get("/v1.0/invoke/shop/method/healthz"), 200),
            "secrets": lambda c, n: self.expect(c.get("/v1.0/secrets/vault/redis:password"), 200),
            "lock": lambda c, n: self.expect(c.post("/v1.0-alpha1/lock/lockstore", {
                "resourceId": f"{self.prefix}-{n}", "lockOwner": "load", "expiryInSeconds": 1}), 200),
            "configuration": lambda c, n: self.expect(c.get("/v1.0/configuration/settings?key=none"), 204),
            "metadata": lambda c, n: self.expect(c.get("/v1.0/metadata"), 200),
            "health": lambda c, n: self.expect(c.get("/v1.0/healthz"), 204),
        }

    @staticmethod
    def expect(answer, status):
        return None if answer.status == status else repr(answer)

    def write(self, client, number):
        key = f"{self.prefix}-{number}"
        wrong = self.expect(client.post("/v1.0/state/statestore", [{"key": key, "value": number}]), 204)
        if wrong is None:
            self.written.append((key, number))
        return wrong

    def publish(self, client, number):
        order = f"{self.prefix}-{number}"
        wrong = self.expect(client.post("/v1.0/publish/pubsub/orders", {"id": order, "item": "tea"}), 204)
        if wrong is None:
            self.published.append(order)
        return wrong

    def work(self, kind, function):
        client = self.topology.client()
        number = 0
        while not self.stopping.wait(0.02):  # a pace, so that the engine on the same machine gets its turn
            number += 1
            try:
                wrong = function(client, number)
                if wrong is not None:
                    self.failures.setdefault(kind, []).append(wrong)
            except (OSError, http.client.HTTPException) as error:
                self.broken.setdefault(kind, []).append(repr(error))
                client.close()
            self.counts[kind] = number
        client.close()

    def __enter__(self):
        client = self.topology.client()
        assert client.post("/v1.0/state/statestore", [{"key": "kept", "value": 1}]).status == 204
        client.close()
        for thread in self.threads:
            thread.start()
        self.wait_for_more()
        return self

    def __exit__(self, *_):
        self.stopping.set()
        for thread in self.threads:
            thread.join(PATIENCE)

    def wait_for_more(self):
        """Every kind has been answered some times more."""
        before = dict(self.counts)
        wait_for("every kind of request goes on",
                 lambda: all(self.counts.get(kind, 0) >= before.get(kind, 0) + 10 for kind in self.kinds()))

    def check_nothing_was_lost(self, test):
        """Every acknowledged write is there, every acknowledged event has reached the app, which wrote it."""
        client = self.topology.client()
        for key, value in self.written:
            answer = client.get(f"/v1.0/state/statestore/{key}")
            test.assertEqual((answer.status, answer.body), (200, str(value).encode()), key)
        for order in self.published:
            wait_for(f"order {order} arrives",
                     lambda: client.get(f"/v1.0/state/statestore/order-{order}").status == 200)
        client.close()
