#include "capabilities/pubsub/service.hpp"

#include <fmt/format.h>

#include <functional>
#include <optional>
#include <set>
#include <string_view>

#include "bus/task_scope.hpp"
#include "capabilities/pubsub/cloud_event.hpp"

namespace caisson::pubsub {

namespace {

/// Whether the bytes go to the broker as they are.
std::variant<bool, PublishResult> wants_raw(const MessageMetadata& metadata) {
  const std::string* const text = find_metadata(metadata, "rawPayload");
  if (text == nullptr) return false;
  const auto raw = parse_strict_bool(*text);
  if (!raw) return PublishResult{PublishFailure::kMetadata, fmt::format("rawPayload: '{}' is not a boolean", *text)};
  return *raw;
}

/// What a look-up means for a publish.
FoundComponent judge(const Publish& request, sdk::ComponentSet::Found found) {
  PublishResult refused;
  if (found.component != nullptr) {
    if (!request.topic.empty()) return std::static_pointer_cast<PubsubComponent>(std::move(found.component));
    refused.failure = PublishFailure::kTopicEmpty;
  } else if (found.absent == sdk::ComponentSet::Absent::kNoneConfigured) {
    refused.failure = PublishFailure::kNotConfigured;
  } else if (request.pubsub.empty()) {
    refused.failure = PublishFailure::kPubsubEmpty;
  } else if (found.absent == sdk::ComponentSet::Absent::kUnknown) {
    refused.failure = PublishFailure::kNotFound;
  } else {
    refused.failure = PublishFailure::kBroker;
    refused.reason = "the component is not ready: " + found.reason;
  }
  return refused;
}

bool is_not_ready(const FoundComponent& found) {
  const auto* const refused = std::get_if<PublishResult>(&found);
  return refused != nullptr && refused->failure == PublishFailure::kBroker;
}

PublishResult check_ids(const std::vector<BulkEntry>& entries) {
  std::set<std::string_view> seen;
  for (const BulkEntry& entry : entries) {
    if (!entry.id.empty() && seen.insert(entry.id).second) continue;
    return {PublishFailure::kEntriesId, fmt::format("entryId '{}' is a duplicate or missing", entry.id)};
  }
  return {};
}

}  // namespace

Service::Service(EventLoop& loop, sdk::ComponentSet& components, sdk::Resiliency& resiliency, WallClock wall_clock)
    : loop_(loop), components_(components), resiliency_(resiliency), wall_clock_(std::move(wall_clock)) {}

Task<PublishResult> Service::publish(const Publish& request) {
  FoundComponent found = judge(request, components_.find(request.pubsub, request.app));
  if (is_not_ready(found)) {
    auto finding = find(request);
    found = co_await std::move(finding);
  }
  if (auto* const refused = std::get_if<PublishResult>(&found)) co_return std::move(*refused);
  const auto component = std::get<std::shared_ptr<PubsubComponent>>(found);

  auto raw = wants_raw(request.metadata);
  if (auto* const refused = std::get_if<PublishResult>(&raw)) co_return std::move(*refused);
  const Part part{request.content_type, request.data, request.metadata};
  std::variant<std::string, PublishResult> data;
  if (std::get<bool>(raw)) {
    data = std::string(request.data);
  } else {
    data = make_event(request, part, *component->broker);
  }
  if (auto* const refused = std::get_if<PublishResult>(&data)) co_return std::move(*refused);
  PublishResult refused = check_scope(request, *component);
  if (refused.failure != PublishFailure::kNone) co_return refused;

  Message message{std::get<std::string>(std::move(data)), request.metadata};
  const auto published = co_await hand_over(request, *component, std::move(message));
  if (!published) {
    component->counters.refused.add();
    co_return PublishResult{PublishFailure::kBroker, published.error().message};
  }
  component->counters.published.add();
  co_return PublishResult{};
}

Task<FoundComponent> Service::find(const Publish& request) {
  auto finding = components_.find_when_ready(request.pubsub, request.app, request.deadline);
  auto found = co_await std::move(finding);
  co_return judge(request, std::move(found));
}

std::variant<std::string, PublishResult> Service::make_event(const Publish& request, const Part& part,
                                                             const Broker& broker) const {
  const std::string id = event_id(request.request, part.index);
  EventContext context;
  context.id = id;
  context.app = request.app;
  context.pubsub = request.pubsub;
  context.topic = request.topic;
  context.content_type = part.content_type;
  context.traceparent = request.traceparent;
  context.tracestate = request.tracestate;
  context.now = wall_clock_();
  context.broker_expires = broker.features().expires;
  auto event = wrap(context, part.data, part.metadata);
  if (!event) return PublishResult{PublishFailure::kCloudEvent, std::move(event).error().message};
  return *std::move(event);
}

PublishResult Service::check_scope(const Publish& request, PubsubComponent& component) {
  if (component.rules.may_publish(request.app, request.topic)) return {};
  component.counters.refused.add();
  return {PublishFailure::kForbidden, fmt::format("topic {} is not allowed for app id {}", request.topic, request.app)};
}

Task<Result<void>> Service::hand_over(const Publish& request, PubsubComponent& component, Message message) {
  const sdk::Policy policy = resiliency_.component_outbound(request.app, component.name, component.type);
  const std::string topic = component.rules.broker_topic(request.topic);
  if (policy.is_none()) {
    auto publishing = component.broker->publish(topic, std::move(message), request.deadline);
    co_return co_await std::move(publishing);
  }
  std::function<Task<Result<void>>(Deadline)> attempt;
  if (policy.retries()) {
    attempt = [&](Deadline until) { return component.broker->publish(topic, message, until); };
  } else {
    attempt = [&](Deadline until) { return component.broker->publish(topic, std::move(message), until); };
  }
  co_return co_await policy.run<void>(std::move(attempt), request.deadline);
}

// --- several at once ---

/// One message of a bulk on its way.
struct Service::Publication {
  Message message;
  bool done = false;
  std::string error{};  // of the last try
};

Task<BulkPublishResult> Service::publish_bulk(BulkPublish request) {
  const Publish& common = request.common;
  BulkPublishResult result;
  const auto fail_all = [&](std::string_view why) {
    for (const BulkEntry& entry : request.entries) result.failed.push_back({entry.id, std::string(why)});
  };
  auto found = co_await find(common);
  if (auto* const refused = std::get_if<PublishResult>(&found)) {
    result.whole = std::move(*refused);
    if (result.whole.failure == PublishFailure::kBroker) fail_all(result.whole.reason);
    co_return result;
  }
  const auto component = std::get<std::shared_ptr<PubsubComponent>>(found);

  result.whole = request.unreadable;
  if (result.whole.failure == PublishFailure::kNone) result.whole = check_ids(request.entries);
  auto raw = wants_raw(common.metadata);
  if (auto* const refused = std::get_if<PublishResult>(&raw); refused != nullptr) {
    if (result.whole.failure == PublishFailure::kNone) result.whole = std::move(*refused);
  }
  if (result.whole.failure != PublishFailure::kNone) co_return result;

  std::vector<Publication> all;
  all.reserve(request.entries.size());
  for (BulkEntry& entry : request.entries) {
    if (std::get<bool>(raw)) {
      all.push_back({{std::move(entry.data), std::move(entry.metadata)}});
      continue;
    }
    const Part part{entry.content_type, entry.data, entry.metadata, all.size() + 1};
    auto event = make_event(common, part, *component->broker);
    if (auto* const refused = std::get_if<PublishResult>(&event)) {
      result.whole = std::move(*refused);
      co_return result;
    }
    all.push_back({{std::get<std::string>(std::move(event)), std::move(entry.metadata)}});
  }
  result.whole = check_scope(common, *component);
  if (result.whole.failure != PublishFailure::kNone) co_return result;

  const sdk::Policy policy = resiliency_.component_outbound(common.app, component->name, component->type);
  const std::string topic = component->rules.broker_topic(common.topic);
  std::function<Task<Result<void>>(Deadline)> attempt = [&](Deadline until) {
    return publish_rest(*component, topic, all, !policy.retries(), until);
  };
  const auto published = co_await policy.run<void>(std::move(attempt), common.deadline);
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (all[i].done) continue;
    if (all[i].error.empty()) all[i].error = published ? "not published" : published.error().message;
    result.failed.push_back({request.entries[i].id, std::move(all[i].error)});
  }
  component->counters.published.add(all.size() - result.failed.size());
  component->counters.refused.add(result.failed.size());
  if (!published) result.whole = {PublishFailure::kBroker, published.error().message};
  co_return result;
}

Task<Result<void>> Service::publish_rest(PubsubComponent& component, const std::string& topic,
                                         std::vector<Publication>& all, bool last, Deadline deadline) {
  std::optional<Error> first;
  std::size_t next = 0;
  struct Worker {
    static Task<void> run(Broker& broker, const std::string& topic, std::vector<Publication>& all, bool last,
                          std::size_t& next, std::optional<Error>& first, Deadline deadline) {
      while (next < all.size()) {
        Publication& one = all[next++];
        if (one.done) continue;
        Message message = last ? std::move(one.message) : one.message;
        auto publishing = broker.publish(topic, std::move(message), deadline);
        const auto published = co_await std::move(publishing);
        one.done = static_cast<bool>(published);
        if (published) continue;
        one.error = published.error().message;
        if (!first) first = published.error();
      }
    }
  };
  TaskScope workers(loop_);
  for (std::size_t i = 0; i < kBulkAtOnce && next < all.size(); ++i) {
    workers.spawn(Worker::run(*component.broker, topic, all, last, next, first, deadline));
  }
  auto joining = workers.join(Deadline::never());
  co_await std::move(joining);
  if (first) co_return *first;
  co_return ok();
}

}  // namespace caisson::pubsub
