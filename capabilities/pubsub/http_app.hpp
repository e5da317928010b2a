#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "capabilities/pubsub/receiver.hpp"
#include "sdk/capability.hpp"

namespace caisson::pubsub {

/// Delivers to an app that speaks HTTP: each event a POST to its path, or several as one envelope.
class HttpApp final : public Receiver {
 public:
  HttpApp(sdk::Context& context, std::string app, config::Subscription subscription)
      : context_(context), app_(std::move(app)), subscription_(std::move(subscription)) {}

  Task<Attempt> take(const Event& event, Deadline deadline) override;
  Task<std::vector<Attempt>> take_all(std::vector<const Event*> events, Deadline deadline) override;

 private:
  sdk::Context& context_;
  std::string app_;
  config::Subscription subscription_;
};

/// What the app's answer to a delivered event means.
Attempt read_app_answer(std::uint16_t status, std::string_view body);

/// The envelope that `events` are delivered in; `ids` names the entries.
std::string write_bulk_envelope(const config::Subscription& subscription, const std::vector<const Event*>& events,
                                const std::vector<std::string>& ids);
/// What the app's answer to such an envelope means for each of its entries. An entry it says nothing about
/// has failed.
std::vector<Attempt> read_bulk_answer(std::uint16_t status, std::string_view body, const std::vector<std::string>& ids);

}  // namespace caisson::pubsub
