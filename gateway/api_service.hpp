#pragma once

#include <string>

#include "gateway/app_config.hpp"
#include "gateway/dispatch.hpp"
#include "gateway/gateway_counters.hpp"
#include "gateway/http_service.hpp"
#include "gateway/routing.hpp"

namespace caisson::gateway {

/// The API behind one app's door: token, route, trace context, then on to dispatch. One thread; all
/// references outlive it.
class ApiService final : public HttpService {
 public:
  ApiService(const AppConfig& app, Routing& routing, Dispatch& dispatch, GatewayCounters& counters)
      : app_(app), routing_(routing), dispatch_(dispatch), counters_(counters) {}

  Admission admit(HttpRequest& request) override;
  Task<HttpAnswer> serve(HttpRequest& request, Buffer body) override;
  Task<Opened> open(HttpRequest& request, Buffer first) override;
  Task<HttpAnswer> reply(HttpRequest& request, Opened& opened) override;

 private:
  [[nodiscard]] RoutedRequest routed(const HttpRequest& request) const;
  HttpAnswer answer(HttpRequest& request, Answer answer);

  const AppConfig& app_;
  Routing& routing_;
  Dispatch& dispatch_;
  GatewayCounters& counters_;
};

}  // namespace caisson::gateway
