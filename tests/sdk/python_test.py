"""Apps and clients of the Python SDK."""

import os
import unittest

from harness import ALL, HERE, SDK, SdkSuite, suite

PYTHON = os.path.join(SDK, "python", "bin", "python")
STREAMING = ("streaming_subscription", "streaming_with_a_handler")


def program(name):
    return [PYTHON, os.path.join(HERE, "python", name)]


@suite
class FastApiTest(SdkSuite):
    """Methods are invoked over HTTP, which is this SDK's default; the rest goes over gRPC."""
    app, client = program("fastapi_app.py"), program("client.py")
    subscriptions = 10
    scenarios = ALL + STREAMING


@suite
class FlaskTest(SdkSuite):
    app, client = program("flask_app.py"), program("client.py")
    subscriptions = 10
    environment = {"DAPR_API_METHOD_INVOCATION_PROTOCOL": "grpc"}
    scenarios = ALL


@suite
class GrpcAppTest(SdkSuite):
    app, client = program("grpc_app.py"), program("client.py")
    protocol = "grpc"
    subscriptions = 12
    environment = {"DAPR_API_METHOD_INVOCATION_PROTOCOL": "grpc"}
    # This extension has no handler for the path of a declared subscription, and with rules it names no
    # default route.
    scenarios = tuple(one for one in ALL if one != "declared_subscription") + ("routing_rule",) + STREAMING


if __name__ == "__main__":
    unittest.main()
