#include "capabilities/config/items/subscriptions.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "capabilities/config/items/active_subscription.hpp"

namespace caisson::items {

namespace {

constexpr Nanos kOpenTimeout = std::chrono::seconds(30);
constexpr Nanos kRestorePatience = std::chrono::seconds(5);
/// How long a subscription that takes another's place waits for the updates under way there. Not longer:
/// the app may be making it from within an update.
constexpr Nanos kHandOver = std::chrono::seconds(1);
constexpr std::size_t kLongestId = 64;

/// Sorted, each once.
std::vector<std::string> each_once(std::vector<std::string> keys) {
  std::ranges::sort(keys);
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  return keys;
}

}  // namespace

Subscriptions::Subscriptions(sdk::Context& context, FindStore find_store, Deliverer& deliverer, std::string path)
    : context_(context),
      find_store_(std::move(find_store)),
      deliverer_(deliverer),
      log_(context.loop(), std::move(path)),
      scope_(context.loop()) {}

Subscriptions::~Subscriptions() = default;

void Subscriptions::start() {
  told_ = context_.counters().counter("configuration_updates_total");
  refused_ = context_.counters().counter("configuration_updates_failed_total");
  active_ = context_.counters().gauge("configuration_subscriptions");
  scope_.spawn(restore());
}

Task<void> Subscriptions::restore() {
  EventLoop& loop = context_.loop();
  Nanos pause = kFirstReadRetry;
  while (true) {
    auto task = log_.open(loop.deadline_in(kOpenTimeout));
    auto stored = co_await std::move(task);
    if (stored) {
      for (SubscriptionLog::Stored& one : *stored) activate(std::move(one));
      restored_ = true;
      restored_changed_.wake_all();
      co_return;
    }
    not_restored_ = stored.error().message;
    log_limit_.log(LogLevel::kError, fmt::format("configuration subscriptions cannot be read: {}", not_restored_));
    co_await loop.sleep_until(loop.deadline_in(pause));
    pause = std::min(pause * 2, kLongestRetry);
  }
}

/// An instance that is being replaced may hold the log for a moment.
Task<Result<void>> Subscriptions::until_restored(Deadline deadline) {
  deadline = deadline.earlier(context_.loop().deadline_in(kRestorePatience));
  while (!restored_) {
    const Wake wake = co_await restored_changed_.wait(context_.loop(), deadline);
    if (wake == Wake::kDeadline && !restored_) {
      co_return Error{Errc::kUnavailable,
                      not_restored_.empty() ? "earlier subscriptions are still being read" : not_restored_};
    }
  }
  co_return ok();
}

/// What would be kept, with the items' present contents as told.
Task<Result<SubscriptionLog::Stored>> Subscriptions::draft(Subscription wanted, Deadline deadline) {
  const FoundStore found = find_store_(wanted.store, wanted.app);
  if (found.store == nullptr) {
    co_return Error{Errc::kUnavailable, fmt::format("store '{}' is not ready", wanted.store)};
  }
  auto reading = found.store->get(wanted.keys, deadline);
  CO_ASSIGN(const Items items, co_await std::move(reading));
  SubscriptionLog::Stored draft;
  for (const auto& [key, item] : items) draft.told.emplace(key, fingerprint_of(item));
  const auto state = context_.apps().find(wanted.app);
  if (state != context_.apps().end()) {
    // An app that subscribes before it listens belongs to the incarnation that will be seen next.
    wanted.incarnation = state->second.incarnation + (state->second.reachable ? 0 : 1);
  }
  draft.subscription = std::move(wanted);
  co_return draft;
}

Task<Result<std::string>> Subscriptions::subscribe(std::string app, std::string store, std::vector<std::string> keys,
                                                   Deadline deadline) {
  auto restored = until_restored(deadline);
  CO_TRY(co_await std::move(restored));
  Subscription wanted;
  wanted.id = new_subscription_id();
  wanted.app = std::move(app);
  wanted.store = std::move(store);
  wanted.keys = each_once(std::move(keys));
  auto drafting = draft(std::move(wanted), deadline);
  CO_ASSIGN(SubscriptionLog::Stored added, co_await std::move(drafting));
  auto making = make_alone(std::move(added), deadline);
  auto made = beside(std::move(making), deadline);
  co_return co_await std::move(made);
}

Task<Result<std::string>> Subscriptions::subscribe_stream(std::string app, std::string store,
                                                          std::vector<std::string> keys, std::string resumes,
                                                          Deadline deadline) {
  if (resumes.size() > kLongestId) co_return Error{Errc::kInvalidArgument, "what is to be resumed has no such id"};
  auto restored = until_restored(deadline);
  CO_TRY(co_await std::move(restored));
  Subscription wanted;
  wanted.app = std::move(app);
  wanted.store = std::move(store);
  wanted.keys = each_once(std::move(keys));
  wanted.streamed = true;
  if (const ActivePtr active = find(wanted.app, resumes); active != nullptr) {
    const Subscription& known = active->subscription;
    if (known.streamed && known.store == wanted.store && known.keys == wanted.keys) co_return resumes;
    co_return Error{Errc::kInvalidArgument, fmt::format("subscription {} is another one", resumes)};
  }
  wanted.id = resumes.empty() ? new_subscription_id() : resumes;
  auto drafting = draft(std::move(wanted), deadline);
  CO_ASSIGN(SubscriptionLog::Stored added, co_await std::move(drafting));
  if (!resumes.empty()) added.told.clear();  // what it was told is not known
  auto making = make_alone(std::move(added), deadline);
  auto made = beside(std::move(making), deadline);
  co_return co_await std::move(made);
}

Result<void> Subscriptions::attach(const std::string& app, const std::string& id,
                                   std::shared_ptr<UpdateStream> stream) {
  const ActivePtr active = find(app, id);
  if (active == nullptr) return Error{Errc::kNotFound, fmt::format("there is no subscription {}", id)};
  const std::shared_ptr<UpdateStream> former = std::exchange(active->stream, std::move(stream));
  if (former != nullptr) former->end({Errc::kAborted, "another stream has taken the subscription up"});
  active->stir();
  return ok();
}

void Subscriptions::detach(const std::string& app, const std::string& id, const UpdateStream* stream) {
  const ActivePtr active = find(app, id);
  if (active == nullptr || active->stream.get() != stream) return;
  active->stream = nullptr;
  active->stream_gone = context_.loop().clock().now();
  active->stir();
}

Subscriptions::ActivePtr Subscriptions::find(const std::string& app, const std::string& id) const {
  const auto of_app = apps_.find(app);
  if (of_app == apps_.end()) return nullptr;
  const auto found = std::ranges::find_if(
      of_app->second, [&](const ActivePtr& active) { return active->subscription.id == id && !active->over; });
  return found == of_app->second.end() ? nullptr : *found;
}

Task<Result<std::string>> Subscriptions::make_alone(SubscriptionLog::Stored added, Deadline deadline) {
  while (making_) {
    const Wake wake = co_await made_.wait(context_.loop(), deadline);
    if (wake == Wake::kDeadline && making_) {
      co_return Error{Errc::kDeadlineExceeded, "other subscriptions are still being made"};
    }
  }
  making_ = true;
  auto task = make(std::move(added), deadline);
  auto made = co_await std::move(task);
  making_ = false;
  made_.wake_one();
  co_return made;
}

Task<Result<std::string>> Subscriptions::make(SubscriptionLog::Stored added, Deadline deadline) {
  std::vector<ActivePtr> replaced = replaced_by(added.subscription);
  CO_TRY(within_limits(added, replaced));
  auto pausing = pause(replaced, context_.loop().deadline_in(kHandOver).earlier(deadline));
  co_await std::move(pausing);
  std::vector<std::string> ids;
  for (const ActivePtr& active : replaced) {
    const Subscription& old = active->subscription;
    ids.push_back(old.id);
    // The app is the same: what it has not heard yet is still owed to it.
    const bool same = old.keys == added.subscription.keys && old.incarnation == added.subscription.incarnation;
    if (same) added.told = active->told;
  }
  std::string id = added.subscription.id;
  auto adding = log_.add(added, std::move(ids), deadline);
  const Result<void> kept = co_await std::move(adding);
  for (const ActivePtr& active : replaced) {
    if (kept) {
      drop(active);
    } else {
      active->paused = false;
      active->stir();
    }
  }
  if (!kept) co_return kept.error();
  activate(std::move(added));
  co_return id;
}

/// The same keys again, whoever made it; what an earlier incarnation made, where this covers it; and
/// when the app has no more room, the oldest of those whose owner has gone: earlier incarnations, and those
/// that lost their stream.
std::vector<Subscriptions::ActivePtr> Subscriptions::replaced_by(const Subscription& added) const {
  std::vector<ActivePtr> replaced;
  const auto app = apps_.find(added.app);
  if (app == apps_.end()) return replaced;
  std::vector<ActivePtr> others;
  for (const ActivePtr& active : app->second) {
    const Subscription& old = active->subscription;
    const bool earlier = old.incarnation != added.incarnation;
    const bool gone = !old.streamed && !added.streamed && old.store == added.store &&
                      (old.keys == added.keys || (earlier && added.covers(old)));
    if (gone) {
      replaced.push_back(active);
    } else if (old.streamed ? active->stream == nullptr : earlier) {
      others.push_back(active);
    }
  }
  const std::size_t left = app->second.size() - replaced.size();
  for (std::size_t i = 0; i < others.size() && left - i >= kMaxSubscriptions; ++i) replaced.push_back(others[i]);
  return replaced;
}

Result<void> Subscriptions::within_limits(const SubscriptionLog::Stored& added,
                                          const std::vector<ActivePtr>& replaced) const {
  std::size_t count = 1;
  std::size_t keys = std::max(added.subscription.keys.size(), added.told.size());
  std::size_t bytes = key_bytes(added.subscription, added.told);
  if (const auto app = apps_.find(added.subscription.app); app != apps_.end()) {
    for (const ActivePtr& active : app->second) {
      if (std::ranges::find(replaced, active) != replaced.end()) continue;
      ++count;
      keys += std::max(active->subscription.keys.size(), active->told.size());
      bytes += key_bytes(active->subscription, active->told);
    }
  }
  const auto beyond = [&](std::size_t is, std::size_t most, std::string_view what) {
    return Error{Errc::kResourceExhausted,
                 fmt::format("app '{}' would have {} {}; {} is the most", added.subscription.app, is, what, most)};
  };
  if (count > kMaxSubscriptions) return beyond(count, kMaxSubscriptions, "subscriptions");
  if (keys > kMaxWatchedKeys) return beyond(keys, kMaxWatchedKeys, "subscribed keys");
  if (bytes > kMaxWatchedBytes) return beyond(bytes, kMaxWatchedBytes, "bytes of subscribed keys");
  return ok();
}

/// Lets what is under way there end, until the deadline.
Task<void> Subscriptions::pause(std::vector<ActivePtr> all, Deadline deadline) {
  for (const ActivePtr& active : all) active->paused = true;
  for (const ActivePtr& active : all) {
    while (!active->under_way.empty()) {
      const Wake wake = co_await active->wake.wait(context_.loop(), deadline);
      if (wake == Wake::kDeadline) co_return;
    }
  }
}

void Subscriptions::activate(SubscriptionLog::Stored stored) {
  const auto active = std::make_shared<Active>();
  active->subscription = std::move(stored.subscription);
  active->stream_gone = context_.loop().clock().now();
  active->told = std::move(stored.told);
  apps_[active->subscription.app].push_back(active);
  active_.set(++count_);
  active->task = scope_.spawn(run(active));
}

void Subscriptions::drop(const ActivePtr& active) {
  scope_.cancel(active->task);
  active->paused = true;
  active->watch.reset();
  if (const auto stream = std::exchange(active->stream, nullptr); stream != nullptr) stream->end({Errc::kOk, {}});
  const auto app = apps_.find(active->subscription.app);
  app->second.remove(active);
  if (app->second.empty()) apps_.erase(app);
  active_.set(--count_);
}

Task<Result<void>> Subscriptions::unsubscribe(std::string app, std::string store, std::string id, bool streamed,
                                              Deadline deadline) {
  auto restored = until_restored(deadline);
  CO_TRY(co_await std::move(restored));
  const ActivePtr active = find(app, id);
  if (active == nullptr || active->subscription.store != store || active->subscription.streamed != streamed) {
    co_return Error{Errc::kNotFound, fmt::format("there is no subscription {}", id)};
  }
  auto ending = end(std::move(app), std::move(id), deadline);
  auto task = beside(std::move(ending), deadline);
  CO_TRY(co_await std::move(task));
  co_return ok();
}

Task<Result<std::string>> Subscriptions::end(std::string app, std::string id, Deadline deadline) {
  auto removing = log_.remove(id, deadline);
  CO_TRY(co_await std::move(removing));
  if (const ActivePtr active = find(app, id); active != nullptr) drop(active);
  co_return id;
}

/// Its stream has not come back.
Task<void> Subscriptions::expire(ActivePtr active) {
  active->over = true;
  auto removing = log_.remove(active->subscription.id, context_.loop().deadline_in(kOpenTimeout));
  const Result<void> removed = co_await std::move(removing);
  if (!removed) {
    log_limit_.log(LogLevel::kError, fmt::format("a configuration subscription that is over stays on the disk: {}",
                                                 removed.error().message));
  }
  const auto app = apps_.find(active->subscription.app);
  const bool there = app != apps_.end() && std::ranges::find(app->second, active) != app->second.end();
  if (there) drop(active);
}

/// Runs a change to its end even when the one who asked for it goes away: what is on the disk and what is
/// in force must not part.
Task<Result<std::string>> Subscriptions::beside(Task<Result<std::string>> task, Deadline deadline) {
  struct Waiting {
    std::optional<Result<std::string>> result;
    WaitQueue ended;
    static Task<void> finish(std::shared_ptr<Waiting> self, Task<Result<std::string>> task) {
      auto result = co_await std::move(task);
      self->result.emplace(std::move(result));
      self->ended.wake_all();
    }
  };
  const auto waiting = std::make_shared<Waiting>();
  scope_.spawn(Waiting::finish(waiting, std::move(task)));
  while (!waiting->result) {
    const Wake wake = co_await waiting->ended.wait(context_.loop(), deadline);
    if (wake == Wake::kDeadline && !waiting->result) {
      co_return Error{Errc::kDeadlineExceeded, "the subscription could not be written in time"};
    }
  }
  co_return std::move(*waiting->result);
}

void Subscriptions::stores_changed() {
  for (const auto& [app, all] : apps_) {
    for (const ActivePtr& active : all) active->stir();
  }
}

void Subscriptions::app_changed(const sdk::AppState& app) {
  const auto found = apps_.find(app.id);
  if (found == apps_.end()) return;
  for (const ActivePtr& active : found->second) {
    if (is_there(app)) {
      for (auto& [key, due] : active->due) due = {};  // perhaps it does better now
    }
    active->stir();
  }
}

Task<void> Subscriptions::drain(Deadline deadline) {
  draining_ = true;
  std::vector<ActivePtr> all;
  for (const auto& [app, of_app] : apps_) all.insert(all.end(), of_app.begin(), of_app.end());
  auto task = pause(all, deadline);
  co_await std::move(task);
  for (const ActivePtr& active : all) {
    const auto stream = std::exchange(active->stream, nullptr);
    if (stream != nullptr) stream->end({Errc::kUnavailable, "this instance ends; another goes on"});
  }
}

}  // namespace caisson::items
