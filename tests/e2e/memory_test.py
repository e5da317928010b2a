"""What a runtime holds after it has done its work. Not for sanitizer builds: they keep freed memory on purpose."""

import unittest

from runtime import Runtime


class MemoryTest(unittest.TestCase):
    def test_large_bodies_leave_no_memory_behind(self):
        def anonymous_kib(runtime):
            with open(f"/proc/{runtime.pid('gateway')}/smaps_rollup") as file:
                return next(int(line.split()[1]) for line in file if line.startswith("Anonymous:"))

        with Runtime(default_resources=True) as runtime:
            before = anonymous_kib(runtime)
            body = [{"key": "large", "value": "x" * 3_000_000}]
            for _ in range(4):
                self.assertEqual(runtime.http.post("/v1.0/state/statestore", body).status, 204)
                self.assertEqual(len(runtime.http.get("/v1.0/state/statestore/large").body), 3_000_002)
            self.assertLess(anonymous_kib(runtime) - before, 1500)
