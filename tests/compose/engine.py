"""Docker for the tests: the engine that runs, or one of the test's own; images that are there, or stand-ins
made of Debian packages where no registry can be reached. What was made is removed again."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "kafka"))
import kafka_server  # noqa: E402
from runtime import BIN, ROOT, wait_for  # noqa: E402

DEBIAN = "debian:bookworm-slim"
PROGRAMS = ("caisson", "caisson-gateway", "caisson-config", "caisson-state", "caisson-pubsub", "caisson-invoke",
            "caisson-secrets", "caisson-pubsub-kafka", "caisson-lock")
# As in the official image: the user of redis:7, and who owns /data.
REDIS = f"""FROM {DEBIAN}
RUN apt-get update && apt-get install -y --no-install-recommends redis-server redis-tools \
 && mkdir -p /data && chown 999:999 /data
"""


# What compose.kafka.yaml uses of apache/kafka:3.9.0: KAFKA_A_B=c becomes a.b=c of server.properties.
KAFKA = f"""FROM {DEBIAN}
RUN apt-get update && apt-get install -y --no-install-recommends openjdk-17-jre-headless \
 && mkdir -p /var/lib/kafka/data /etc/kafka && chown -R 1000:1000 /var/lib/kafka /etc/kafka
COPY jars /opt/kafka/libs
COPY log4j.properties run /opt/kafka/
USER 1000:1000
CMD ["sh", "/opt/kafka/run"]
"""
KAFKA_RUN = """set -eu
env | grep '^KAFKA_' | grep -v '^KAFKA_HEAP_OPTS=' | while IFS== read -r name value; do
  echo "$(echo "${name#KAFKA_}" | tr 'A-Z_' 'a-z.')=$value"
done > /etc/kafka/server.properties
java="java ${KAFKA_HEAP_OPTS:-} -XX:+UseSerialGC -cp /opt/kafka:/opt/kafka/libs/*"
$java kafka.tools.StorageTool format --ignore-formatted -t MkU3OEVBNTcwNTJENDM2Qg -c /etc/kafka/server.properties
exec $java kafka.Kafka /etc/kafka/server.properties
"""


def run(*command, timeout=900, check=True, **rest):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout, **rest)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout[-8000:]}")
    return done.stdout


class Engine:
    """One for all tests of a file."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="caisson-compose-")
        self.process = None
        self.lock = None
        self.made = []
        self.environment = dict(os.environ)

    def start(self):
        try:
            if subprocess.run(["docker", "info"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode != 0:
                self.start_daemon()
        except BaseException:
            self.close()
            raise

    def start_daemon(self):
        """With folders and a socket of its own, so that nothing of it stays. One at a time on a host: each
        sets up the host's packet filter as if it were alone."""
        if os.geteuid() != 0:
            raise AssertionError("no Docker engine answers, and starting one needs root")
        self.lock = open("/run/lock/caisson-compose-test", "w")
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        socket = os.path.join(self.folder, "docker.sock")
        log = open(os.path.join(self.folder, "dockerd.log"), "wb")
        with log:
            self.process = subprocess.Popen(
                ["dockerd", "--data-root", os.path.join(self.folder, "data"), "--exec-root",
                 os.path.join(self.folder, "exec"), "--pidfile", os.path.join(self.folder, "dockerd.pid"),
                 "--host", f"unix://{socket}"], stdout=log, stderr=log)
        self.environment["DOCKER_HOST"] = f"unix://{socket}"

        def answers():
            if self.process.poll() is not None:
                with open(os.path.join(self.folder, "dockerd.log"), errors="replace") as file:
                    raise AssertionError("dockerd ended: " + file.read()[-4000:])
            return self.docker("info", check=False) and os.path.exists(socket)
        wait_for("dockerd answers", answers, 60)

    def close(self):
        for image in reversed(self.made):
            self.docker("rmi", "--force", image, check=False)
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            with open("/proc/mounts") as mounts:  # it leaves its own network namespace behind
                left = [line.split()[1] for line in mounts if line.split()[1].startswith(self.folder)]
            for mounted in left:
                run("umount", mounted, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)
        if self.lock is not None:
            self.lock.close()

    def docker(self, *words, **rest):
        return run("docker", *words, env=self.environment, **rest)

    def inspect(self, what):
        return json.loads(self.docker("inspect", what))[0]

    def has_image(self, name):
        return bool(self.docker("images", "--quiet", name).strip())

    # --- images ---

    def build(self, name, folder, dockerfile="Dockerfile", **arguments):
        """--network host: where apt's configuration says localhost, it means this one."""
        words = [word for key, value in arguments.items() for word in ("--build-arg", f"{key}={value}")]
        self.made.append(name)
        self.docker("build", "--network", "host", "--tag", name, "--file", os.path.join(folder, dockerfile), *words, folder)

    def need_debian(self):
        """The base that the Dockerfiles name; without a registry, one made by debootstrap, which gets its packages
        where this host gets its own."""
        if self.has_image(DEBIAN):
            return
        targets = run("apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)", "Created-By: Packages")
        sources = sorted({line for line in targets.splitlines() if " bookworm" in line})
        mirror = next(line.split()[0] for line in sources if line.split()[1] == "bookworm")
        root = os.path.join(self.folder, "debian")
        run("debootstrap", "--variant=minbase", "bookworm", root, mirror)
        with open(os.path.join(root, "etc/apt/sources.list"), "w") as file:
            file.writelines(f"deb {line}\n" for line in sources)
        with open(os.path.join(root, "etc/apt/apt.conf.d/99host"), "w") as file:
            file.writelines(line + "\n" for line in run("apt-config", "dump").splitlines() if line.startswith("Acquire::"))
        for folder in ("var/cache/apt/archives", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale"):
            shutil.rmtree(os.path.join(root, folder), ignore_errors=True)
            os.makedirs(os.path.join(root, folder))
        self.made.append(DEBIAN)
        packed = subprocess.Popen(["tar", "--directory", root, "--create", "."], stdout=subprocess.PIPE)
        with packed.stdout:
            self.docker("import", "-", DEBIAN, stdin=packed.stdout)
        packed.wait()
        shutil.rmtree(root)

    def build_caisson(self, name):
        """The image with the binaries of this build: the committed Dockerfile on a small context."""
        self.need_debian()
        context = os.path.join(self.folder, "context")
        os.makedirs(os.path.join(context, "build/release/bin"))
        shutil.copytree(os.path.join(ROOT, "compose"), os.path.join(context, "compose"))
        for program in PROGRAMS:
            run("strip", "-o", os.path.join(context, "build/release/bin", program), os.path.join(BIN, program))
        self.build(name, context, "compose/Dockerfile", BINARIES="prebuilt")
        shutil.rmtree(context)

    def build_shop(self, name):
        self.need_debian()
        self.build(name, os.path.join(ROOT, "examples", "shop"))

    def build_redis(self, name):
        self.need_debian()
        folder = os.path.join(self.folder, "redis")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "Dockerfile"), "w") as file:
            file.write(REDIS)
        self.build(name, folder)

    def build_kafka(self, name):
        self.need_debian()
        folder = os.path.join(self.folder, "kafka")
        os.makedirs(folder)
        kafka_server.fetch()
        shutil.copytree(kafka_server.JARS, os.path.join(folder, "jars"))
        shutil.copy(os.path.join(ROOT, "tests", "kafka", "log4j.properties"), folder)
        for file_name, text in (("Dockerfile", KAFKA), ("run", KAFKA_RUN)):
            with open(os.path.join(folder, file_name), "w") as file:
                file.write(text)
        self.build(name, folder)
        shutil.rmtree(folder)
