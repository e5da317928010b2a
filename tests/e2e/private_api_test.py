"""A capability from outside the tree joins a gateway that is running."""

import os
import unittest

from runtime import Runtime, wait_for


class PrivateApiTest(unittest.TestCase):
    def test_a_private_api_is_served_without_rebuilding_or_restarting_the_gateway(self):
        with Runtime() as runtime:
            gateway = runtime.pid("gateway")
            self.assertEqual(runtime.http.get("/v1.0/greet/Ada").status, 404)
            runtime.install_manifest("greeter")
            greeter = runtime.start_capability("greeter")
            try:
                wait_for("the private API answers", lambda: runtime.http.get("/v1.0/greet/Ada").status == 200)
                answer = runtime.http.get("/v1.0/greet/Ada%20Lovelace")
                refused = runtime.http.get("/v1.0/greet/" + "x" * 65)

                self.assertEqual(answer.body, b"Hello Ada Lovelace, from shop\n")
                self.assertEqual((refused.status, refused.json()["errorCode"]), (400, "ERR_NAME"))
                metrics = runtime.admin().get("/metrics").body
                self.assertRegex(metrics, rb'caisson_greetings_total\{[^}]*capability="greeter"[^}]*\} [1-9]')
            finally:
                greeter.terminate()
                self.assertEqual(greeter.wait(20), 0)

            os.unlink(runtime.manifest_path("greeter"))
            wait_for("its route is gone", lambda: runtime.http.get("/v1.0/greet/Ada").status == 404)
            self.assertEqual(runtime.pid("gateway"), gateway)


if __name__ == "__main__":
    unittest.main()
