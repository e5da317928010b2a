"""Runs the README's commands: every fenced `sh` block that stands after a line `<!-- tested -->`, in
order, in one shell, against a runtime of the test's own. A line `# -> TEXT` after a command says what its
output must hold."""

import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "e2e"))
from runtime import BIN, ROOT, App, Runtime, wait_for  # noqa: E402


def tested_blocks(text):
    return re.findall(r"^<!-- tested -->\n+```sh\n(.*?)^```", text, re.M | re.S)


def commands(block):
    """(command, texts its output must hold) of a block."""
    found = []
    for line in block.splitlines():
        if line.startswith("# -> "):
            found[-1][1].append(line[len("# -> "):])
        elif line.strip() and not line.startswith("#"):
            if found and found[-1][0].endswith("\\"):
                found[-1][0] = found[-1][0][:-1] + line
            else:
                found.append([line, []])
    return found


class ReadmeTest(unittest.TestCase):
    def test_every_tested_command_answers_what_the_readme_says(self):
        with open(os.path.join(ROOT, "README.md"), encoding="utf-8") as file:
            blocks = tested_blocks(file.read())
        self.assertTrue(blocks, "the README has no tested block")
        app = App()
        self.addCleanup(app.close)
        with Runtime(app=app, app_id="app", default_resources=True) as runtime:
            environment = dict(os.environ, PATH=BIN + ":" + os.environ["PATH"], CAISSON_RUN_DIR=runtime.run_dir)
            for command, expected in (item for block in blocks for item in commands(block)):
                command = command.replace("localhost:3500", f"127.0.0.1:{runtime.http_port()}")
                command = command.replace("localhost:9090", f"127.0.0.1:{runtime.gateway_json()['admin']}")
                command = re.sub(r"^(?:build/release/bin/)?caisson (\w+)", rf"caisson \1 --run-dir {runtime.run_dir}",
                                 command)
                command = command.replace("~/.caisson/data", runtime.data_dir)

                def answered(command=command, expected=expected):
                    done = subprocess.run(["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                          text=True, env=environment, cwd=runtime.folder, timeout=60)
                    missing = [text for text in expected if text not in done.stdout]
                    if done.returncode != 0 or missing:
                        raise ValueError(f"{command}\n  exit code {done.returncode}, missing {missing}: {done.stdout}")
                    return True

                # What a file that was just written brings may take a moment to be in force.
                wait_for(command, answered)


if __name__ == "__main__":
    unittest.main()
