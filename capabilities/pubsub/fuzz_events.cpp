// What apps send: bodies to be wrapped, lists of subscriptions, answers to deliveries.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <utility>

#include "capabilities/pubsub/cloud_event.hpp"
#include "capabilities/pubsub/event.hpp"
#include "capabilities/pubsub/http_app.hpp"
#include "capabilities/pubsub/routing.hpp"
#include "capabilities/pubsub/subscriptions.hpp"

using namespace caisson::pubsub;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  EventContext context;
  context.id = "id";
  context.app = "app";
  context.pubsub = "pubsub";
  context.topic = "topic";
  for (const std::string_view type : {"application/json", "application/cloudevents+json", "application/protobuf",
                                      "application/octet-stream", "text/plain"}) {
    context.content_type = type;
    const auto event = wrap(context, text, {{"ttlInSeconds", std::string(text.substr(0, 20))}});
    // Whatever came in, what goes to the broker is a JSON object.
    if (event && !parse_json(*event)->is_object()) std::abort();
  }
  if (const auto parsed = parse_json(text)) {
    // The first writing replaces what is no UTF-8; from then on nothing changes.
    std::string before;
    std::string after;
    append_json(before, *parsed, caisson::HtmlEscape::kYes);
    append_json(after, *parse_json(before), caisson::HtmlEscape::kYes);
    before = std::exchange(after, {});
    append_json(after, *parse_json(before), caisson::HtmlEscape::kYes);
    if (before != after) std::abort();
  }
  if (const auto list = parse_subscribe_list(text)) {
    for (const auto& one : subscriptions_of("app", Paths::kRequired, {}, *list)) {
      [[maybe_unused]] const auto route = Router(one.document).route(JsonValue::object());
    }
  }
  [[maybe_unused]] const auto answer = read_app_answer(200, text);
  if (read_bulk_answer(200, text, {"1", "2"}).size() != 2) std::abort();
  [[maybe_unused]] const auto moment = parse_rfc3339(text);
  [[maybe_unused]] const auto child = child_traceparent(text);
  return 0;
}
