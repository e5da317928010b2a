// What apps send in protobuf, and bodies of bulk publishes: requests, answers to deliveries, subscription lists;
// and any event as protobuf.

#include <google/protobuf/io/coded_stream.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "capabilities/pubsub/dapr_grpc.hpp"
#include "capabilities/pubsub/dapr_http.hpp"
#include "capabilities/pubsub/event_streams.hpp"
#include "capabilities/pubsub/subscriptions.hpp"
#include "capabilities/pubsub/testing/fake_context.hpp"
#include "capabilities/pubsub/topic_event.hpp"
#include "sdk/rpc.hpp"

using namespace caisson::pubsub;
namespace rt = dapr::proto::runtime::v1;

namespace {

/// Deeper than a reader would take an event, but no reason for it to be wrong.
constexpr int kDeep = 10'000;

void check_event(const JsonValue& json) {
  if (!json.is_object()) return;
  const Message message{"bytes", {{"na\xFFme", "val\xFFue"}}};
  Event event;
  event.message = &message;
  event.attributes = json;
  const auto request = to_topic_event(event, {});
  const BulkTopicEvent bulk = to_bulk_topic_event({}, {&event}, {"1"});
  if (request.has_value() == bulk.unfit.empty()) {
    const std::string bytes = bulk.request.SerializeAsString();
    google::protobuf::io::CodedInputStream input(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                                 static_cast<int>(bytes.size()));
    input.SetRecursionLimit(kDeep);
    rt::TopicEventBulkRequest read;
    // Texts that are not UTF-8 would be refused by the app.
    if (!read.ParseFromCodedStream(&input)) std::abort();
  } else {
    std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  caisson::Envelope envelope;
  envelope.kind = caisson::wire::Kind::Request;
  envelope.id = 1;
  envelope.query = "metadata.key=value";
  const caisson::sdk::Request request(
      caisson::Incoming(testing::FrameMemory::make(envelope, std::string(text)), {}, caisson::Deadline::never()));

  if (const auto message = dapr_grpc::read_publish(request)) {
    [[maybe_unused]] const Publish publish = dapr_grpc::decode(request, *message);
  }
  [[maybe_unused]] const auto bulk = dapr_grpc::decode_bulk_publish(request);
  [[maybe_unused]] const auto http = dapr_http::decode_bulk_publish(request);
  rt::SubscribeTopicEventsRequestAlpha1 first;
  if (caisson::sdk::parse_message(text, first)) {
    const auto subscription = subscription_of(first);
    if (subscription && (subscription->pubsub.empty() || subscription->topic.empty())) std::abort();
  }
  if (const auto list = parse_topic_subscriptions(text)) {
    for (const auto& one : subscriptions_of("app", Paths::kMayBeEmpty, {}, *list)) {
      [[maybe_unused]] const auto route = one.router.route(JsonValue::object());
    }
  }
  [[maybe_unused]] const Attempt answer = read_topic_event_answer(0, text);
  if (read_bulk_topic_event_answer(0, text, {"1", "2"}).size() != 2) std::abort();
  if (const auto json = parse_json(text)) check_event(*json);
  return 0;
}
