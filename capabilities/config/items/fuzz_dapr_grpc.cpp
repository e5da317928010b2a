#include <cstdint>
#include <cstdlib>
#include <fstream>

#include "bus/testing/temporary_directory.hpp"
#include "capabilities/config/items/testing/items_rig.hpp"
#include "sdk/testing/rpc_client.hpp"

namespace {

using namespace caisson;

/// The configuration API with one store, for all inputs; its clock stands still.
struct Rig {
  Rig() {
    const auto file = directory.path() / "s.json";
    std::ofstream(file) << R"({"a":"1"})";
    gateway.set_app("shop");
    config::Generation generation;
    config::Component component;
    component.name = "s";
    component.type = "configuration.local.file";
    component.version = "v1";
    component.metadata.push_back({"file", file.string(), {}, {}, {}});
    generation.components.push_back(component);
    if (!gateway.configure(generation).empty()) std::abort();
  }
  caisson::testing::TemporaryDirectory directory;
  caisson::testing::FakeClock clock;
  EventLoop loop{clock};
  caisson::testing::FakeGateway gateway{
      loop, "config", [](sdk::Context& context) { return std::make_unique<items::testing::ItemsCapability>(context); }};
};

}  // namespace

/// Any bytes as the message of a method, or as the stream of a subscription, whose client then leaves: there is
/// an answer.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Rig rig;
  if (size == 0) return 0;
  const std::string body(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 3 == 2) {
    caisson::testing::Ask ask;
    ask.method = "POST";
    ask.path = "/dapr.proto.runtime.v1.Dapr/SubscribeConfiguration";
    ask.body = body;
    if (!caisson::testing::run(rig.loop, rig.gateway.send(ask))) std::abort();
    return 0;
  }
  const char* const method = data[0] % 3 == 0 ? "GetConfiguration" : "UnsubscribeConfiguration";
  const auto answer = caisson::testing::call_rpc(rig.gateway, method, body);
  if (answer.code == Errc::kUnknown || answer.code == Errc::kUnimplemented) std::abort();
  return 0;
}
