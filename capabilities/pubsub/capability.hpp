#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "capabilities/pubsub/active_subscriptions.hpp"
#include "capabilities/pubsub/component.hpp"
#include "capabilities/pubsub/delivery.hpp"
#include "capabilities/pubsub/event_streams.hpp"
#include "capabilities/pubsub/make_broker.hpp"
#include "capabilities/pubsub/service.hpp"
#include "capabilities/pubsub/subscriptions.hpp"
#include "sdk/capability.hpp"
#include "sdk/component_set.hpp"

namespace caisson::pubsub {

/// The pubsub capability: publishes for apps, and keeps a broker subscription for everything that an
/// app which is there subscribes to. Whatever changes (configuration, an app that comes, goes or
/// restarts, a component that comes up), reconcile() brings what runs in line with what is wanted.
///
/// In a compartment it does so for the components it holds; every process hears what every app
/// subscribes to.
class PubsubCapability final : public sdk::Capability {
 public:
  /// `more` are the component types of this program beside the built-in ones.
  PubsubCapability(sdk::Context& context, WallClock wall_clock, std::vector<BrokerType> more = {});
  ~PubsubCapability() override;

  void define(sdk::Definition& definition) override;
  void configure(std::shared_ptr<const config::Generation> generation) override;
  void app_changed(const sdk::AppState& app) override;
  void app_gone(const std::string& app) override;
  void app_answered(const sdk::AppAnswer& answer) override;
  [[nodiscard]] std::vector<sdk::ComponentStatus> components() const override;
  [[nodiscard]] std::string metadata() const override;
  Task<void> drain(Deadline deadline) override;

 private:
  /// What an app said it subscribes to, in its present incarnation.
  struct Answer {
    std::uint64_t incarnation = 0;
    std::vector<config::Subscription> subscriptions;
    std::string problem;
  };
  using Key = ActiveSubscriptions::Key;

  Task<sdk::Response> publish(sdk::Request& request);
  Task<sdk::Response> publish_bulk(sdk::Request& request);
  Task<sdk::Response> publish_rpc(sdk::Request& request);
  Task<sdk::Response> publish_bulk_rpc(sdk::Request& request);
  /// What a broker says about itself may have changed with a publish.
  void note(const PublishResult& result);
  Task<Result<std::shared_ptr<sdk::Component>>> make(const sdk::ComponentSpec& spec, Deadline deadline);
  Task<Result<std::shared_ptr<Broker>>> make_any_broker(const sdk::ComponentSpec& spec, Deadline deadline);

  /// Soon, once for all that changes in this turn.
  void reconcile();
  void reconcile_now();
  [[nodiscard]] std::map<Key, ActiveSubscriptions::Wanted> wanted() const;
  /// This is the capability's own process, which speaks for all of them.
  [[nodiscard]] bool speaks_for_all() const;
  /// The component is one of this process, or of none that is known and this one speaks for all.
  [[nodiscard]] bool is_ours(const std::string& component) const;
  void say_what_is_unknown();
  /// Everything the app subscribes to, but for streams.
  [[nodiscard]] std::vector<AppSubscription> subscriptions_for(const std::string& app) const;
  /// What hinders a subscription: its own problem, scoping; empty: nothing.
  [[nodiscard]] std::string hindrance(const std::string& app, const AppSubscription& subscription) const;

  sdk::Context& context_;
  WallClock wall_clock_;
  std::vector<BrokerType> more_types_;
  sdk::Resiliency resiliency_;
  sdk::ComponentSet components_;
  Service service_;
  Deliverer deliverer_;
  std::set<Key> said_unknown_;
  LogLimit log_limit_;
  std::shared_ptr<const config::Generation> generation_;
  std::map<std::string, Answer> answers_;
  bool publish_failed_ = false;
  bool draining_ = false;
  bool reconciling_ = false;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  EventStreams streams_;
  ActiveSubscriptions active_;  // last: its tasks use everything above
};

/// With the built-in types and the system's wall clock.
std::unique_ptr<sdk::Capability> make_pubsub(sdk::Context& context);

}  // namespace caisson::pubsub
