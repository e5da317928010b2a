"""Which APIs an app may use: spec.api of the Configuration, over HTTP and gRPC."""

import os
import tempfile
import unittest

import grpc

from runtime import PATIENCE, Daprd, component, wait_for

RUNTIME = "/dapr.proto.runtime.v1.Dapr/"


def rule(name, version, protocol=None):
    text = f"    - name: {name}\n      version: {version}\n"
    return text + (f"      protocol: {protocol}\n" if protocol else "")


class ApiListsTest(unittest.TestCase):
    def start(self, kind, *rules):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        path = os.path.join(folder.name, "config.yaml")
        with open(path, "w") as file:
            file.write("apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata:\n  name: c\nspec:\n  api:\n"
                       f"    {kind}:\n" + "".join(rules))
        self.runtime = Daprd(flags=["--config", path], resources={"s.yaml": component("store", "state.in-memory"),
                                                                  "e.yaml": component("env", "secretstores.local.env")})
        self.addCleanup(self.runtime.close)
        self.runtime.start()
        channel = grpc.insecure_channel(f"127.0.0.1:{self.runtime.gateway_json()['apps'][0]['grpc']}")
        self.addCleanup(channel.close)
        self.channel = channel
        self.http = self.runtime.http

    def rpc(self, path, message=b""):
        """gRPC's code of a call."""
        method = self.channel.unary_unary(path, lambda sent: sent, lambda got: got)
        try:
            method(message, timeout=PATIENCE)
            return grpc.StatusCode.OK
        except grpc.RpcError as error:
            return error.code()

    def get_state(self):
        return self.rpc(RUNTIME + "GetState", b"\x0a\x05store\x12\x01k")

    def get_secret(self):
        return self.rpc(RUNTIME + "GetSecret", b"\x0a\x03env\x12\x04PATH")

    def test_with_an_allow_list_there_is_nothing_else(self):
        self.start("allowed", rule("state", "v1.0", "http"), rule("state", "v1", "grpc"))

        wait_for("the list is in force", lambda: self.http.get("/v1.0/secrets/env/PATH").status == 404)

        self.assertEqual(self.http.get("/v1.0/state/store/k").status, 204)
        self.assertEqual(self.http.get("/v1.0/metadata").status, 404)
        self.assertEqual(self.http.post("/v1.0/shutdown").status, 404)
        self.assertEqual(self.http.get("/v1.0/invoke/other/method/x").status, 404)
        self.assertEqual(self.http.get("/v1.0/healthz").status, 204)
        self.assertEqual(self.get_state(), grpc.StatusCode.OK)
        self.assertEqual(self.get_secret(), grpc.StatusCode.UNIMPLEMENTED)
        self.assertEqual(self.rpc(RUNTIME + "GetMetadata"), grpc.StatusCode.UNIMPLEMENTED)

    def test_lists_do_not_concern_proxied_services(self):
        self.start("allowed", rule("state", "v1", "grpc"))

        wait_for("the list is in force", lambda: self.get_secret() == grpc.StatusCode.UNIMPLEMENTED)

        # UNKNOWN: the proxy asks whom the call is for.
        self.assertEqual(self.rpc("/my.own.Service/Method"), grpc.StatusCode.UNKNOWN)

    def test_a_list_of_one_protocol_leaves_the_other_alone(self):
        self.start("allowed", rule("state", "v1", "grpc"))

        wait_for("the list is in force", lambda: self.get_secret() == grpc.StatusCode.UNIMPLEMENTED)

        self.assertEqual(self.http.get("/v1.0/secrets/env/PATH").status, 200)

    def test_a_deny_list_takes_away_what_it_names(self):
        self.start("denied", rule("state", "v1.0", "HTTP"), rule("secrets", "v1", "gRPC"))

        wait_for("the list is in force", lambda: self.http.get("/v1.0/state/store/k").status == 404)

        self.assertEqual(self.http.get("/v1.0/secrets/env/PATH").status, 200)
        self.assertEqual(self.http.get("/v1.0/metadata").status, 200)
        self.assertEqual(self.get_state(), grpc.StatusCode.OK)
        self.assertEqual(self.get_secret(), grpc.StatusCode.UNIMPLEMENTED)

    def test_a_rule_without_a_protocol_is_for_both(self):
        self.start("denied", rule("secrets", "v1.0"), rule("secrets", "v1"))

        wait_for("the list is in force", lambda: self.http.get("/v1.0/secrets/env/PATH").status == 404)

        self.assertEqual(self.get_secret(), grpc.StatusCode.UNIMPLEMENTED)


if __name__ == "__main__":
    unittest.main()
