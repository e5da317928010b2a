"""A real redis-server of a test's own: a free port of 127.0.0.1, a temporary folder, durable by default.

with RedisServer() as redis: redis.command("HGETALL", "key")"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

from runtime import ROOT, component, wait_for

sys.path.insert(0, os.path.join(ROOT, "tests"))
from servers import die_with_parent, free_ports  # noqa: E402


class RedisError(Exception):
    """An error reply."""


class RedisServer:
    """`append_only`: what was acknowledged survives kill(). `lines`: more lines of redis.conf."""

    def __init__(self, password="", append_only=True, lines=()):
        self.password, self.append_only, self.lines = password, append_only, list(lines)
        self.folder = tempfile.mkdtemp(prefix="caisson-redis-")
        self.log_path = os.path.join(self.folder, "log")
        self.process = None
        for _ in range(20):  # a free port may be taken by somebody else before the server has it
            (self.port,) = free_ports(1)
            if self.try_to_start():
                return
        raise AssertionError(f"redis-server does not start:\n{self.log()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def component(self, name, kind, metadata=None, scopes=()):
        """The YAML of a component that uses this server."""
        settings = {"redisHost": self.host}
        if self.password:
            settings["redisPassword"] = self.password
        settings.update(metadata or {})
        return component(name, kind, settings, scopes)

    # --- life ---

    def start(self):
        """On the same port, with what was stored; returns when it answers."""
        wait_for("redis-server starts again", self.try_to_start)

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        self.process.wait()

    def restart(self):
        self.kill()
        self.start()

    def pause(self):
        """Alive, and silent, until resume()."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)

    def close(self):
        if self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def try_to_start(self):
        configuration = os.path.join(self.folder, "redis.conf")
        with open(configuration, "w") as file:
            file.write(f"bind 127.0.0.1\nport {self.port}\ndir {self.folder}\nlogfile {self.log_path}\n"
                       f"daemonize no\nprotected-mode no\nsave \"\"\n")
            if self.append_only:
                file.write("appendonly yes\nappendfsync always\n")
            if self.password:
                file.write(f"requirepass {self.password}\n")
            file.writelines(line + "\n" for line in self.lines)
        self.process = subprocess.Popen(["redis-server", configuration], stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        preexec_fn=die_with_parent)

        def answers_or_ended():
            return self.process.poll() is not None or self.answers()
        wait_for("redis-server answers", answers_or_ended)
        return self.process.poll() is None

    def answers(self):
        """Whether it is this server that answers, its data loaded: another may have got the port."""
        try:
            info = self.command("INFO").decode()
        except (OSError, RedisError):
            return False
        return f"process_id:{self.process.pid}\r" in info and "\r\nloading:1\r" not in info

    def log(self):
        try:
            with open(self.log_path, errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    # --- commands ---

    def command(self, *words):
        """One command over a connection of its own; bytes, int, None or a list. Raises RedisError."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as connection:
            stream = connection.makefile("rwb")
            if self.password:
                self.ask(stream, ("AUTH", self.password))
            return self.ask(stream, words)

    @classmethod
    def ask(cls, stream, words):
        words = [word if isinstance(word, bytes) else str(word).encode() for word in words]
        stream.write(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words))
        stream.flush()
        return cls.reply(stream)

    @classmethod
    def reply(cls, stream):
        line = stream.readline()
        if not line.endswith(b"\r\n"):
            raise OSError("redis closed the connection")
        kind, rest = line[:1], line[1:-2]
        if kind == b"+":
            return rest
        if kind == b"-":
            raise RedisError(rest.decode())
        if kind == b":":
            return int(rest)
        if int(rest) < 0:
            return None
        if kind == b"$":
            return stream.read(int(rest) + 2)[:-2]
        return [cls.reply(stream) for _ in range(int(rest))]

    def hash(self, key):
        """HGETALL as a dictionary of bytes."""
        flat = self.command("HGETALL", key)
        return dict(zip(flat[::2], flat[1::2]))
