#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "capabilities/invoke/capability.hpp"
#include "capabilities/invoke/replayed_body.hpp"
#include "capabilities/invoke/url.hpp"
#include "dapr/proto/runtime/v1/invoke.pb.h"
#include "sdk/rpc.hpp"
#include "sdk/testing/fake_gateway.hpp"

namespace {

using namespace caisson;

/// The capability with an HTTP app and a gRPC app that answer with whatever bytes the fuzzer gives.
struct Rig {
  Rig() {
    gateway.set_app("shop");
    gateway.set_app("cart");
    gateway.set_app("calc", true, 1, "grpc");
    gateway.on_call([this](Incoming call) { return testing::reply_to(std::move(call), status, {}, answer); });
  }

  testing::FakeClock clock;
  EventLoop loop{clock};
  testing::FakeGateway gateway{loop, "invoke", invoke::make_capability};
  std::uint16_t status = 0;
  std::string answer;
};

/// However a stream is cut, its messages are counted alike.
void count_messages(std::string_view bytes) {
  invoke::MessageCounter whole;
  whole.feed(bytes);
  invoke::MessageCounter cut;
  for (const char& c : bytes) cut.feed(std::string_view(&c, 1));
  if (whole.begun() != cut.begun()) std::abort();
}

}  // namespace

/// Bytes of a client as InvokeServiceRequest, bytes of an app as its answer, in either direction.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Rig rig;
  if (size < 2) return 0;
  const std::string_view bytes(reinterpret_cast<const char*>(data + 2), size - 2);
  count_messages(bytes);
  testing::Ask ask;
  ask.method = "POST";
  rig.answer = bytes;
  // Statuses of both protocols; an app that cannot be reached is waited for, which takes time.
  rig.status = static_cast<std::uint16_t>(data[1] % 2 == 0 ? data[1] % 20 : 100 + 4 * data[1]);
  switch (data[0] % 3) {
    case 0: {
      dapr::proto::runtime::v1::InvokeServiceRequest request;
      const bool parsed = static_cast<bool>(sdk::parse_message(bytes, request));
      if (parsed && invoke::is_url(request.id())) return 0;  // others' servers are none of the fuzzer's
      ask.path = "/dapr.proto.runtime.v1.Dapr/InvokeService";
      ask.body = bytes;
      break;
    }
    case 1:
      ask.path = "/v1.0/invoke/calc/method/add";
      break;
    default: {
      dapr::proto::runtime::v1::InvokeServiceRequest request;
      request.set_id("cart");
      request.mutable_message()->mutable_http_extension()->set_verb(dapr::proto::common::v1::HTTPExtension::GET);
      ask.path = "/dapr.proto.runtime.v1.Dapr/InvokeService";
      ask.body = request.SerializeAsString();
    }
  }
  const testing::Answer answer = rig.gateway.ask(ask);
  if (answer.error.code == Errc::kOk) return 0;  // in the API's own words
  std::fprintf(stderr, "no answer: %s\n", answer.error.message.c_str());
  std::abort();
}
