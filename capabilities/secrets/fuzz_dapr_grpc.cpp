#include <cstdint>
#include <cstdlib>

#include "bus/testing/temporary_directory.hpp"
#include "capabilities/secrets/capability.hpp"
#include "sdk/testing/rpc_client.hpp"

namespace {

using namespace caisson;

/// The capability with one store of environment variables, for all inputs.
struct Rig {
  Rig() {
    gateway.set_app("shop");
    config::Generation generation;
    config::Component component;
    component.name = "s";
    component.type = "secretstores.local.env";
    component.version = "v1";
    generation.components.push_back(component);
    if (!gateway.configure(generation).empty()) std::abort();
  }
  SystemClock clock;
  EventLoop loop{clock};
  caisson::testing::FakeGateway gateway{loop, "secrets", secrets::make_capability};
};

}  // namespace

/// Any bytes as the message of either method: there is an answer, and it is a status of gRPC's.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Rig rig;
  if (size == 0) return 0;
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  const auto answer = testing::call_rpc(rig.gateway, data[0] % 2 == 0 ? "GetSecret" : "GetBulkSecret", body);
  if (answer.code == Errc::kUnknown || answer.code == Errc::kUnimplemented) std::abort();
  return 0;
}
