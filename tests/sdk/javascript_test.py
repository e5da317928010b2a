"""Apps and clients of the JavaScript SDK."""

import os
import unittest

from harness import ALL, HERE, SDK, SdkSuite, suite

MODULES = {"NODE_PATH": os.path.join(SDK, "javascript", "node_modules")}


def program(name, *words):
    return ["node", os.path.join(HERE, "javascript", name), *words]


@suite
class HttpTest(SdkSuite):
    app, client = program("app.js", "HTTP"), program("client.js", "HTTP")
    environment = MODULES
    subscriptions = 14
    # Of configuration this SDK says that it can be had over gRPC alone.
    scenarios = tuple(one for one in ALL if not one.startswith("configuration")) + ("routing", "bulk_subscription")


@suite
class GrpcTest(SdkSuite):
    app, client = program("app.js", "GRPC"), program("client.js", "GRPC")
    protocol = "grpc"
    environment = MODULES
    subscriptions = 14
    # A route that was only declared is unknown to this SDK's gRPC server.
    scenarios = tuple(one for one in ALL if one != "declared_subscription") + ("routing", "bulk_subscription")


if __name__ == "__main__":
    unittest.main()
