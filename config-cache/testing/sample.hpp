#pragma once

#include <cstdint>

#include "config-cache/documents.hpp"

namespace caisson::config::testing {

/// A generation in which every field has a value of its own.
inline Generation sample_generation(std::uint64_t term, std::uint64_t sequence) {
  using namespace std::chrono_literals;
  Generation all;
  all.term = term;
  all.sequence = sequence;
  all.audience = "state";
  const Origin origin{"/r/cart.yaml", 3};
  all.components.push_back({"cart",
                            "state.redis",
                            "v1",
                            {{"binary", std::string("a\0b", 3), {}, {}, {}},
                             {"redisPassword", {}, "redis", "password", {}},
                             {"redisHost", {}, {}, {}, "REDIS_HOST"}},
                            "vault",
                            true,
                            1500ms,
                            {"shop", "till"},
                            "fast",
                            origin});
  all.subscriptions.push_back({"orders",
                               "pubsub",
                               "orders",
                               {{"event.type == \"big\"", "/big"}},
                               "/orders",
                               "dead",
                               {{"rawPayload", "true"}},
                               true,
                               50,
                               2s,
                               {"shop"},
                               origin});
  Resiliency resiliency;
  resiliency.name = "patience";
  resiliency.timeouts["short"] = 300ms;
  resiliency.retries["often"] = {true, 2s, 30s, 9, "429,500-599", "14"};
  resiliency.circuit_breakers["fuse"] = {3, 1s, 20s, "consecutiveFailures > 2"};
  resiliency.apps["till"] = {"short", "often", "fuse", 7};
  resiliency.component_inbound["orders"] = {"", "often", "", 0};
  resiliency.component_outbound["cart"] = {"short", "", "fuse", 0};
  resiliency.scopes = {"shop"};
  resiliency.origin = origin;
  all.resiliencies.push_back(resiliency);
  HttpEndpoint endpoint;
  endpoint.name = "weather";
  endpoint.base_url = "https://example.org";
  endpoint.headers.push_back({"key", "v", {}, {}, {}});
  endpoint.client_tls.push_back({"rootCA", {}, "ca", "pem", {}});
  endpoint.renegotiation = "Never";
  endpoint.secret_store = "vault";
  endpoint.scopes = {"shop"};
  endpoint.origin = origin;
  all.http_endpoints.push_back(endpoint);
  all.configuration.name = "appconfig";
  all.configuration.sampling_rate = 0.25;
  all.configuration.secret_scopes.push_back({"vault", false, {"redis"}, {"root"}});
  all.configuration.api_allowed.push_back({"state", "v1.0", "http"});
  all.configuration.api_denied.push_back({"invoke", "v1.0", "grpc"});
  all.configuration.denied_component_types = {"bindings.smtp"};
  all.configuration.access_default_action = "deny";
  all.configuration.access_trust_domain = "public";
  all.configuration.access_policies.push_back({"till", "public", "default", "allow", {{"/pay", {"GET", "PUT"}, true}}});
  all.configuration.features["HotReload"] = true;
  all.configuration.origin = origin;
  all.elsewhere.push_back({"events", "kafka"});
  return all;
}

}  // namespace caisson::config::testing
