#include "capabilities/config/items/service.hpp"

#include <fmt/format.h>

#include <functional>

#include "capabilities/config/items/make_store.hpp"

namespace caisson::items {

namespace {

std::string log_path(const sdk::Context& context) {
  return context.data_dir().empty() ? std::string() : context.data_dir() + "/subscriptions.db";
}

/// What one request may name.
std::optional<Refused> check_keys(const std::vector<std::string>& keys) {
  if (keys.size() > kMaxNamedKeys) {
    return Refused{Refusal::kFailed, fmt::format("{} keys are named; {} is the most", keys.size(), kMaxNamedKeys)};
  }
  for (const std::string& key : keys) {
    if (key.empty()) return Refused{Refusal::kFailed, "a key is empty"};
    if (key.size() > kMaxKeyLength) {
      return Refused{Refusal::kFailed,
                     fmt::format("key '{}…' is longer than {} bytes", key.substr(0, 32), kMaxKeyLength)};
    }
  }
  return std::nullopt;
}

Answered<std::string> answered(Result<std::string> result) {
  Answered<std::string> answer;
  if (result) {
    answer.value = *std::move(result);
  } else {
    answer.refused = Refused{Refusal::kFailed, std::move(result).error().message};
  }
  return answer;
}

}  // namespace

ItemsService::ItemsService(sdk::Context& context)
    : context_(context),
      resiliency_(context.loop()),
      stores_(
          context,
          {.prefix = std::string(kTypePrefix),
           .changed = [this](const std::string&) { subscriptions_.stores_changed(); }},
          [this](const sdk::ComponentSpec& spec, Deadline deadline) { return make_store(context_, spec, deadline); }),
      deliverer_(context, resiliency_),
      subscriptions_(
          context, [this](const std::string& store, const std::string& app) { return find_now(store, app); },
          deliverer_, log_path(context)) {}

void ItemsService::configure(const config::Generation& generation) {
  types_.clear();
  for (const config::Component& component : generation.components) types_[component.name] = component.type;
  resiliency_.configure(generation);
  stores_.configure(generation);
  subscriptions_.stores_changed();  // scopes may have changed
}

Task<Answered<Items>> ItemsService::get(std::string app, std::string store, std::vector<std::string> keys,
                                        Deadline deadline) {
  auto finding = find(app, store, deadline);
  Answered<StorePtr> found = co_await std::move(finding);
  Answered<Items> answer;
  answer.refused = std::move(found.refused);
  if (!answer.refused) answer.refused = check_keys(keys);
  if (answer.refused) co_return answer;

  const StorePtr backend = found.value;
  const sdk::Policy policy = resiliency_.component_outbound(app, store, types_[store]);
  std::function<Task<Result<Items>>(Deadline)> attempt = [&](Deadline until) { return backend->get(keys, until); };
  auto reading = policy.run<Items>(std::move(attempt), deadline);
  Result<Items> items = co_await std::move(reading);
  if (items) {
    answer.value = *std::move(items);
  } else {
    answer.refused = Refused{Refusal::kFailed, items.error().message};
  }
  co_return answer;
}

Task<Answered<std::string>> ItemsService::subscribe(std::string app, std::string store, std::vector<std::string> keys,
                                                    Deadline deadline) {
  Answered<std::string> answer;
  auto asking = may_ask(app, store, keys, deadline);
  answer.refused = co_await std::move(asking);
  const auto state = context_.apps().find(app);
  if (!answer.refused && (state == context_.apps().end() || state->second.protocol.empty())) {
    answer.refused = Refused{Refusal::kNoAppChannel, {}};
  }
  if (answer.refused) co_return answer;
  auto subscribing = subscriptions_.subscribe(std::move(app), std::move(store), std::move(keys), deadline);
  auto id = co_await std::move(subscribing);
  co_return answered(std::move(id));
}

Task<Answered<std::string>> ItemsService::subscribe_stream(std::string app, std::string store,
                                                           std::vector<std::string> keys, std::string resumes,
                                                           Deadline deadline) {
  Answered<std::string> answer;
  auto asking = may_ask(app, store, keys, deadline);
  answer.refused = co_await std::move(asking);
  if (answer.refused) co_return answer;
  auto subscribing =
      subscriptions_.subscribe_stream(std::move(app), std::move(store), std::move(keys), std::move(resumes), deadline);
  auto id = co_await std::move(subscribing);
  co_return answered(std::move(id));
}

/// Whether the store is there for the app, and the keys are such as one may ask for.
Task<std::optional<Refused>> ItemsService::may_ask(std::string app, std::string store, std::vector<std::string> keys,
                                                   Deadline deadline) {
  auto finding = find(std::move(app), std::move(store), deadline);
  Answered<StorePtr> found = co_await std::move(finding);
  if (found.refused) co_return std::move(found.refused);
  co_return check_keys(keys);
}

Task<Answered<bool>> ItemsService::unsubscribe(std::string app, std::string store, std::string id, bool streamed,
                                               Deadline deadline) {
  Answered<bool> answer;
  // A store that is not ready may be unsubscribed from all the same.
  const auto found = stores_.find(store, app);
  using Absent = sdk::ComponentSet::Absent;
  if (found.component == nullptr && found.absent != Absent::kNotReady) {
    answer.refused = Refused{found.absent == Absent::kNoneConfigured ? Refusal::kNoStores : Refusal::kUnknownStore, {}};
    co_return answer;
  }
  auto ending = subscriptions_.unsubscribe(std::move(app), std::move(store), std::move(id), streamed, deadline);
  const Result<void> ended = co_await std::move(ending);
  answer.value = ended.has_value();
  if (!ended) answer.refused = Refused{Refusal::kFailed, ended.error().message};
  co_return answer;
}

Task<Answered<ItemsService::StorePtr>> ItemsService::find(std::string app, std::string store, Deadline deadline) {
  using Absent = sdk::ComponentSet::Absent;
  auto finding = stores_.find_when_ready(store, std::move(app), deadline);
  auto found = co_await std::move(finding);
  Answered<StorePtr> answer;
  if (found.component != nullptr) {
    answer.value = std::static_pointer_cast<Store>(std::move(found.component));
  } else if (found.absent == Absent::kNoneConfigured) {
    answer.refused = Refused{Refusal::kNoStores, {}};
  } else if (found.absent == Absent::kUnknown) {
    answer.refused = Refused{Refusal::kUnknownStore, {}};
  } else {
    answer.refused =
        Refused{Refusal::kFailed, fmt::format("configuration store '{}' is not ready: {}", store, found.reason)};
  }
  co_return answer;
}

Subscriptions::FoundStore ItemsService::find_now(const std::string& store, const std::string& app) const {
  auto found = stores_.find(store, app);
  const auto type = types_.find(store);
  return {std::static_pointer_cast<Store>(std::move(found.component)),
          type == types_.end() ? std::string() : type->second};
}

}  // namespace caisson::items
