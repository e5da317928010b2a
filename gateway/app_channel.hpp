#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "bus/link.hpp"
#include "gateway/app_address.hpp"
#include "gateway/app_config.hpp"

namespace caisson::gateway {

class AppChannel;

/// What the manifests want asked of every incarnation of an app.
struct AppQueries {
  std::vector<std::string> paths;  // of apps that speak HTTP
  std::vector<std::string> rpcs;   // methods, of apps that speak gRPC
  std::string health_rpc;          // the method that tells whether such an app is well; empty: none

  bool operator==(const AppQueries&) const = default;
};

/// Who wants to know about an app.
class AppObserver {
 public:
  /// Reachable, healthy or incarnation changed.
  virtual void app_changed(const AppChannel& app) = 0;
  /// The app answered one of the queries of the manifests; status 0 (of a method kUnavailable): it
  /// could not be asked.
  virtual void app_answered(const AppChannel& app, const std::string& path, std::uint16_t status,
                            const std::string& body) = 0;

 protected:
  ~AppObserver() = default;
};

/// The gateway's way to one app: waits for its port, probes its health, asks the manifests' queries
/// once per incarnation, and carries calls to it in the protocol that it speaks, at most
/// `app_max_concurrency` at a time over all capabilities.
///
/// An incarnation begins when the port opens after it was closed, when a connection that had been open
/// is refused, or when the host's name means another address. One thread.
class AppChannel {
 public:
  AppChannel(EventLoop& loop, AppConfig config, AppObserver& observer);
  /// With another way of looking names up.
  AppChannel(EventLoop& loop, AppConfig config, AppObserver& observer, AppAddress::LookUp look_up);
  ~AppChannel();

  void start();
  /// What to ask of every incarnation; asks at once what is new and the app is there.
  void set_queries(AppQueries queries);

  [[nodiscard]] const AppConfig& config() const;
  [[nodiscard]] bool has_port() const;
  [[nodiscard]] bool reachable() const;
  /// Reachable, and passing its health check where one is configured.
  [[nodiscard]] bool healthy() const;
  [[nodiscard]] std::uint64_t incarnation() const;
  [[nodiscard]] std::size_t calls_in_flight() const;
  /// "127.0.0.1:8080" where an HTTP app may be called without this channel: it has nothing to add (an app
  /// token) or to count (a limit of calls). Else empty.
  [[nodiscard]] std::string direct_address() const;

  /// Carries one call to the app: a request of HTTP, or a call of gRPC in the form of
  /// docs/wire-format.md, as `app_protocol` has it; bodies as streams in both directions where they do
  /// not fit one piece. Without an answer, the error's code says why: kUnavailable (not reachable:
  /// nothing was sent), kFailedPrecondition (no app port, not healthy, or the call has the other form),
  /// kUnknown (the connection broke after the request was sent), kDeadlineExceeded, kResourceExhausted.
  Task<void> serve(Incoming call);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace caisson::gateway
