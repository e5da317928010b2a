#pragma once

#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "bus/event_loop.hpp"
#include "capabilities/pubsub/component.hpp"
#include "capabilities/pubsub/operation.hpp"
#include "sdk/component_set.hpp"
#include "sdk/resiliency.hpp"

namespace caisson::pubsub {

/// The component as the app may see it, or why there is none.
using FoundComponent = std::variant<std::shared_ptr<PubsubComponent>, PublishResult>;

/// Carries out publishes: checks names and scopes, makes the events, hands them to the broker under the
/// component's outbound policy. One thread.
class Service {
 public:
  /// Publishes of one bulk that are under way at once; brokers write those of one moment together.
  static constexpr std::size_t kBulkAtOnce = 100;

  Service(EventLoop& loop, sdk::ComponentSet& components, sdk::Resiliency& resiliency, WallClock wall_clock);

  /// The request, and what its views are of, outlives the task.
  Task<PublishResult> publish(const Publish& request);
  /// The same. What failed is tried again as the policy says, what did not is not.
  Task<BulkPublishResult> publish_bulk(BulkPublish request);

 private:
  /// One message of a request.
  struct Part {
    std::string_view content_type;
    std::string_view data;
    const MessageMetadata& metadata;
    std::uint64_t index = 0;
  };
  struct Publication;

  /// One that is being opened is waited for.
  Task<FoundComponent> find(const Publish& request);
  /// The bytes for the broker: an event around the data.
  std::variant<std::string, PublishResult> make_event(const Publish& request, const Part& part,
                                                      const Broker& broker) const;
  /// Scoping; kNone when the app may publish to the topic.
  static PublishResult check_scope(const Publish& request, PubsubComponent& component);
  Task<Result<void>> hand_over(const Publish& request, PubsubComponent& component, Message message);
  /// What of `all` is not published yet; the first error there was.
  Task<Result<void>> publish_rest(PubsubComponent& component, const std::string& topic, std::vector<Publication>& all,
                                  bool last, Deadline deadline);

  EventLoop& loop_;
  sdk::ComponentSet& components_;
  sdk::Resiliency& resiliency_;
  WallClock wall_clock_;
};

}  // namespace caisson::pubsub
