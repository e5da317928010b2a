#include "capabilities/invoke/callees.hpp"

#include <fmt/format.h>

#include <cstdlib>

namespace caisson::invoke {

namespace {

/// Calls that may wait at a time for apps that cannot be reached; each holds a place in the gateway's
/// window. Beyond them the answer is given at once.
constexpr std::size_t kMostWaiting = 64;

}  // namespace

Callees::Callees(sdk::Context& context) : context_(context), endpoints_(context), resiliency_(context.loop()) {
  const char* const given = std::getenv("NAMESPACE");
  own_namespace_ = given == nullptr || *given == '\0' ? "default" : given;
}

void Callees::start() {
  invocations_ = context_.counters().counter("invocations_total");
  attempts_ = context_.counters().counter("invoke_attempts_total");
  failures_ = context_.counters().counter("invoke_failures_total");
  streamed_ = context_.counters().counter("invoke_streamed_bodies_total");
  breakers_not_closed_ = context_.counters().gauge("invoke_breakers_not_closed");
}

void Callees::configure(const config::Generation& generation) {
  endpoints_.configure(generation);
  access_ = AccessControl(generation.configuration);
  resiliency_.configure(generation);
}

Result<Callee> Callees::find(const std::string& id, const std::string& caller) {
  Callee callee;
  callee.name = id;
  const std::size_t dot = id.find('.');
  const bool own = dot != std::string::npos && id.substr(dot + 1) == own_namespace_;
  if (!is_app(id) && own && is_app(id.substr(0, dot))) callee.name = id.substr(0, dot);
  if (const auto app = context_.apps().find(callee.name); app != context_.apps().end()) {
    const bool rpc = app->second.protocol == "grpc" || app->second.protocol == "grpcs";
    callee.kind = rpc ? Callee::Kind::kRpcApp : Callee::Kind::kHttpApp;
    return callee;
  }
  ASSIGN(callee.endpoint, endpoints_.find(id, caller));
  callee.kind = Callee::Kind::kExternal;
  return callee;
}

Result<void> Callees::check_access(std::string_view caller, const Callee& callee, std::string_view method,
                                   std::string_view verb) const {
  if (callee.kind == Callee::Kind::kExternal) return ok();
  return access_.check({caller, own_namespace_}, method, verb, callee.kind == Callee::Kind::kRpcApp);
}

sdk::Policy Callees::policy_for(const std::string& caller, const Callee& callee, const std::string& method) {
  sdk::Policy policy = resiliency_.for_app(caller, callee.name, method);
  // The built-in retries are for other apps of the runtime: a call to oneself goes to the app directly.
  const bool only_once = callee.kind == Callee::Kind::kExternal || caller == callee.name || waiting_ >= kMostWaiting;
  return policy.built_in() && only_once ? sdk::Policy() : policy;
}

void Callees::invocation_ended(bool failed, const sdk::Policy& policy) {
  if (failed) failures_.add();
  if (policy.breaker() == nullptr) return;
  std::uint64_t count = 0;
  for (const sdk::BreakerStatus& breaker : resiliency_.breakers()) {
    if (breaker.state != sdk::BreakerState::kClosed) ++count;
  }
  breakers_not_closed_.set(count);
}

sdk::Outcome outcome_of(const Error& error) {
  sdk::Outcome outcome;
  outcome.failed = true;
  outcome.error = error.code;
  outcome.permanent = error.code == Errc::kCancelled || error.code == Errc::kNotFound ||
                      error.code == Errc::kPermissionDenied || error.code == Errc::kInvalidArgument;
  return outcome;
}

void add_identity(std::vector<Field>& headers, std::string_view caller, std::string_view own_namespace,
                  std::string_view callee) {
  headers.push_back({"dapr-caller-app-id", caller});
  headers.push_back({"dapr-caller-namespace", own_namespace});
  headers.push_back({"dapr-callee-app-id", callee});
}

}  // namespace caisson::invoke
