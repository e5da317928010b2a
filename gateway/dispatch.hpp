#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "bus/link.hpp"
#include "bus/manifest.hpp"
#include "gateway/capability_links.hpp"
#include "gateway/gateway_counters.hpp"
#include "gateway/parking.hpp"
#include "gateway/request_window.hpp"

namespace caisson::gateway {

/// A request that has found its route. Views live as long as the call.
struct RoutedRequest {
  const Manifest* manifest = nullptr;
  const Route* route = nullptr;
  /// The component it is for; empty: any instance will do.
  std::string_view component;
  /// The path parameter that is the route's key; of a gRPC method it stands in the body.
  std::string_view key = {};
  /// Route, app, method, path, query, parameters, headers, trace context.
  Envelope envelope;
  /// Where the client set one: instead of the gateway's own.
  std::optional<Deadline> deadline = std::nullopt;
};

/// Why there is no answer: in the words of HTTP, and what it was.
struct Refusal : GatewayError {
  Errc kind = Errc::kOk;
};

/// A capability's answer, or why there is none.
struct Answer {
  std::optional<Reply> reply;
  Refusal error;
  /// What the request holds until a streamed answer has been passed on.
  Instance::Place place;
  RequestWindow::Slot slot;
};

/// A request whose body is still to be written, or why there is none.
struct Opened {
  std::optional<OpenCall> call;
  Refusal error;
  std::shared_ptr<Instance> instance;
  Instance::Place place;
  RequestWindow::Slot slot;
};

/// Brings requests to an instance: picks it, waits at its door, parks where there is none, sends
/// again what may be. One thread.
class Dispatch {
 public:
  struct Options {
    Nanos deadline = std::chrono::seconds(60);
    Nanos queue_time = std::chrono::seconds(2);
    Nanos parking_time = std::chrono::seconds(30);
    /// For requests whose body comes as a stream.
    Nanos stream_deadline = std::chrono::minutes(10);
  };
  Dispatch(EventLoop& loop, CapabilityLinks& links, RequestWindow& window, GatewayCounters& counters, Options options)
      : loop_(loop),
        links_(links),
        window_(window),
        counters_(counters),
        options_(options),
        parking_(loop, Parking::Limits{}) {}

  /// Sends a request with its whole body and waits for the answer. Dropping the task cancels it.
  Task<Answer> call(RoutedRequest request, Buffer body);
  /// Begins a request whose body follows; `first` is what has arrived of it.
  Task<Opened> open(RoutedRequest request, Buffer first);
  /// Waits for the answer to open().
  Task<Answer> reply(Opened& opened, const Route& route);

  [[nodiscard]] Parking& parking() { return parking_; }
  [[nodiscard]] const Parking& parking() const { return parking_; }

 private:
  /// An instance with room where nobody waits; null: find_room() has to be asked.
  [[nodiscard]] Instance* straight_ahead(const RoutedRequest& request, std::string_view body) const;
  /// An instance with room, after waiting as long as it takes and may; lives until the next wait.
  Task<Result<Instance*>> find_room(const RoutedRequest& request, std::string_view body, Deadline deadline,
                                    Deadline& queued_until);
  Refusal refused(const Route& route, const Error& error);
  Refusal failed(const Error& error);

  EventLoop& loop_;
  CapabilityLinks& links_;
  RequestWindow& window_;
  GatewayCounters& counters_;
  Options options_;
  Parking parking_;
};

}  // namespace caisson::gateway
