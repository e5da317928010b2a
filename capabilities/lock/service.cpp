#include "capabilities/lock/service.hpp"

#include <fmt/format.h>

#include "capabilities/lock/make_store.hpp"

namespace caisson::lock {

namespace {

sdk::ComponentSet::Options component_options() {
  sdk::ComponentSet::Options options;
  options.prefix = "lock.";
  options.exclusive = is_exclusive;
  return options;
}

Refused malformed(std::string_view field, std::string_view what, std::string_view store) {
  return {Refusal::kMalformed, fmt::format("{} is {} in lock store {}", field, what, store)};
}

}  // namespace

Service::Service(sdk::Context& context)
    : resiliency_(context.loop()),
      components_(context, component_options(), [&context](const sdk::ComponentSpec& spec, Deadline deadline) {
        return make_store(context, spec, deadline);
      }) {}

void Service::configure(const config::Generation& generation) {
  types_.clear();
  for (const config::Component& component : generation.components) types_[component.name] = component.type;
  resiliency_.configure(generation);
  components_.configure(generation);
}

Task<Answered<bool>> Service::try_lock(TryLock lock, Caller caller) {
  Answered<bool> answer;
  if (lock.expiry_seconds <= 0) {
    answer.refused = malformed("ExpiryInSeconds", "not positive", lock.store);
    co_return answer;
  }
  Operation operation;
  operation.action = Action::kTake;
  operation.owner = std::move(lock.owner);
  operation.seconds = lock.expiry_seconds;
  auto task = execute(std::move(lock.store), std::move(lock.resource), std::move(operation), std::move(caller));
  Answered<Outcome> outcome = co_await std::move(task);
  answer.value = outcome.value == Outcome::kTaken;
  answer.refused = std::move(outcome.refused);
  co_return answer;
}

Task<Answered<Unlocked>> Service::unlock(Unlock unlock, Caller caller) {
  Operation operation;
  operation.action = Action::kRelease;
  operation.owner = std::move(unlock.owner);
  auto task = execute(std::move(unlock.store), std::move(unlock.resource), std::move(operation), std::move(caller));
  Answered<Outcome> outcome = co_await std::move(task);
  Answered<Unlocked> answer;
  answer.refused = std::move(outcome.refused);
  if (outcome.value == Outcome::kDoesNotExist) answer.value = Unlocked::kDoesNotExist;
  if (outcome.value == Outcome::kBelongsToOthers) answer.value = Unlocked::kBelongsToOthers;
  co_return answer;
}

Task<Answered<Outcome>> Service::execute(std::string store, std::string resource, Operation operation, Caller caller) {
  Answered<Outcome> answer;
  auto finding = find(store, resource, operation.owner, caller);
  Found found = co_await std::move(finding);
  if (found.refused) {
    answer.refused = std::move(found.refused);
    co_return answer;
  }
  const std::shared_ptr<LockComponent> component = std::move(found.value);
  auto key = component->prefix.stored_key(caller.app, store, resource);
  if (!key) {
    answer.refused = Refused{Refusal::kFailed, std::move(key).error().message};
    co_return answer;
  }
  operation.request = caller.request;
  operation.key = fmt::format("lock{}{}", sdk::kKeySeparator, *key);

  // A policy's retries carry the same request id, so the ledger keeps a second from being a second take.
  const sdk::Policy rules = resiliency_.component_outbound(caller.app, store, types_[store]);
  std::function<Task<Result<Outcome>>(Deadline)> attempt = [&component, &operation](Deadline until) {
    return component->store->execute(operation, until);
  };
  auto running = rules.run<Outcome>(std::move(attempt), caller.deadline);
  auto outcome = co_await std::move(running);
  if (outcome) {
    const bool fits = (operation.action == Action::kTake) == (*outcome <= Outcome::kHeld);
    if (fits)
      answer.value = *outcome;
    else
      answer.refused = Refused{Refusal::kFailed, "the store answered for another request"};
  } else {
    answer.refused = Refused{Refusal::kFailed, std::move(outcome).error().message};
  }
  co_return answer;
}

Task<Service::Found> Service::find(std::string store, std::string resource, std::string owner, Caller caller) {
  using Absent = sdk::ComponentSet::Absent;
  Found answer;
  const auto now = components_.find(store, caller.app);
  if (now.component == nullptr && now.absent == Absent::kNoneConfigured) {
    answer.refused = Refused{Refusal::kNoStores, "lock store is not configured"};
  } else if (resource.empty()) {
    answer.refused = malformed("ResourceId", "empty", store);
  } else if (owner.empty()) {
    answer.refused = malformed("LockOwner", "empty", store);
  }
  if (answer.refused) co_return answer;

  auto waiting = components_.find_when_ready(store, caller.app, caller.deadline);
  auto found = co_await std::move(waiting);
  if (found.component != nullptr) {
    answer.value = std::static_pointer_cast<LockComponent>(std::move(found.component));
  } else if (found.absent == Absent::kNotReady) {
    answer.refused = Refused{Refusal::kFailed, fmt::format("lock store {} is not ready: {}", store, found.reason)};
  } else {
    answer.refused = Refused{Refusal::kUnknownStore, fmt::format("lock store {} not found", store)};
  }
  co_return answer;
}

}  // namespace caisson::lock
