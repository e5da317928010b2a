#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "bus/link.hpp"
#include "bus/log.hpp"
#include "gateway/app_channel.hpp"
#include "gateway/gateway_counters.hpp"

namespace caisson::gateway {

/// Where calls may go; the gateway's core knows. One thread.
class CallTargets {
 public:
  /// The channel to an app that this gateway serves; null for any other.
  virtual AppChannel* app(std::string_view id) = 0;
  /// Whether the caller's manifest grants it the target.
  [[nodiscard]] virtual bool granted(std::string_view capability, std::string_view target) const = 0;
  /// A link to an instance that serves the target, waited for until the deadline; valid until the
  /// caller next suspends. kNotFound: no manifest serves it. kUnavailable: no instance came.
  virtual Task<Result<Link*>> instance_serving(std::string target, Deadline deadline) = 0;

 protected:
  ~CallTargets() = default;
};

/// Serves what capabilities call: the app, or what another capability serves. One thread; outlives
/// the calls it serves.
class Calls {
 public:
  Calls(EventLoop& loop, CallTargets& targets, GatewayCounters& counters)
      : loop_(loop), targets_(targets), counters_(counters) {}

  /// Serves one Call of the capability behind a link: the link's `serve` handler. Answers with an
  /// error of its own: kPermissionDenied (not granted), kNotFound (no such app, nobody serves the
  /// target), kFailedPrecondition (passed on too often), or what the target answers with.
  Task<void> serve(std::string capability, Incoming call);
  /// Answers all further calls with kUnavailable; those under way go on.
  void close() { closed_ = true; }
  [[nodiscard]] std::size_t under_way() const { return under_way_; }

 private:
  Task<Result<void>> forward(Incoming& call);
  Task<Result<void>> pass_back(Incoming& call, Reply reply);

  EventLoop& loop_;
  CallTargets& targets_;
  GatewayCounters& counters_;
  LogLimit log_limit_;
  bool closed_ = false;
  std::size_t under_way_ = 0;
};

}  // namespace caisson::gateway
