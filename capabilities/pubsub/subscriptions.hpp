#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bus/json_writer.hpp"
#include "bus/result.hpp"
#include "capabilities/pubsub/json_value.hpp"
#include "capabilities/pubsub/routing.hpp"
#include "config-cache/documents.hpp"

namespace caisson::pubsub {

/// Where a subscription came from.
enum class Source : std::uint8_t { kDeclarative, kProgrammatic, kStreaming };

/// One subscription of one app.
struct AppSubscription {
  config::Subscription document;
  Source source = Source::kDeclarative;
  Router router;
  /// Why it does not do, or not all of, what it says; empty: it does.
  std::string problem{};
  /// It cannot be carried out at all: nothing is fetched, so nothing is lost.
  bool unusable = false;
};

/// The array an app answers `/dapr/subscribe` with, in both shapes, keys in any case. Entries without
/// topic, component or route are left out. kInvalidArgument when it is no such array.
Result<std::vector<config::Subscription>> parse_subscribe_list(std::string_view json);

/// What the app subscribes to: a programmatic entry stands before a declarative one of the same
/// component and topic, among several the first counts; documents scoped to other apps are left out.
std::vector<AppSubscription> subscriptions_of(std::string_view app, Paths paths,
                                              const std::vector<config::Subscription>& declarative,
                                              const std::vector<config::Subscription>& programmatic);

/// The same of one subscription.
AppSubscription examine(const config::Subscription& document, Source source, Paths paths);

/// The subscriber wants the bytes as published, in an event around them.
bool wants_raw(const config::Subscription& subscription);

bool same_subscription(const config::Subscription& a, const config::Subscription& b);

/// As in the runtime's metadata: {"pubsubname","topic","metadata"?,"rules"?,"deadLetterTopic","type"}, with
/// "appId", by which the runtime shows each app its own and which it leaves out.
void write_metadata(JsonWriter& json, std::string_view app, const AppSubscription& subscription);

}  // namespace caisson::pubsub
