#include "capabilities/config/items/subscriptions.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace caisson::items {

namespace {

/// Updates under way per subscription.
constexpr std::size_t kUnderWay = 4;
constexpr Nanos kFirstRetry = std::chrono::milliseconds(100);
constexpr Nanos kLongestRetry = std::chrono::seconds(30);
constexpr Nanos kFirstReadRetry = std::chrono::milliseconds(250);
constexpr Nanos kLongestReadRetry = std::chrono::seconds(2);
constexpr Nanos kReadTimeout = std::chrono::seconds(10);
constexpr Nanos kNoteTimeout = std::chrono::seconds(30);
constexpr Nanos kOpenTimeout = std::chrono::seconds(30);
constexpr Nanos kRestorePatience = std::chrono::seconds(5);
/// How long a subscription that takes another's place waits for the updates under way there. Not longer:
/// the app may be making it from within an update.
constexpr Nanos kHandOver = std::chrono::seconds(1);

bool is_there(const sdk::AppState& app) { return app.reachable && app.healthy && !app.protocol.empty(); }

}  // namespace

/// A key whose item is to be looked at.
struct Subscriptions::Due {
  Nanos not_before{};
  Nanos pause = kFirstRetry;  // before the try after the next
};

struct Subscriptions::Active {
  Subscription subscription;
  Told told;
  std::shared_ptr<Store> store;  // null: none to be had
  std::string type;
  std::unique_ptr<Watch> watch;  // after the store
  bool all_due = false;
  std::map<std::string, Due, std::less<>> due;
  std::set<std::string, std::less<>> under_way;
  bool paused = false;
  bool stirred = false;  // something has changed since run() looked
  WaitQueue wake;
  TaskScope::Id task = 0;

  void stir() {
    stirred = true;
    wake.wake_all();
  }

  void hint(const std::optional<std::string>& key) {
    if (!key || due.size() >= kMaxItems) {
      all_due = true;
    } else if (key->size() <= kMaxKeyLength) {
      due.try_emplace(*key);
    }
    stir();
  }
};

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

// --- the set of subscriptions ---

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

Task<Result<std::string>> Subscriptions::subscribe(std::string app, std::string store, std::vector<std::string> keys,
                                                   Deadline deadline) {
  auto restored = until_restored(deadline);
  CO_TRY(co_await std::move(restored));
  std::ranges::sort(keys);
  keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
  const FoundStore found = find_store_(store, app);
  if (found.store == nullptr) co_return Error{Errc::kUnavailable, fmt::format("store '{}' is not ready", store)};
  auto reading = found.store->get(keys, deadline);
  CO_ASSIGN(const Items items, co_await std::move(reading));

  SubscriptionLog::Stored added;
  for (const auto& [key, item] : items) added.told.emplace(key, fingerprint_of(item));
  added.subscription.id = new_subscription_id();
  added.subscription.app = std::move(app);
  added.subscription.store = std::move(store);
  added.subscription.keys = std::move(keys);
  const auto state = context_.apps().find(added.subscription.app);
  if (state != context_.apps().end()) {
    // An app that subscribes before it listens belongs to the incarnation that will be seen next.
    added.subscription.incarnation = state->second.incarnation + (state->second.reachable ? 0 : 1);
  }
  auto making = make_alone(std::move(added), deadline);
  auto made = beside(std::move(making), deadline);
  co_return co_await std::move(made);
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
/// when the app has no more room, the oldest of earlier incarnations.
std::vector<Subscriptions::ActivePtr> Subscriptions::replaced_by(const Subscription& added) const {
  std::vector<ActivePtr> replaced;
  const auto app = apps_.find(added.app);
  if (app == apps_.end()) return replaced;
  std::vector<ActivePtr> others;
  for (const ActivePtr& active : app->second) {
    const Subscription& old = active->subscription;
    const bool earlier = old.incarnation != added.incarnation;
    const bool gone = old.store == added.store && (old.keys == added.keys || (earlier && added.covers(old)));
    if (gone) {
      replaced.push_back(active);
    } else if (earlier) {
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
  active->told = std::move(stored.told);
  apps_[active->subscription.app].push_back(active);
  active_.set(++count_);
  active->task = scope_.spawn(run(active));
}

void Subscriptions::drop(const ActivePtr& active) {
  scope_.cancel(active->task);
  active->paused = true;
  active->watch.reset();
  const auto app = apps_.find(active->subscription.app);
  app->second.remove(active);
  if (app->second.empty()) apps_.erase(app);
  active_.set(--count_);
}

Task<Result<void>> Subscriptions::unsubscribe(std::string app, std::string store, std::string id, Deadline deadline) {
  auto restored = until_restored(deadline);
  CO_TRY(co_await std::move(restored));
  const auto of_app = apps_.find(app);
  const bool known = of_app != apps_.end() && std::ranges::any_of(of_app->second, [&](const ActivePtr& active) {
                       return active->subscription.id == id && active->subscription.store == store;
                     });
  if (!known) co_return Error{Errc::kNotFound, fmt::format("there is no subscription {}", id)};
  auto ending = end(std::move(app), std::move(id), deadline);
  auto task = beside(std::move(ending), deadline);
  CO_TRY(co_await std::move(task));
  co_return ok();
}

Task<Result<std::string>> Subscriptions::end(std::string app, std::string id, Deadline deadline) {
  auto removing = log_.remove(id, deadline);
  CO_TRY(co_await std::move(removing));
  const auto of_app = apps_.find(app);
  if (of_app == apps_.end()) co_return id;
  const auto found =
      std::ranges::find_if(of_app->second, [&](const ActivePtr& active) { return active->subscription.id == id; });
  if (found != of_app->second.end()) drop(ActivePtr(*found));
  co_return id;
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
  auto task = pause(std::move(all), deadline);
  co_await std::move(task);
}

// --- one subscription ---

Task<void> Subscriptions::run(ActivePtr active) {
  EventLoop& loop = context_.loop();
  TaskScope workers(loop);
  Nanos pause = kFirstReadRetry;
  while (true) {
    active->stirred = false;
    attach(active);
    if (active->all_due && may_work(*active)) {
      auto task = find_differences(active);
      const bool found = co_await std::move(task);
      if (found) {
        pause = kFirstReadRetry;
        continue;
      }
      co_await loop.sleep_until(loop.deadline_in(pause));
      pause = std::min(pause * 2, kLongestReadRetry);
      continue;
    }
    const Deadline next = may_work(*active) ? begin_due(active, workers) : Deadline::never();
    if (!active->stirred) co_await active->wake.wait(loop, next);
  }
}

/// Watches the store that is there now.
void Subscriptions::attach(const ActivePtr& active) {
  const Subscription& subscription = active->subscription;
  FoundStore found = find_store_(subscription.store, subscription.app);
  active->type = std::move(found.type);
  if (found.store == active->store) return;
  active->watch.reset();
  active->store = std::move(found.store);
  if (active->store == nullptr) return;
  active->all_due = true;
  active->watch = active->store->watch(subscription.keys, [to = std::weak_ptr(active)](std::optional<std::string> key) {
    if (const auto active = to.lock()) active->hint(key);
  });
}

bool Subscriptions::may_work(const Active& active) const {
  if (active.paused || draining_ || active.store == nullptr) return false;
  const auto app = context_.apps().find(active.subscription.app);
  return app != context_.apps().end() && is_there(app->second);
}

/// Makes due what differs from what was told; false when the store could not be read.
Task<bool> Subscriptions::find_differences(ActivePtr active) {
  active->all_due = false;
  const std::shared_ptr<Store> store = active->store;
  auto reading = store->get(active->subscription.keys, context_.loop().deadline_in(kReadTimeout));
  const auto items = co_await std::move(reading);
  if (!items) {
    active->all_due = true;
    log_limit_.log(LogLevel::kWarning,
                   fmt::format("configuration store '{}' cannot be read for app '{}': {}", active->subscription.store,
                               active->subscription.app, items.error().message));
    co_return false;
  }
  for (const auto& [key, item] : *items) {
    const auto told = active->told.find(key);
    if (told == active->told.end() || told->second != fingerprint_of(item)) active->due.try_emplace(key);
  }
  for (const auto& [key, fingerprint] : active->told) {
    if (!items->contains(key)) active->due.try_emplace(key);
  }
  co_return true;
}

/// Begins what may be; gives when to look again.
Deadline Subscriptions::begin_due(const ActivePtr& active, TaskScope& workers) {
  const Nanos now = context_.loop().clock().now();
  Deadline next = Deadline::never();
  for (auto due = active->due.begin(); due != active->due.end() && workers.size() < kUnderWay;) {
    if (active->under_way.contains(due->first)) {
      ++due;
    } else if (due->second.not_before > now) {
      next = next.earlier(Deadline::at(due->second.not_before));
      ++due;
    } else {
      const std::string key = due->first;
      const Nanos pause = due->second.pause;
      due = active->due.erase(due);
      active->under_way.insert(key);
      workers.spawn(tell(active, key, pause));
    }
  }
  return next;
}

Task<void> Subscriptions::tell(ActivePtr active, std::string key, Nanos pause) {
  auto task = tell_once(active, key);
  const Result<void> told = co_await std::move(task);
  active->under_way.erase(key);
  if (!told) {
    refused_.add();
    active->due.insert_or_assign(key, Due{context_.loop().clock().now() + pause, std::min(pause * 2, kLongestRetry)});
    log_limit_.log(LogLevel::kWarning,
                   fmt::format("app '{}' was not told of '{}' in configuration store '{}': {}",
                               active->subscription.app, key, active->subscription.store, told.error().message));
  }
  active->stir();
}

Task<Result<void>> Subscriptions::tell_once(ActivePtr active, std::string key) {
  const std::shared_ptr<Store> store = active->store;
  if (store == nullptr) co_return ok();  // all is looked at when there is one again
  std::vector<std::string> keys{key};
  auto reading = store->get(std::move(keys), context_.loop().deadline_in(kReadTimeout));
  CO_ASSIGN(const Items items, co_await std::move(reading));
  const auto found = items.find(key);
  std::optional<Fingerprint> now;
  Item item;
  if (found != items.end()) {
    item = found->second;
    now = fingerprint_of(item);
  }
  const auto before = active->told.find(key);
  const bool same = before == active->told.end() ? !now : now && *now == before->second;
  if (same || superseded(*active, key)) co_return ok();
  if (before == active->told.end() && active->told.size() >= kMaxItems) {
    co_return Error{Errc::kResourceExhausted, fmt::format("more than {} items under one subscription", kMaxItems)};
  }

  auto delivering = deliverer_.deliver(active->subscription, active->type, key, std::move(item));
  CO_TRY(co_await std::move(delivering));
  told_.add();
  if (now) {
    active->told.insert_or_assign(key, *now);
  } else {
    active->told.erase(key);
  }
  auto noting = log_.note(active->subscription.id, key, now, context_.loop().deadline_in(kNoteTimeout));
  const Result<void> noted = co_await std::move(noting);
  if (!noted) {
    log_limit_.log(LogLevel::kError, fmt::format("what app '{}' was told is not on disk, and may be told again after "
                                                 "a restart: {}",
                                                 active->subscription.app, noted.error().message));
  }
  co_return ok();
}

/// A later subscription of another incarnation of the app tells it of this key.
bool Subscriptions::superseded(const Active& active, const std::string& key) const {
  const Subscription& mine = active.subscription;
  const auto app = apps_.find(mine.app);
  if (app == apps_.end()) return false;
  bool later = false;
  for (const ActivePtr& other : app->second) {
    const Subscription& theirs = other->subscription;
    if (later && theirs.store == mine.store && theirs.incarnation != mine.incarnation && theirs.covers(key)) {
      return true;
    }
    later = later || other.get() == &active;
  }
  return false;
}

}  // namespace caisson::items
