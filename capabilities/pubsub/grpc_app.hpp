#pragma once

#include <string>
#include <vector>

#include "capabilities/pubsub/app_call.hpp"
#include "capabilities/pubsub/receiver.hpp"
#include "sdk/capability.hpp"

namespace caisson::pubsub {

/// Delivers to an app that speaks gRPC: AppCallback's OnTopicEvent, and OnBulkTopicEvent or, where the app has
/// only that, its alpha form.
class GrpcApp final : public Receiver {
 public:
  /// What an app is asked for its subscriptions with, once per incarnation.
  static constexpr std::string_view kListMethod = "/dapr.proto.runtime.v1.AppCallback/ListTopicSubscriptions";

  GrpcApp(sdk::Context& context, std::string app, config::Subscription subscription)
      : context_(context), app_(std::move(app)), subscription_(std::move(subscription)) {}

  Task<Attempt> take(const Event& event, Deadline deadline) override;
  Task<std::vector<Attempt>> take_all(std::vector<const Event*> events, Deadline deadline) override;

 private:
  Task<Result<AppReply>> ask_bulk(std::string body, Deadline deadline);

  sdk::Context& context_;
  std::string app_;
  config::Subscription subscription_;
  bool bulk_is_alpha_ = false;  // the app has only the alpha form of bulk delivery
};

}  // namespace caisson::pubsub
