"""Apps and clients of the Go SDK."""

import os
import unittest

from harness import ALL, SDK, SdkSuite, suite


def program(name, *words):
    return [os.path.join(SDK, "go", "bin", name), *words]


STREAMING = ("streaming_subscription", "streaming_with_a_handler")


@suite
class HttpTest(SdkSuite):
    app, client = program("app", "http"), program("client")
    subscriptions = 12
    scenarios = ALL + ("routing",) + STREAMING


@suite
class GrpcTest(SdkSuite):
    app, client = program("app", "grpc"), program("client")
    protocol = "grpc"
    subscriptions = 12
    # A route that was only declared is unknown to this SDK's gRPC service.
    scenarios = tuple(one for one in ALL if one != "declared_subscription") + ("routing",) + STREAMING


if __name__ == "__main__":
    unittest.main()
