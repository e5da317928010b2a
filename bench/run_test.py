"""bench/run works: rows are listed, measured and written. Whether they are fast is nothing for a test."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

RUN = pathlib.Path(__file__).resolve().parent / "run"
BUILD = os.environ.get("CAISSON_BUILD", "build/release")


def run(*arguments):
    return subprocess.run([sys.executable, "-B", RUN, *arguments], capture_output=True, text=True, timeout=100)


class RunTest(unittest.TestCase):
    def test_lists_its_rows(self):
        done = run("--list")

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertRegex(done.stdout, r"(?m)^state-get-redis +\S")

    def test_refuses_a_row_that_does_not_exist(self):
        done = run("stat-get-redis")

        self.assertEqual(done.returncode, 2)
        self.assertIn("no such row: stat-get-redis", done.stderr)

    def test_measures_rows_and_writes_what_it_found(self):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder, "result.json")

            done = run("--build", BUILD, "--seconds", "0.1", "--out", out, "lane-same-cpu", "state-get-memory")

            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            rows = {row["name"]: row["measurements"] for row in json.loads(out.read_text())["rows"]}
        get = rows["state-get-memory"][0]
        self.assertGreater(get["value"], 0, done.stdout)
        self.assertEqual(get["errors"], 0, done.stdout)
        self.assertIn("gateway", get["cpu_us"])
        ipc = next(made for made in rows["lane-same-cpu"] if made["what"] == "ZeroMQ ipc lane")
        self.assertGreater(ipc["ratio"], 0, done.stdout)


if __name__ == "__main__":
    unittest.main()
