#include "capabilities/invoke/access_control.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "bus/wire.hpp"

namespace caisson::invoke {

namespace {

constexpr std::string_view kDefaultTrustDomain = "public";
constexpr std::string_view kAny = "*";
constexpr std::string_view kRest = "**";

bool is_allow(std::string_view action) { return equal_ignoring_case(action, "allow"); }

std::vector<std::string> segments_of(std::string_view path, bool to_lower) {
  std::vector<std::string> segments;
  while (!path.empty()) {
    const std::size_t end = std::min(path.find('/'), path.size());
    if (end > 0) segments.emplace_back(path.substr(0, end));
    path.remove_prefix(std::min(end + 1, path.size()));
  }
  if (!to_lower) return segments;
  for (std::string& segment : segments) {
    std::ranges::transform(segment, segment.begin(),
                           [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  }
  return segments;
}

/// A segment `*` takes one segment, the last one all that follow; `**` all that follow. A segment that
/// only ends with '*' takes what begins like it.
bool fits(std::span<const std::string> pattern, std::span<const std::string> path) {
  while (!pattern.empty() && !path.empty()) {
    const std::string& wanted = pattern.front();
    if (wanted == kRest || (wanted == kAny && pattern.size() == 1)) return true;
    const bool prefix = wanted.ends_with('*') && path.front().starts_with(wanted.substr(0, wanted.size() - 1));
    if (wanted != path.front() && !prefix) return false;
    pattern = pattern.subspan(1);
    path = path.subspan(1);
  }
  return pattern.empty() && path.empty();
}

/// Of two patterns that fit: the one that says more about an earlier segment.
bool is_more_specific(const std::vector<std::string>& one, const std::vector<std::string>& other) {
  const auto rank = [](const std::string& segment) {
    if (segment == kRest) return 0;
    if (segment == kAny) return 1;
    return segment.ends_with('*') ? 2 : 3;
  };
  for (std::size_t i = 0; i < std::min(one.size(), other.size()); ++i) {
    if (rank(one[i]) != rank(other[i])) return rank(one[i]) > rank(other[i]);
  }
  return one.size() > other.size();
}

}  // namespace

AccessControl::AccessControl(const config::Configuration& configuration)
    : trust_domain_(configuration.access_trust_domain) {
  const bool said = !configuration.access_default_action.empty() || !trust_domain_.empty();
  empty_ = !said && configuration.access_policies.empty();
  allow_by_default_ = configuration.access_default_action.empty() ? configuration.access_policies.empty()
                                                                  : is_allow(configuration.access_default_action);
  if (trust_domain_.empty()) trust_domain_ = kDefaultTrustDomain;
  for (const config::AccessPolicy& given : configuration.access_policies) {
    Policy policy;
    policy.trust_domain = given.trust_domain;
    policy.default_action = given.default_action;
    for (const config::AccessOperation& one : given.operations) {
      Operation operation;
      operation.segments = segments_of(one.name, false);
      operation.lower_segments = segments_of(one.name, true);
      operation.verbs = one.verbs;
      operation.allow = one.allow;
      policy.operations.push_back(std::move(operation));
    }
    policies_[{given.app, given.app_namespace}] = std::move(policy);
  }
}

Result<void> AccessControl::check(const CallerIdentity& caller, std::string_view method, std::string_view verb,
                                  bool rpc) const {
  if (empty_ || allows(caller, method, verb, rpc)) return ok();
  return Error{Errc::kPermissionDenied,
               fmt::format("access control policy has denied access to id: {} operation: {} verb: {}", caller.app,
                           method, rpc ? "NONE" : verb)};
}

bool AccessControl::allows(const CallerIdentity& caller, std::string_view method, std::string_view verb,
                           bool rpc) const {
  const auto found = policies_.find({std::string(caller.app), std::string(caller.app_namespace)});
  if (found == policies_.end() || found->second.trust_domain != trust_domain_) return allow_by_default_;
  const Policy& policy = found->second;
  const bool otherwise = policy.default_action.empty() ? allow_by_default_ : is_allow(policy.default_action);

  const std::vector<std::string> path = segments_of(method, !rpc);
  const auto pattern_of = [rpc](const Operation& one) -> const std::vector<std::string>& {
    return rpc ? one.segments : one.lower_segments;
  };
  const Operation* best = nullptr;
  for (const Operation& one : policy.operations) {
    if (!fits(pattern_of(one), path)) continue;
    if (best == nullptr || !is_more_specific(pattern_of(*best), pattern_of(one))) best = &one;
  }
  if (best == nullptr) return otherwise;
  const bool verb_fits = std::ranges::any_of(
      best->verbs, [verb](const std::string& allowed) { return allowed == verb || allowed == kAny; });
  return rpc || verb_fits ? best->allow : otherwise;
}

}  // namespace caisson::invoke
