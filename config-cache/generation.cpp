#include "config-cache/generation.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdint>

#include "config-cache/schema/generation_generated.h"
#include "config-cache/snapshot_header.hpp"

namespace caisson::config {

namespace {

using flatbuffers::Offset;
using Builder = flatbuffers::FlatBufferBuilder;
using Text = Offset<flatbuffers::String>;
template <class T>
using Vector = Offset<flatbuffers::Vector<Offset<T>>>;

// --- writing ---

Text write(Builder& to, const std::string& text) { return text.empty() ? Text() : to.CreateString(text); }

/// Every element of a list or map through `write_one`; an empty list is not written at all.
template <class T, class List, class WriteOne>
Vector<T> write_list(Builder& to, const List& list, WriteOne write_one) {
  if (list.empty()) return {};
  std::vector<Offset<T>> offsets;
  offsets.reserve(list.size());
  for (const auto& element : list) offsets.push_back(write_one(to, element));
  return to.CreateVector(offsets);
}

/// Always a string, also when it is empty: an element must not be missing.
Vector<flatbuffers::String> write(Builder& to, const std::vector<std::string>& list) {
  return write_list<flatbuffers::String>(to, list,
                                         [](Builder& b, const std::string& text) { return b.CreateString(text); });
}

Offset<wire::Origin> write(Builder& to, const Origin& origin) {
  return wire::CreateOrigin(to, write(to, origin.file), origin.line);
}

Offset<wire::Item> write(Builder& to, const MetadataItem& item) {
  return wire::CreateItem(to, write(to, item.name), write(to, item.value), write(to, item.secret_name),
                          write(to, item.secret_key), write(to, item.env));
}

Vector<wire::Item> write(Builder& to, const std::vector<MetadataItem>& items) {
  return write_list<wire::Item>(to, items, [](Builder& b, const MetadataItem& item) { return write(b, item); });
}

Offset<wire::Component> write(Builder& to, const Component& component) {
  return wire::CreateComponent(to, write(to, component.name), write(to, component.type), write(to, component.version),
                               write(to, component.metadata), write(to, component.secret_store),
                               component.ignore_errors, component.init_timeout.count(), write(to, component.scopes),
                               write(to, component.compartment), write(to, component.origin));
}

Offset<wire::Subscription> write(Builder& to, const Subscription& subscription) {
  const auto rules = write_list<wire::Rule>(to, subscription.rules, [](Builder& b, const RoutingRule& rule) {
    return wire::CreateRule(b, write(b, rule.match), write(b, rule.path));
  });
  const auto metadata = write_list<wire::Pair>(to, subscription.metadata, [](Builder& b, const auto& pair) {
    return wire::CreatePair(b, write(b, pair.first), write(b, pair.second));
  });
  return wire::CreateSubscription(to, write(to, subscription.name), write(to, subscription.pubsub),
                                  write(to, subscription.topic), rules, write(to, subscription.default_path),
                                  write(to, subscription.dead_letter_topic), metadata, subscription.bulk,
                                  subscription.bulk_max_messages, subscription.bulk_max_await.count(),
                                  write(to, subscription.scopes), write(to, subscription.origin));
}

Vector<wire::Target> write(Builder& to, const std::map<std::string, PolicyNames>& targets) {
  return write_list<wire::Target>(to, targets, [](Builder& b, const auto& target) {
    const PolicyNames& names = target.second;
    return wire::CreateTarget(b, write(b, target.first), write(b, names.timeout), write(b, names.retry),
                              write(b, names.circuit_breaker), names.circuit_breaker_cache_size);
  });
}

Offset<wire::Resiliency> write(Builder& to, const Resiliency& resiliency) {
  const auto timeouts = write_list<wire::Timeout>(to, resiliency.timeouts, [](Builder& b, const auto& timeout) {
    return wire::CreateTimeout(b, write(b, timeout.first), timeout.second.count());
  });
  const auto retries = write_list<wire::Retry>(to, resiliency.retries, [](Builder& b, const auto& retry) {
    const RetryPolicy& policy = retry.second;
    return wire::CreateRetry(b, write(b, retry.first), policy.exponential, policy.duration.count(),
                             policy.max_interval.count(), policy.max_retries, write(b, policy.http_codes),
                             write(b, policy.grpc_codes));
  });
  const auto breakers =
      write_list<wire::CircuitBreaker>(to, resiliency.circuit_breakers, [](Builder& b, const auto& breaker) {
        const CircuitBreakerPolicy& policy = breaker.second;
        return wire::CreateCircuitBreaker(b, write(b, breaker.first), policy.max_requests, policy.interval.count(),
                                          policy.timeout.count(), write(b, policy.trip));
      });
  return wire::CreateResiliency(to, write(to, resiliency.name), timeouts, retries, breakers, write(to, resiliency.apps),
                                write(to, resiliency.component_inbound), write(to, resiliency.component_outbound),
                                write(to, resiliency.scopes), write(to, resiliency.origin));
}

Offset<wire::HttpEndpoint> write(Builder& to, const HttpEndpoint& endpoint) {
  return wire::CreateHttpEndpoint(to, write(to, endpoint.name), write(to, endpoint.base_url),
                                  write(to, endpoint.headers), write(to, endpoint.secret_store),
                                  write(to, endpoint.scopes), write(to, endpoint.origin),
                                  write(to, endpoint.client_tls), write(to, endpoint.renegotiation));
}

Vector<wire::ApiRule> write(Builder& to, const std::vector<ApiRule>& rules) {
  return write_list<wire::ApiRule>(to, rules, [](Builder& b, const ApiRule& rule) {
    return wire::CreateApiRule(b, write(b, rule.name), write(b, rule.version), write(b, rule.protocol));
  });
}

Offset<wire::AccessPolicy> write(Builder& to, const AccessPolicy& policy) {
  const auto operations =
      write_list<wire::AccessOperation>(to, policy.operations, [](Builder& b, const AccessOperation& operation) {
        return wire::CreateAccessOperation(b, write(b, operation.name), write(b, operation.verbs), operation.allow);
      });
  return wire::CreateAccessPolicy(to, write(to, policy.app), write(to, policy.trust_domain),
                                  write(to, policy.app_namespace), write(to, policy.default_action), operations);
}

Offset<wire::Configuration> write(Builder& to, const Configuration& configuration) {
  const auto secret_scopes =
      write_list<wire::SecretScope>(to, configuration.secret_scopes, [](Builder& b, const SecretScope& scope) {
        return wire::CreateSecretScope(b, write(b, scope.store), scope.allow_by_default, write(b, scope.allowed),
                                       write(b, scope.denied));
      });
  const auto policies = write_list<wire::AccessPolicy>(
      to, configuration.access_policies, [](Builder& b, const AccessPolicy& policy) { return write(b, policy); });
  const auto features = write_list<wire::Feature>(to, configuration.features, [](Builder& b, const auto& feature) {
    return wire::CreateFeature(b, write(b, feature.first), feature.second);
  });
  return wire::CreateConfiguration(
      to, write(to, configuration.name), configuration.sampling_rate, secret_scopes,
      write(to, configuration.api_allowed), write(to, configuration.api_denied),
      write(to, configuration.denied_component_types), write(to, configuration.access_default_action),
      write(to, configuration.access_trust_domain), policies, features, write(to, configuration.origin));
}

// --- reading ---

/// Makes structs of a verified buffer. Offsets of a hostile buffer may name one string very often,
/// so what is copied out is counted; beyond the limit everything reads as empty and `over_limit`.
class Reader {
 public:
  [[nodiscard]] bool over_limit() const { return used_ > kLimit; }

  std::string text(const flatbuffers::String* from) {
    if (from == nullptr || !take(from->size())) return {};
    return from->str();
  }

  template <class T, class ReadOne>
  void list(const flatbuffers::Vector<Offset<T>>* from, ReadOne read_one) {
    if (from == nullptr) return;
    for (flatbuffers::uoffset_t i = 0; i < from->size() && take(kElement); ++i) read_one(*from->Get(i));
  }

  std::vector<std::string> texts(const flatbuffers::Vector<Offset<flatbuffers::String>>* from) {
    std::vector<std::string> out;
    list(from, [&](const flatbuffers::String& element) { out.push_back(text(&element)); });
    return out;
  }

 private:
  static constexpr std::size_t kLimit = 4 * kMaxSnapshot;
  static constexpr std::size_t kElement = 64;  // of a list: about what its struct takes

  bool take(std::size_t size) {
    used_ += size;
    return !over_limit();
  }

  std::size_t used_ = 0;
};

Origin read(Reader& reader, const wire::Origin* from) {
  if (from == nullptr) return {};
  return {reader.text(from->file()), from->line()};
}

std::vector<MetadataItem> read(Reader& reader, const flatbuffers::Vector<Offset<wire::Item>>* from) {
  std::vector<MetadataItem> out;
  reader.list(from, [&](const wire::Item& item) {
    out.push_back({reader.text(item.name()), reader.text(item.value()), reader.text(item.secret_name()),
                   reader.text(item.secret_key()), reader.text(item.env())});
  });
  return out;
}

Component read(Reader& reader, const wire::Component& from) {
  Component out;
  out.name = reader.text(from.name());
  out.type = reader.text(from.type());
  out.version = reader.text(from.version());
  out.metadata = read(reader, from.metadata());
  out.secret_store = reader.text(from.secret_store());
  out.ignore_errors = from.ignore_errors();
  out.init_timeout = Nanos(from.init_timeout_ns());
  out.scopes = reader.texts(from.scopes());
  out.compartment = reader.text(from.compartment());
  out.origin = read(reader, from.origin());
  return out;
}

Subscription read(Reader& reader, const wire::Subscription& from) {
  Subscription out;
  out.name = reader.text(from.name());
  out.pubsub = reader.text(from.pubsub());
  out.topic = reader.text(from.topic());
  reader.list(from.rules(), [&](const wire::Rule& rule) {
    out.rules.push_back({reader.text(rule.match()), reader.text(rule.path())});
  });
  out.default_path = reader.text(from.default_path());
  out.dead_letter_topic = reader.text(from.dead_letter_topic());
  reader.list(from.metadata(),
              [&](const wire::Pair& pair) { out.metadata[reader.text(pair.name())] = reader.text(pair.value()); });
  out.bulk = from.bulk();
  out.bulk_max_messages = from.bulk_max_messages();
  out.bulk_max_await = Nanos(from.bulk_max_await_ns());
  out.scopes = reader.texts(from.scopes());
  out.origin = read(reader, from.origin());
  return out;
}

std::map<std::string, PolicyNames> read(Reader& reader, const flatbuffers::Vector<Offset<wire::Target>>* from) {
  std::map<std::string, PolicyNames> out;
  reader.list(from, [&](const wire::Target& target) {
    out[reader.text(target.name())] = {reader.text(target.timeout()), reader.text(target.retry()),
                                       reader.text(target.circuit_breaker()), target.circuit_breaker_cache_size()};
  });
  return out;
}

Resiliency read(Reader& reader, const wire::Resiliency& from) {
  Resiliency out;
  out.name = reader.text(from.name());
  reader.list(from.timeouts(), [&](const wire::Timeout& timeout) {
    out.timeouts[reader.text(timeout.name())] = Nanos(timeout.span_ns());
  });
  reader.list(from.retries(), [&](const wire::Retry& retry) {
    RetryPolicy& policy = out.retries[reader.text(retry.name())];
    policy.exponential = retry.exponential();
    policy.duration = Nanos(retry.duration_ns());
    policy.max_interval = Nanos(retry.max_interval_ns());
    policy.max_retries = retry.max_retries();
    policy.http_codes = reader.text(retry.http_codes());
    policy.grpc_codes = reader.text(retry.grpc_codes());
  });
  reader.list(from.circuit_breakers(), [&](const wire::CircuitBreaker& breaker) {
    CircuitBreakerPolicy& policy = out.circuit_breakers[reader.text(breaker.name())];
    policy.max_requests = breaker.max_requests();
    policy.interval = Nanos(breaker.interval_ns());
    policy.timeout = Nanos(breaker.timeout_ns());
    policy.trip = reader.text(breaker.trip());
  });
  out.apps = read(reader, from.apps());
  out.component_inbound = read(reader, from.component_inbound());
  out.component_outbound = read(reader, from.component_outbound());
  out.scopes = reader.texts(from.scopes());
  out.origin = read(reader, from.origin());
  return out;
}

HttpEndpoint read(Reader& reader, const wire::HttpEndpoint& from) {
  HttpEndpoint out;
  out.name = reader.text(from.name());
  out.base_url = reader.text(from.base_url());
  out.headers = read(reader, from.headers());
  out.client_tls = read(reader, from.client_tls());
  out.renegotiation = reader.text(from.renegotiation());
  out.secret_store = reader.text(from.secret_store());
  out.scopes = reader.texts(from.scopes());
  out.origin = read(reader, from.origin());
  return out;
}

std::vector<ApiRule> read(Reader& reader, const flatbuffers::Vector<Offset<wire::ApiRule>>* from) {
  std::vector<ApiRule> out;
  reader.list(from, [&](const wire::ApiRule& rule) {
    out.push_back({reader.text(rule.name()), reader.text(rule.version()), reader.text(rule.protocol())});
  });
  return out;
}

AccessPolicy read(Reader& reader, const wire::AccessPolicy& from) {
  AccessPolicy out;
  out.app = reader.text(from.app());
  out.trust_domain = reader.text(from.trust_domain());
  out.app_namespace = reader.text(from.app_namespace());
  out.default_action = reader.text(from.default_action());
  reader.list(from.operations(), [&](const wire::AccessOperation& operation) {
    out.operations.push_back({reader.text(operation.name()), reader.texts(operation.verbs()), operation.allow()});
  });
  return out;
}

Configuration read(Reader& reader, const wire::Configuration* from) {
  Configuration out;
  if (from == nullptr) return out;
  out.name = reader.text(from->name());
  out.sampling_rate = from->sampling_rate();
  reader.list(from->secret_scopes(), [&](const wire::SecretScope& scope) {
    out.secret_scopes.push_back({reader.text(scope.store()), scope.allow_by_default(), reader.texts(scope.allowed()),
                                 reader.texts(scope.denied())});
  });
  out.api_allowed = read(reader, from->api_allowed());
  out.api_denied = read(reader, from->api_denied());
  out.denied_component_types = reader.texts(from->denied_component_types());
  out.access_default_action = reader.text(from->access_default_action());
  out.access_trust_domain = reader.text(from->access_trust_domain());
  reader.list(from->access_policies(),
              [&](const wire::AccessPolicy& policy) { out.access_policies.push_back(read(reader, policy)); });
  reader.list(from->features(),
              [&](const wire::Feature& feature) { out.features[reader.text(feature.name())] = feature.enabled(); });
  out.origin = read(reader, from->origin());
  return out;
}

Generation read(Reader& reader, const wire::Generation& from) {
  Generation out;
  out.term = from.term();
  out.sequence = from.sequence();
  out.audience = reader.text(from.audience());
  reader.list(from.components(), [&](const wire::Component& one) { out.components.push_back(read(reader, one)); });
  reader.list(from.subscriptions(),
              [&](const wire::Subscription& one) { out.subscriptions.push_back(read(reader, one)); });
  reader.list(from.resiliencies(), [&](const wire::Resiliency& one) { out.resiliencies.push_back(read(reader, one)); });
  reader.list(from.http_endpoints(),
              [&](const wire::HttpEndpoint& one) { out.http_endpoints.push_back(read(reader, one)); });
  out.configuration = read(reader, from.configuration());
  reader.list(from.elsewhere(), [&](const wire::Elsewhere& one) {
    out.elsewhere.push_back({reader.text(one.component()), reader.text(one.compartment())});
  });
  return out;
}

/// What the structure cannot say.
Result<void> check(const Generation& generation) {
  const double rate = generation.configuration.sampling_rate;
  if (!std::isfinite(rate) || rate < 0) {
    return Error{Errc::kInvalidArgument, "snapshot: configuration.sampling_rate is no rate"};
  }
  for (const Component& component : generation.components) {
    if (component.name.empty() || component.type.empty()) {
      return Error{Errc::kInvalidArgument, "snapshot: a component without name or type"};
    }
    if (component.init_timeout < Nanos::zero()) {
      return Error{Errc::kInvalidArgument,
                   fmt::format("snapshot: init_timeout of component '{}' is negative", component.name)};
    }
  }
  return ok();
}

}  // namespace

std::string encode(const Generation& generation) {
  Builder to(4096);
  const auto components = write_list<wire::Component>(to, generation.components,
                                                      [](Builder& b, const Component& one) { return write(b, one); });
  const auto subscriptions = write_list<wire::Subscription>(
      to, generation.subscriptions, [](Builder& b, const Subscription& one) { return write(b, one); });
  const auto resiliencies = write_list<wire::Resiliency>(
      to, generation.resiliencies, [](Builder& b, const Resiliency& one) { return write(b, one); });
  const auto endpoints = write_list<wire::HttpEndpoint>(
      to, generation.http_endpoints, [](Builder& b, const HttpEndpoint& one) { return write(b, one); });
  const auto configuration = write(to, generation.configuration);
  const auto elsewhere = write_list<wire::Elsewhere>(to, generation.elsewhere, [](Builder& b, const Elsewhere& one) {
    return wire::CreateElsewhere(b, write(b, one.component), write(b, one.compartment));
  });
  const auto audience = write(to, generation.audience);
  wire::FinishGenerationBuffer(
      to, wire::CreateGeneration(to, generation.term, generation.sequence, audience, components, subscriptions,
                                 resiliencies, endpoints, configuration, elsewhere));
  return seal({reinterpret_cast<const char*>(to.GetBufferPointer()), to.GetSize()});
}

Result<Generation> decode(std::string_view bytes) {
  if (bytes.size() > kMaxSnapshot) {
    return Error{Errc::kInvalidArgument, fmt::format("snapshot of {} bytes is over the limit", bytes.size())};
  }
  // A copy, because the writer may still change what lies in shared memory, and for alignment.
  const std::string copy(bytes);
  ASSIGN(const std::string_view body, unseal(copy));
  const std::vector<std::uint8_t> aligned(body.begin(), body.end());
  flatbuffers::Verifier verifier(aligned.data(), aligned.size(), /*max_depth=*/8, /*max_tables=*/262'144);
  if (!wire::VerifyGenerationBuffer(verifier)) {
    return Error{Errc::kInvalidArgument, "snapshot is no generation"};
  }
  Reader reader;
  Generation generation = read(reader, *wire::GetGeneration(aligned.data()));
  if (reader.over_limit()) return Error{Errc::kInvalidArgument, "snapshot says more than it may"};
  TRY(check(generation));
  return generation;
}

}  // namespace caisson::config
