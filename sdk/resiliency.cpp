#include "sdk/resiliency.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "bus/log.hpp"

namespace caisson::sdk {

namespace {

constexpr std::string_view kBuiltInServiceRetries = "DaprBuiltInServiceRetries";
constexpr std::int64_t kLeastBuiltInRetries = 3;
constexpr std::size_t kDefaultCacheSize = 100;
/// Targets with breakers that are kept in all; names of targets come from apps.
constexpr std::size_t kMostTargets = 1000;

/// The class of a component in the names of default policies.
std::string_view class_of(std::string_view type) {
  struct Row {
    std::string_view prefix;
    std::string_view name;
  };
  constexpr Row kRows[] = {{"state.", "Statestore"},
                           {"pubsub.", "Pubsub"},
                           {"bindings.", "Binding"},
                           {"secretstores.", "Secretstore"},
                           {"configuration.", "Configuration"},
                           {"lock.", "Lock"},
                           {"crypto.", "Crypto"},
                           {"conversation.", "Conversation"}};
  for (const Row& row : kRows) {
    if (type.starts_with(row.prefix)) return row.name;
  }
  return {};
}

RetryRule built_in_service_retries() {
  RetryRule rule;
  rule.duration = std::chrono::seconds(1);
  rule.max_interval = std::chrono::seconds(60);
  rule.max_retries = 3;
  rule.only_unreachable = true;
  return rule;
}

/// The first of `names` that is a policy.
template <class Policies>
std::string first_known(const Policies& policies, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (policies.contains(name)) return name;
  }
  return {};
}

template <class Map>
void merge(Map& into, const Map& from) {
  for (const auto& [name, value] : from) into.insert_or_assign(name, value);
}

}  // namespace

Outcome outcome_of(const Error& error) {
  constexpr std::array kPermanent = {Errc::kCancelled,        Errc::kInvalidArgument, Errc::kAlreadyExists,
                                     Errc::kPermissionDenied, Errc::kAborted,         Errc::kOutOfRange,
                                     Errc::kUnimplemented,    Errc::kUnauthenticated};
  Outcome outcome;
  outcome.failed = true;
  outcome.permanent = std::ranges::find(kPermanent, error.code) != kPermanent.end();
  outcome.error = error.code;
  return outcome;
}

/// One document's policies, checked and prepared.
struct Resiliency::Document {
  std::vector<std::string> scopes;
  std::map<std::string, Nanos> timeouts;
  std::map<std::string, std::shared_ptr<const RetryRule>> retries;
  std::map<std::string, BreakerPolicy> breakers;
  std::map<std::string, config::PolicyNames> apps;
  std::map<std::string, config::PolicyNames> inbound;
  std::map<std::string, config::PolicyNames> outbound;
};

/// All documents that apply to one app, later ones before earlier ones.
struct Resiliency::View : Document {
  /// No policy can come of it, whatever the target is.
  [[nodiscard]] bool is_empty() const { return timeouts.empty() && retries.empty() && breakers.empty(); }
  /// The default policies of a target without an entry; classes from the most specific on.
  [[nodiscard]] config::PolicyNames defaults(const std::vector<std::string>& classes) const {
    const auto names = [&](std::string_view kind) {
      std::vector<std::string> candidates;
      for (const std::string& name : classes) candidates.push_back(fmt::format("Default{}{}Policy", name, kind));
      return candidates;
    };
    config::PolicyNames found;
    found.timeout = first_known(timeouts, names("Timeout"));
    found.retry = first_known(retries, names("Retry"));
    found.circuit_breaker = first_known(breakers, names("CircuitBreaker"));
    return found;
  }
};

Resiliency::Resiliency(EventLoop& loop) : loop_(loop), random_(std::random_device{}()) {}
Resiliency::~Resiliency() = default;

void Resiliency::configure(const config::Generation& generation) {
  documents_.clear();
  views_.clear();
  for (const config::Resiliency& given : generation.resiliencies) {
    const auto refuse = [&given](std::string_view kind, const std::string& name, const Error& error) {
      log(LogLevel::kError, fmt::format("{}:{}: resiliency '{}': {} '{}': {}", given.origin.file, given.origin.line,
                                        given.name, kind, name, error.message));
    };
    Document document;
    document.scopes = given.scopes;
    document.timeouts = given.timeouts;
    document.apps = given.apps;
    document.inbound = given.component_inbound;
    document.outbound = given.component_outbound;
    for (const auto& [name, policy] : given.retries) {
      auto rule = compile(policy);
      if (rule && name == kBuiltInServiceRetries) {
        rule->only_unreachable = true;
        if (rule->max_retries >= 0 && rule->max_retries < kLeastBuiltInRetries) {
          rule = Error{Errc::kInvalidArgument, "maxRetries of this policy cannot be below 3"};
        }
      }
      if (!rule) {
        refuse("retries", name, rule.error());
        continue;
      }
      document.retries.emplace(name, std::make_shared<const RetryRule>(*std::move(rule)));
    }
    for (const auto& [name, policy] : given.circuit_breakers) {
      auto breaker = compile(policy);
      if (!breaker) {
        refuse("circuitBreakers", name, breaker.error());
        continue;
      }
      document.breakers.emplace(name, *std::move(breaker));
    }
    documents_.push_back(std::make_shared<const Document>(std::move(document)));
  }

  // Breakers whose policy is gone or changed begin anew; the others keep what they know.
  std::erase_if(breakers_, [this](const auto& entry) {
    const auto& [key, cache] = entry;
    const View& view = view_of(key.app);
    const auto policy = view.breakers.find(key.policy);
    return policy == view.breakers.end() || cache.entries.empty() ||
           !(policy->second == cache.entries.front().breaker->policy());
  });
}

const Resiliency::View& Resiliency::view_of(std::string_view app) {
  const auto known = views_.find(app);
  if (known != views_.end()) return *known->second;
  auto view = std::make_unique<View>();
  for (const auto& document : documents_) {
    const auto& scopes = document->scopes;
    if (!scopes.empty() && std::ranges::find(scopes, app) == scopes.end()) continue;
    merge(view->timeouts, document->timeouts);
    merge(view->retries, document->retries);
    for (const auto& [name, policy] : document->breakers) view->breakers.insert_or_assign(name, policy);
    merge(view->apps, document->apps);
    merge(view->inbound, document->inbound);
    merge(view->outbound, document->outbound);
  }
  return *views_.emplace(std::string(app), std::move(view)).first->second;
}

Policy Resiliency::for_app(std::string_view caller, std::string_view target, std::string_view method) {
  const View& view = view_of(caller);
  config::PolicyNames names;
  if (!view.is_empty()) {
    const auto entry = view.apps.find(std::string(target));
    names = entry != view.apps.end() ? entry->second : view.defaults({"App", ""});
  }
  Policy policy = assemble(view, names);
  if (!names.circuit_breaker.empty()) {
    const std::size_t size = names.circuit_breaker_cache_size;
    policy.breaker_ = breaker_of(view, {std::string(caller), std::string(target), names.circuit_breaker},
                                 fmt::format("{}:{}", target, method), size == 0 ? kDefaultCacheSize : size);
  }
  const bool none = policy.retry_ == nullptr && !policy.timeout_ && policy.breaker_ == nullptr;
  if (none) {
    const auto own = view.retries.find(std::string(kBuiltInServiceRetries));
    static const auto kBuiltIn = std::make_shared<const RetryRule>(built_in_service_retries());
    policy.retry_ = own != view.retries.end() ? own->second : kBuiltIn;
  }
  return policy;
}

Policy Resiliency::component_outbound(std::string_view app, std::string_view name, std::string_view type) {
  return component(app, name, type, false);
}

Policy Resiliency::component_inbound(std::string_view app, std::string_view name, std::string_view type) {
  return component(app, name, type, true);
}

Policy Resiliency::component(std::string_view app, std::string_view name, std::string_view type, bool inbound) {
  const View& view = view_of(app);
  if (view.is_empty()) return {};
  const std::string key(name);
  config::PolicyNames names;
  if (view.inbound.contains(key) || view.outbound.contains(key)) {
    const auto& entries = inbound ? view.inbound : view.outbound;
    if (const auto entry = entries.find(key); entry != entries.end()) names = entry->second;
  } else {
    const std::string direction = inbound ? "Inbound" : "Outbound";
    std::vector<std::string> classes;
    if (const std::string_view own = class_of(type); !own.empty()) {
      classes.push_back(fmt::format("{}Component{}", own, direction));
    }
    classes.insert(classes.end(), {"Component" + direction, "Component", ""});
    names = view.defaults(classes);
  }
  Policy policy = assemble(view, names);
  if (!names.circuit_breaker.empty()) {
    policy.breaker_ = breaker_of(view, {std::string(app), key, names.circuit_breaker}, key, 1);
  }
  return policy;
}

Policy Resiliency::assemble(const View& view, const config::PolicyNames& names) {
  Policy policy;
  policy.loop_ = &loop_;
  policy.random_ = [this] { return std::uniform_real_distribution<double>(0, 1)(random_); };
  if (const auto timeout = view.timeouts.find(names.timeout);
      timeout != view.timeouts.end() && timeout->second > Nanos::zero()) {
    policy.timeout_ = timeout->second;
  }
  if (const auto retry = view.retries.find(names.retry); retry != view.retries.end()) policy.retry_ = retry->second;
  return policy;
}

std::shared_ptr<CircuitBreaker> Resiliency::breaker_of(const View& view, CacheKey key, const std::string& name,
                                                       std::size_t capacity) {
  const auto policy = view.breakers.find(key.policy);
  if (policy == view.breakers.end()) return nullptr;
  if (breakers_.size() >= kMostTargets && !breakers_.contains(key)) breakers_.erase(breakers_.begin());
  Cache& cache = breakers_[std::move(key)];
  if (const auto known = cache.by_name.find(name); known != cache.by_name.end()) {
    cache.entries.splice(cache.entries.begin(), cache.entries, known->second);
    return known->second->breaker;
  }
  cache.entries.push_front({name, std::make_shared<CircuitBreaker>(loop_.clock(), policy->second)});
  cache.by_name.emplace(name, cache.entries.begin());
  while (cache.entries.size() > capacity) {
    cache.by_name.erase(cache.entries.back().name);
    cache.entries.pop_back();
  }
  return cache.entries.front().breaker;
}

std::vector<BreakerStatus> Resiliency::breakers() const {
  std::vector<BreakerStatus> all;
  for (const auto& [key, cache] : breakers_) {
    for (const auto& [name, breaker] : cache.entries) {
      all.push_back({key.app, name, breaker->state(), breaker->counts()});
    }
  }
  return all;
}

}  // namespace caisson::sdk
