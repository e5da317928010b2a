"""A password of a component is known to its owner and to secrets, and to nobody else."""

import json
import os
import unittest

from runtime import Runtime, component, wait_for

CANARY = "canary-" + "5f2c9e4b7d"


def holds(pid, word):
    """Whether the word is anywhere in the writable memory of a process."""
    with open(f"/proc/{pid}/maps", encoding="ascii", errors="replace") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            span, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            begin, end = (int(part, 16) for part in span.split("-"))
            if end - begin > 1 << 30:
                continue  # a sanitizer's shadow, terabytes of it; no heap here is that large
            try:
                memory.seek(begin)
                if word in memory.read(end - begin):
                    return True
            except (OSError, OverflowError):
                continue  # a guard page, or unmapped meanwhile
    return False


def files_with(folder, word):
    found = []
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    if word in file.read():
                        found.append(os.path.relpath(path, folder))
    return sorted(found)


class CanaryTest(unittest.TestCase):
    def test_a_password_is_found_in_its_owner_and_in_secrets_alone(self):
        runtime = Runtime(wait=False)
        vault = os.path.join(runtime.folder, "vault.json")
        with open(vault, "w", encoding="utf-8") as file:
            json.dump({"database": {"password": CANARY}}, file)
        runtime.write_resource("vault.yaml", component("vault", "secretstores.local.file", {"secretsFile": vault}))
        runtime.write_resource("s.yaml", (
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: s\nspec:\n  type: state.sqlite\n"
            "  version: v1\n  metadata:\n"
            f"  - name: connectionString\n    value: {os.path.join(runtime.folder, 's.db')}\n"
            "  - name: password\n    secretKeyRef:\n      name: database:password\n      key: database:password\n"
            "auth:\n  secretStore: vault\n"))
        with runtime:
            runtime.wait_until_healthy()
            wait_for("the component is up", lambda: runtime.http.get(
                "/v1.0/healthz?require=s").status == 204)

            pids = {name: runtime.pid(name) for name in ("gateway", "config", "state", "pubsub", "invoke", "secrets", "lock")}
            having = {name for name, pid in pids.items() if holds(pid, CANARY.encode())}
            written = files_with(runtime.folder, CANARY.encode())

            self.assertIn("secrets", having)  # else the search itself is broken
            self.assertLessEqual(having, {"secrets", "state"})
            self.assertEqual(written, ["vault.json"])


if __name__ == "__main__":
    unittest.main()
