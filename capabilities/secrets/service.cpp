#include "capabilities/secrets/service.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "capabilities/secrets/make_store.hpp"

namespace caisson::secrets {

namespace {

bool has(const std::vector<std::string>& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

sdk::ComponentSet::Options store_options() {
  sdk::ComponentSet::Options options;
  options.prefix = kTypePrefix;
  return options;
}

}  // namespace

SecretService::SecretService(sdk::Context& context)
    : context_(context), resiliency_(context.loop()), stores_(context, store_options(), make_store) {}

void SecretService::start() {
  read_ = context_.counters().counter("secrets_read_total");
  denied_ = context_.counters().counter("secrets_denied_total");
  failed_ = context_.counters().counter("secrets_failed_total");
}

void SecretService::configure(const config::Generation& generation) {
  configured_ = true;
  types_.clear();
  for (const config::Component& component : generation.components) types_[component.name] = component.type;
  scopes_.clear();
  for (const config::SecretScope& scope : generation.configuration.secret_scopes) scopes_[scope.store] = scope;
  resiliency_.configure(generation);
  stores_.configure(generation);
}

Task<Answered<Secret>> SecretService::get(std::string app, std::string store, std::string name, Deadline deadline) {
  auto reading = read(std::move(app), std::move(store), std::move(name), deadline);
  Answered<Secret> answer = co_await std::move(reading);
  count(answer.refused);
  co_return answer;
}

Task<Answered<Secrets>> SecretService::get_all(std::string app, std::string store, Deadline deadline) {
  auto reading = read_all(std::move(app), std::move(store), deadline);
  Answered<Secrets> answer = co_await std::move(reading);
  count(answer.refused);
  co_return answer;
}

void SecretService::count(const std::optional<Refused>& refused) {
  if (!refused) {
    read_.add();
  } else if (refused->why == Refusal::kDenied) {
    denied_.add();
  } else if (refused->why == Refusal::kFailed) {
    failed_.add();
  }
}

Task<Answered<Secret>> SecretService::read(std::string app, std::string store, std::string name, Deadline deadline) {
  Answered<StorePtr> found = co_await find(app, store, deadline);
  if (found.refused) co_return Answered<Secret>{{}, std::move(found.refused)};
  if (!allowed(store, name)) co_return Answered<Secret>{{}, Refused{Refusal::kDenied, {}}};

  const StorePtr backend = found.value;
  const sdk::Policy rules = policy(app, store);
  std::function<Task<Result<Secret>>(Deadline)> attempt = [&](Deadline until) { return backend->get(name, until); };
  Result<Secret> secret = co_await rules.run<Secret>(std::move(attempt), deadline);
  if (!secret) co_return Answered<Secret>{{}, Refused{Refusal::kFailed, secret.error().message}};
  co_return Answered<Secret>{*std::move(secret), std::nullopt};
}

Task<Answered<Secrets>> SecretService::read_all(std::string app, std::string store, Deadline deadline) {
  Answered<StorePtr> found = co_await find(app, store, deadline);
  if (found.refused) co_return Answered<Secrets>{{}, std::move(found.refused)};

  const StorePtr backend = found.value;
  const sdk::Policy rules = policy(app, store);
  std::function<Task<Result<Secrets>>(Deadline)> attempt = [&](Deadline until) { return backend->get_all(until); };
  Result<Secrets> secrets = co_await rules.run<Secrets>(std::move(attempt), deadline);
  if (!secrets) co_return Answered<Secrets>{{}, Refused{Refusal::kFailed, secrets.error().message}};
  for (auto entry = secrets->begin(); entry != secrets->end();) {
    if (allowed(store, entry->first)) {
      ++entry;
      continue;
    }
    wipe(entry->second);
    entry = secrets->erase(entry);
  }
  co_return Answered<Secrets>{*std::move(secrets), std::nullopt};
}

Task<Result<std::string>> SecretService::resolve(std::string store, std::string name, std::string key,
                                                 Deadline deadline) {
  if (!configured_) co_return Error{Errc::kUnavailable, "the secrets capability has no configuration yet"};
  if (store.empty()) {
    co_return Error{Errc::kNotFound, fmt::format("secret '{}': the component names no auth.secretStore", name)};
  }
  Answered<StorePtr> found = co_await find({}, store, deadline);
  if (found.refused && found.refused->why == Refusal::kFailed) {
    co_return Error{Errc::kUnavailable, found.refused->message};
  }
  if (found.refused) {
    co_return Error{Errc::kNotFound, fmt::format("secret '{}': there is no secret store '{}'", name, store)};
  }
  CO_ASSIGN(Secret secret, co_await found.value->get(name, deadline));
  const auto value = secret.find(key);
  if (value == secret.end()) {
    wipe(secret);
    co_return Error{Errc::kNotFound, fmt::format("secret '{}' has no key '{}'", name, key)};
  }
  std::string result = std::move(value->second);
  wipe(secret);
  co_return result;
}

Task<Answered<SecretService::StorePtr>> SecretService::find(std::string app, std::string store, Deadline deadline) {
  using Absent = sdk::ComponentSet::Absent;
  auto found = co_await stores_.find_when_ready(store, std::move(app), deadline);
  Answered<StorePtr> answer;
  if (found.component != nullptr) {
    answer.value = std::static_pointer_cast<SecretStore>(std::move(found.component));
  } else if (found.absent == Absent::kNoneConfigured) {
    answer.refused = Refused{Refusal::kNoStores, {}};
  } else if (found.absent == Absent::kUnknown) {
    answer.refused = Refused{Refusal::kUnknownStore, {}};
  } else {
    answer.refused = Refused{Refusal::kFailed, fmt::format("secret store '{}' is not ready: {}", store, found.reason)};
  }
  co_return answer;
}

/// A list of allowed secrets stands alone; else what is not denied follows the default.
bool SecretService::allowed(std::string_view store, std::string_view name) const {
  const auto scope = scopes_.find(store);
  if (scope == scopes_.end()) return true;
  if (!scope->second.allowed.empty()) return has(scope->second.allowed, name);
  return scope->second.allow_by_default && !has(scope->second.denied, name);
}

sdk::Policy SecretService::policy(std::string_view app, const std::string& store) {
  return resiliency_.component_outbound(app, store, types_[store]);
}

}  // namespace caisson::secrets
