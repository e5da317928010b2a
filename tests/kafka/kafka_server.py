"""A real Kafka broker (KRaft, one node) on a free port, in a temporary folder, for tests.

Run as a program it obeys lines on stdin and answers each with a line on stdout, so that tests in other
languages use it too; it ends, and the broker with it, when stdin is closed:

    start    "ready PORT PID" once the broker serves (again, with its data, on the same port)
    kill     "killed": SIGKILL
    stop     "stopped": SIGSTOP
    cont     "continued": SIGCONT

Java 17 runs it. The program itself comes from Maven once (tests/kafka/pom.xml) and is kept in build/kafka.
"""

import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests"))
from servers import die_with_parent, free_ports  # noqa: E402

POM = os.path.join(HERE, "pom.xml")
with open(POM, "rb") as pom:
    JARS = os.path.join(ROOT, "build", "kafka", hashlib.sha256(pom.read()).hexdigest()[:12])
PATIENCE = 180  # a JVM on a busy machine


def fetch():
    """The jars of the broker; fetched by whoever comes first, the others wait for that."""
    os.makedirs(os.path.dirname(JARS), exist_ok=True)
    with open(JARS + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = os.path.join(JARS, "complete")
        if not os.path.exists(done):
            subprocess.run(["mvn", "-q", "-B", "-f", POM, "dependency:copy-dependencies",
                            f"-DoutputDirectory={JARS}"], check=True, stdin=subprocess.DEVNULL, stdout=sys.stderr)
            with open(done, "w"):
                pass
    return os.path.join(JARS, "*")


class KafkaServer:
    """with KafkaServer() as kafka: kafka.address; kafka.kill(); kafka.start()

    `advertised`: the port clients are told to come back to, e.g. a proxy's; by default its own.
    """

    def __init__(self, advertised=None):
        self.folder = tempfile.mkdtemp(prefix="caisson-kafka-")
        self.process = None
        self.jars = fetch()
        self.port, self.controller = free_ports(2)
        self.advertised = advertised or self.port
        self.log_path = os.path.join(self.folder, "broker.log")
        self.properties = os.path.join(self.folder, "server.properties")
        with open(self.properties, "w") as file:
            file.write(self.settings())
        self.run("kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", self.properties)

    @property
    def address(self):
        return f"127.0.0.1:{self.advertised}"

    def settings(self):
        return f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{self.controller}
listeners=PLAINTEXT://127.0.0.1:{self.port},CONTROLLER://127.0.0.1:{self.controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{self.advertised}
controller.listener.names=CONTROLLER
log.dirs={self.folder}/data
num.partitions=1
offsets.topic.num.partitions=4
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=true
num.network.threads=2
num.io.threads=2
log.cleaner.enable=false
"""

    def java(self, *words):
        return ["java", "-Xmx256m", "-Xms64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp",
                HERE + os.pathsep + self.jars, *words]

    def run(self, *words):
        done = subprocess.run(self.java(*words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=PATIENCE)
        if done.returncode != 0:
            raise RuntimeError(f"{words[0]} failed: {done.stdout[-2000:]}")
        return done.stdout

    def start(self):
        """Starts the broker, or starts it again; returns when it serves."""
        begin = os.path.getsize(self.log_path) if os.path.exists(self.log_path) else 0
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(self.java("kafka.Kafka", self.properties), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, start_new_session=True,
                                            preexec_fn=die_with_parent)
        give_up = time.monotonic() + PATIENCE
        tick = threading.Event()
        while "Kafka Server started" not in self.log(begin):
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError(f"the broker does not start: {self.log(begin)[-4000:]}")
            tick.wait(0.05)
        return self

    def log(self, begin=0):
        with open(self.log_path, errors="replace") as file:
            file.seek(begin)
            return file.read()

    def signal(self, number):
        os.kill(self.process.pid, number)

    def kill(self):
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
        if self.process is not None:
            self.process.wait()

    def close(self):
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_):
        self.close()


def obey(server):
    for line in sys.stdin:
        word = line.strip()
        if word == "start":
            server.start()
            print(f"ready {server.advertised} {server.process.pid}", flush=True)
        elif word == "kill":
            server.kill()
            print("killed", flush=True)
        elif word == "stop":
            server.signal(signal.SIGSTOP)
            print("stopped", flush=True)
        elif word == "cont":
            server.signal(signal.SIGCONT)
            print("continued", flush=True)
        else:
            print(f"unknown: {word}", flush=True)


def main():
    server = KafkaServer()
    try:
        obey(server)
    finally:
        server.close()


if __name__ == "__main__":
    main()
