"""Apps and clients of the Java SDK."""

import os
import unittest

from harness import ALL, SDK, SdkSuite, suite

CLASSES = os.pathsep.join([os.path.join(SDK, "java", "classes"), os.path.join(SDK, "java", "lib", "*")])
# Short runs: compiling less is quicker.
JAVA = ["java", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", CLASSES]


def program(name):
    return [*JAVA, f"sdktest.{name}"]


@suite
class SpringBootTest(SdkSuite):
    app, client = program("HttpApp"), program("Client")
    subscriptions = 12
    scenarios = ALL + ("routing", "streaming_with_a_handler")


@suite
class GrpcAppTest(SdkSuite):
    """Methods are invoked over HTTP, as this SDK always does."""
    app, client = program("GrpcApp"), program("Client")
    protocol = "grpc"
    subscriptions = 12
    scenarios = ALL + ("routing", "streaming_with_a_handler")


if __name__ == "__main__":
    unittest.main()
