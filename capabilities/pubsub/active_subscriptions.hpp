#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <string>

#include "bus/log.hpp"
#include "bus/task_scope.hpp"
#include "capabilities/pubsub/component.hpp"
#include "capabilities/pubsub/delivery.hpp"
#include "capabilities/pubsub/event_stream.hpp"
#include "capabilities/pubsub/subscriptions.hpp"

namespace caisson::pubsub {

/// The subscriptions that run at brokers, kept in line with what is wanted. One whose app, component or
/// document changes ends (what it has in hand is finished) while the new one begins; one that cannot begin is
/// tried again. One thread.
class ActiveSubscriptions {
 public:
  struct Key {
    std::string app;
    std::string component;
    std::string topic;
    std::uint64_t stream = 0;  // 0: not a streaming one
    auto operator<=>(const Key&) const = default;
  };
  struct Wanted {
    std::uint64_t incarnation = 0;
    std::string protocol;  // of the app
    AppSubscription subscription;
    std::shared_ptr<PubsubComponent> component;
    std::shared_ptr<EventStream> stream;  // null: the app is called
  };

  ActiveSubscriptions(sdk::Context& context, Deliverer& deliverer);
  ~ActiveSubscriptions();

  void set(std::map<Key, Wanted> wanted);
  /// Stops fetching and lets what runs finish.
  Task<void> drain(Deadline deadline);

 private:
  struct Active;
  [[nodiscard]] std::shared_ptr<Receiver> receiver_for(const std::string& app, const Wanted& wanted) const;
  [[nodiscard]] Handler handler_for(Active& active);
  Task<void> begin(std::shared_ptr<Active> active);
  void retire(std::shared_ptr<Active> active);
  Task<void> end(std::shared_ptr<Active> active);
  Task<void> drain_one(std::shared_ptr<Active> active, Deadline deadline);

  sdk::Context& context_;
  Deliverer& deliverer_;
  LogLimit log_limit_;
  std::map<Key, std::shared_ptr<Active>> active_;
  std::list<std::shared_ptr<Active>> retiring_;
  TaskScope scope_;  // last: its tasks use everything above
};

/// The app speaks gRPC.
bool speaks_grpc(const std::string& protocol);

}  // namespace caisson::pubsub
