#include <fmt/format.h>

#include <algorithm>

#include "capabilities/config/items/active_subscription.hpp"
#include "capabilities/config/items/subscriptions.hpp"

/// How one subscription is kept up to date.
namespace caisson::items {

namespace {

/// Updates under way per subscription.
constexpr std::size_t kUnderWay = 4;
constexpr Nanos kLongestReadRetry = std::chrono::seconds(2);
constexpr Nanos kReadTimeout = std::chrono::seconds(10);
constexpr Nanos kNoteTimeout = std::chrono::seconds(30);
/// How long a subscription whose stream is gone waits for another.
constexpr Nanos kStreamGrace = std::chrono::minutes(1);
/// What was given to a stream has left this process by then. Until then it does not count as told.
constexpr Nanos kStreamSettles = std::chrono::seconds(1);

}  // namespace

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
    Deadline next = Deadline::never();
    if (may_work(*active)) {
      next = begin_due(active, workers);
    } else if (active->subscription.streamed && active->stream == nullptr && !active->over && !draining_) {
      next = Deadline::at(active->stream_gone + kStreamGrace);
      if (next.passed(loop.now())) {
        scope_.spawn(expire(active));
        next = Deadline::never();
      }
    }
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
  if (active.subscription.streamed) return active.stream != nullptr && !active.over;
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
  const std::size_t most = active->subscription.streamed ? 1 : kUnderWay;
  Deadline next = Deadline::never();
  for (auto due = active->due.begin(); due != active->due.end() && workers.size() < most;) {
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

  const bool streamed = active->subscription.streamed;
  const std::shared_ptr<UpdateStream> stream = active->stream;
  if (streamed && stream == nullptr) {
    active->all_due = true;  // for the next one
    co_return ok();
  }
  auto delivering = streamed ? stream->tell(active->subscription.id, key, std::move(item))
                             : deliverer_.deliver(active->subscription, active->type, key, std::move(item));
  const Result<void> delivered = co_await std::move(delivering);
  if (!delivered && streamed) {
    active->all_due = true;
    detach(active->subscription.app, active->subscription.id, stream.get());
    co_return ok();
  }
  if (!delivered) co_return delivered.error();
  told_.add();
  if (now) {
    active->told.insert_or_assign(key, *now);
  } else {
    active->told.erase(key);
  }
  if (streamed) {
    scope_.spawn(note(active, key, now, kStreamSettles));
    co_return ok();
  }
  auto noting = note(active, key, now, Nanos::zero());
  co_await std::move(noting);
  co_return ok();
}

/// Writes down what was told.
Task<void> Subscriptions::note(ActivePtr active, std::string key, std::optional<Fingerprint> now, Nanos after) {
  EventLoop& loop = context_.loop();
  if (after > Nanos::zero()) co_await loop.sleep_until(loop.deadline_in(after));
  auto noting = log_.note(active->subscription.id, key, now, loop.deadline_in(kNoteTimeout));
  const Result<void> noted = co_await std::move(noting);
  if (noted) co_return;
  log_limit_.log(LogLevel::kError, fmt::format("what app '{}' was told is not on disk, and may be told again after "
                                               "a restart: {}",
                                               active->subscription.app, noted.error().message));
}

/// A later subscription of another incarnation of the app tells it of this key.
bool Subscriptions::superseded(const Active& active, const std::string& key) const {
  const Subscription& mine = active.subscription;
  if (mine.streamed) return false;
  const auto app = apps_.find(mine.app);
  if (app == apps_.end()) return false;
  bool later = false;
  for (const ActivePtr& other : app->second) {
    const Subscription& theirs = other->subscription;
    if (later && !theirs.streamed && theirs.store == mine.store && theirs.incarnation != mine.incarnation &&
        theirs.covers(key)) {
      return true;
    }
    later = later || other.get() == &active;
  }
  return false;
}

}  // namespace caisson::items
