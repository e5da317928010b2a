"""h2spec, the conformance tests of HTTP/2 and HPACK, against both ports of a gateway."""

import json
import os
import re
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

from runtime import BIN, PATIENCE, wait_for  # noqa: E402

H2SPEC = os.path.join(ROOT, "build", "tools", "h2spec")


class H2specTest(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.gateway = subprocess.Popen(
            [os.path.join(BIN, "caisson-gateway"), "--run-dir", folder.name, "--app-id", "spec", "--dapr-http-port", "0",
             "--dapr-grpc-port", "0", "--dapr-listen-addresses", "127.0.0.1"], stderr=subprocess.DEVNULL)
        self.addCleanup(self.end)
        path = os.path.join(folder.name, "gateway.json")

        def ports():
            with open(path) as file:
                return json.load(file)["apps"][0]
        self.ports = wait_for("the gateway opens its ports", ports)

    def end(self):
        self.gateway.terminate()
        self.assertEqual(self.gateway.wait(PATIENCE), 0)  # a sanitizer's report would make it another

    def hold(self, port):
        done = subprocess.run([H2SPEC, "-h", "127.0.0.1", "-p", str(port), "-o", "10", "--max-header-length", "4000"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        summary = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", done.stdout)
        self.assertIsNotNone(summary, done.stdout[-2000:])
        ran, passed = int(summary.group(1)), int(summary.group(2))
        self.assertEqual(passed, ran, done.stdout[done.stdout.find("Failures:"):])
        self.assertGreater(ran, 140)
        self.assertIsNone(self.gateway.poll())

    def test_the_http_port_conforms(self):
        self.hold(self.ports["http"])

    def test_the_grpc_port_conforms(self):
        self.hold(self.ports["grpc"])


if __name__ == "__main__":
    unittest.main()
