// How a consumer keeps what it holds, and finds what nobody holds.

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "capabilities/pubsub/redis_consumer.hpp"

namespace caisson::pubsub {

namespace {

constexpr Nanos kCommandPatience = std::chrono::seconds(5);
/// After a claim that failed.
constexpr Nanos kClaimPause = std::chrono::seconds(1);
constexpr std::size_t kPage = 100;
constexpr std::size_t kRenewAtOnce = 500;

std::int64_t milliseconds(Nanos span) { return std::chrono::duration_cast<std::chrono::milliseconds>(span).count(); }

/// Looks and removes in one step: nothing can become pending for the consumer in between.
///   KEYS[1] topic; ARGV group, idle time in ms, what its name begins with, the name to spare
constexpr std::string_view kRemoveDeadConsumers = R"(
local removed = 0
for _, fields in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], ARGV[1])) do
  local consumer = {}
  for i = 1, #fields, 2 do consumer[fields[i]] = fields[i + 1] end
  local ours = string.sub(consumer.name, 1, #ARGV[3]) == ARGV[3] and consumer.name ~= ARGV[4]
  if ours and consumer.pending == 0 and consumer.idle >= tonumber(ARGV[2]) then
    redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], consumer.name)
    removed = removed + 1
  end
end
return removed
)";

}  // namespace

// --- what comes again ---

Task<void> RedisConsumer::redeliver() {
  while (true) {
    if (!has_active_member() || held_.again_count() >= options_.queue_depth) {
      co_await room_.wait(loop_, Deadline::never());
      continue;
    }
    Result<void> done = ok();
    std::vector<Claim> claims = held_.claim_due(loop_.now(), kPage);
    if (!claims.empty()) {
      auto claiming = claim(std::move(claims));
      done = co_await std::move(claiming);
    } else if (loop_.now() >= take_over_at_) {
      auto taking = take_pending(Whose::kAbandoned);
      done = co_await std::move(taking);
      take_over_at_ = loop_.now() + options_.lease() / 2;
      auto removing = remove_dead_consumers();
      co_await std::move(removing);
    } else {
      co_await failed_.wait(loop_, Deadline::at(std::min(held_.next_due(), take_over_at_)));
    }
    if (done || group_lost_) continue;  // read() creates it again
    note_trouble("claim pending messages", done.error());
    auto pausing = pause();
    co_await std::move(pausing);
  }
}

Task<Result<void>> RedisConsumer::take_pending(Whose whose) {
  StreamId from;
  while (true) {
    while (!has_active_member() || held_.again_count() >= options_.queue_depth) {
      co_await room_.wait(loop_, Deadline::never());
    }
    redis::Command command{"XPENDING", topic_, group_, from.text(), "+"};
    command.add(static_cast<std::int64_t>(kPage));
    if (whose == Whose::kOwn) command.add(name_);
    auto asked = ask(std::move(command));
    CO_ASSIGN(redis::Reply reply, co_await std::move(asked));
    CO_ASSIGN(const std::vector<PendingEntry> page, read_pending_reply(std::move(reply)));
    std::vector<Claim> claims = select(page, whose);
    if (!claims.empty()) {
      auto claiming = claim(std::move(claims));
      CO_TRY(co_await std::move(claiming));
    }
    if (page.size() < kPage) co_return ok();
    from = page.back().id.next();
  }
}

std::vector<RedisConsumer::Claim> RedisConsumer::select(const std::vector<PendingEntry>& page, Whose whose) const {
  std::vector<Claim> claims;
  for (const PendingEntry& entry : page) {
    if (held_.holds(entry.id)) continue;
    const bool renews = entry.consumer.starts_with(prefix());
    Nanos min_idle = renews ? options_.lease() : options_.takeover_after();
    if (whose == Whose::kOwn) min_idle = Nanos::zero();
    if (entry.idle >= min_idle) claims.push_back({entry.id, entry.deliveries + 1, min_idle});
  }
  return claims;
}

Task<Result<void>> RedisConsumer::claim(std::vector<Claim> claims) {
  std::vector<redis::Command> commands;
  for (const Claim& one : claims) {
    redis::Command command{"XCLAIM", topic_, group_, name_};
    command.add(milliseconds(one.min_idle)).add(one.id.text());
    command.add("RETRYCOUNT").add(static_cast<std::int64_t>(one.attempt));
    commands.push_back(std::move(command));
  }
  auto asked = shared_.commands.ask_all(std::move(commands), loop_.deadline_in(kCommandPatience));
  auto replies = co_await std::move(asked);
  if (!replies) {
    held_.put_back(claims, loop_.now() + kClaimPause);
    co_return std::move(replies).error();
  }
  Result<void> result = ok();
  for (std::size_t i = 0; i < claims.size(); ++i) {
    const Claim& one = claims[i];
    redis::Reply& reply = replies->at(i);
    if (reply.is_error()) {
      if (reply.text.starts_with("NOGROUP")) group_lost_ = true;
      result = Error{Errc::kFailedPrecondition, reply.text};
      held_.put_back({one}, loop_.now() + kClaimPause);
      continue;
    }
    auto claimed = read_claim_reply(std::move(reply));
    if (!claimed) {
      result = claimed.error();
      held_.forget(one.id);  // found again once its lease has run out
    } else if (claimed->entry) {
      held_.take_again(*std::move(claimed->entry), one.attempt, loop_.now());
    } else if (claimed->deleted || one.min_idle == Nanos::zero()) {
      // Under our own name, and yet not to be had: nobody can ever settle it otherwise.
      held_.acknowledge(one.id);
      verdicts_.wake_all();
      shared_.log_limit.log(LogLevel::kWarning,
                            fmt::format("component '{}', topic '{}': message {} was trimmed or deleted from the "
                                        "stream before group '{}' was done with it",
                                        options_.component, topic_, one.id.text(), group_));
    }
  }
  dispatch_soon();
  co_return result;
}

// --- leases ---

Task<void> RedisConsumer::renew_leases() {
  while (true) {
    co_await loop_.sleep_until(loop_.deadline_in(options_.lease() / 3));
    auto settling = settle_doubts();
    auto done = co_await std::move(settling);
    if (done) {
      auto renewing = renew();
      done = co_await std::move(renewing);
    }
    if (!done) {
      note_trouble("renew the lease of what is in hand", done.error());
    } else if (!wants_new()) {
      note_well();  // else a read says so
    }
  }
}

/// After a pause of this process or an outage of the server, another consumer may have taken what was
/// not renewed. What it has is let go of; the rest is still ours to renew.
Task<Result<void>> RedisConsumer::settle_doubts() {
  std::vector<StreamId> doubtful = held_.in_doubt(loop_.now(), options_.lease());
  while (!doubtful.empty()) {
    const std::size_t count = std::min(kPage, doubtful.size());
    const std::vector<StreamId> some(doubtful.end() - static_cast<std::ptrdiff_t>(count), doubtful.end());
    doubtful.resize(doubtful.size() - count);
    std::vector<redis::Command> commands;
    for (const StreamId id : some) {
      redis::Command command{"XPENDING", topic_, group_, id.text(), id.text(), "1"};
      commands.push_back(std::move(command));
    }
    auto asked = shared_.commands.ask_all(std::move(commands), loop_.deadline_in(kCommandPatience));
    CO_ASSIGN(std::vector<redis::Reply> replies, co_await std::move(asked));
    for (std::size_t i = 0; i < some.size(); ++i) {
      if (replies.at(i).is_error()) continue;
      CO_ASSIGN(const std::vector<PendingEntry> owner, read_pending_reply(std::move(replies.at(i))));
      if (!owner.empty() && owner.front().consumer != name_) held_.forget(some[i]);
    }
  }
  co_return ok();
}

Task<Result<void>> RedisConsumer::renew() {
  const std::vector<StreamId> ids = held_.ids();
  const Nanos begun = loop_.now();
  for (std::size_t from = 0; from < ids.size(); from += kRenewAtOnce) {
    const std::size_t to = std::min(from + kRenewAtOnce, ids.size());
    redis::Command command{"XCLAIM", topic_, group_, name_, "0"};
    for (std::size_t i = from; i < to; ++i) command.add(ids[i].text());
    command.add("IDLE").add("0").add("JUSTID");
    auto asked = ask(std::move(command));
    auto reply = co_await std::move(asked);
    // Without its group nothing is anybody else's either.
    if (!reply && !group_lost_) co_return std::move(reply).error();
  }
  held_.renewed(begun);
  if (!ids.empty()) dispatch_soon();
  co_return ok();
}

// --- order in the group ---

/// Instances that never come back leave a name in the group. What cannot be removed stays; that the
/// server refuses scripts is no trouble.
Task<void> RedisConsumer::remove_dead_consumers() {
  if (loop_.now() < remove_consumers_at_) co_return;
  remove_consumers_at_ = loop_.now() + options_.consumer_expiry / 4;
  redis::Command command{"EVAL", kRemoveDeadConsumers, "1", topic_, group_};
  command.add(milliseconds(options_.consumer_expiry)).add(prefix()).add(name_);
  auto asked = shared_.commands.ask(std::move(command), loop_.deadline_in(kCommandPatience));
  [[maybe_unused]] const auto reply = co_await std::move(asked);
}

}  // namespace caisson::pubsub
