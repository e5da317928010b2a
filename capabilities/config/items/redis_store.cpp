#include "capabilities/config/items/redis_store.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace caisson::items {

namespace {

constexpr std::size_t kKeysAtOnce = 500;
constexpr std::string_view kScanAtOnce = "1000";

Error unexpected(const redis::Reply& reply) {
  return {Errc::kUnavailable, reply.is_error() ? "Redis refuses: " + reply.text : "Redis gave an unexpected reply"};
}

Error too_many(std::string_view what, std::size_t most) {
  return {Errc::kResourceExhausted, fmt::format("the store holds more than {} {}", most, what)};
}

}  // namespace

Item parse_redis_value(std::string_view text) {
  constexpr std::string_view kSeparator = "||";
  Item item;
  const std::size_t end = text.find(kSeparator);
  item.value = text.substr(0, end);
  if (end == std::string_view::npos) return item;
  text.remove_prefix(end + kSeparator.size());
  item.version = text.substr(0, text.find(kSeparator));
  return item;
}

RedisStore::RedisStore(EventLoop& loop, Options options, std::function<void()> changed)
    : loop_(loop),
      options_(std::move(options)),
      changed_(std::move(changed)),
      look_again_(loop, [this] { look_again(); }),
      commands_(loop, options_.settings, {.changed = [this] { changed_(); }}),
      watchers_(loop, [this] {
        if (listener_) listener_->wanted_changed();
      }) {}

// --- items ---

Task<Result<Items>> RedisStore::get(std::vector<std::string> keys, Deadline deadline) {
  if (keys.empty()) {
    auto listing = all_keys(deadline);
    CO_ASSIGN(keys, co_await std::move(listing));
  }
  Items items;
  std::size_t bytes = 0;
  for (std::size_t begin = 0; begin < keys.size(); begin += kKeysAtOnce) {
    const std::size_t end = std::min(begin + kKeysAtOnce, keys.size());
    std::vector<std::string> some(keys.begin() + static_cast<std::ptrdiff_t>(begin),
                                  keys.begin() + static_cast<std::ptrdiff_t>(end));
    auto reading = read(std::move(some), items, bytes, deadline);
    CO_TRY(co_await std::move(reading));
  }
  co_return items;
}

/// SCAN instead of KEYS, which would hold a large server up; it may name a key twice.
Task<Result<std::vector<std::string>>> RedisStore::all_keys(Deadline deadline) {
  std::set<std::string> keys;
  std::string cursor = "0";
  do {
    redis::Command scan{"SCAN", cursor, "COUNT", kScanAtOnce};
    auto asking = commands_.ask(std::move(scan), deadline);
    CO_ASSIGN(const redis::Reply reply, co_await std::move(asking));
    if (reply.items.size() != 2 || !reply.items[0].is_text()) co_return unexpected(reply);
    for (const redis::Reply& key : reply.items[1].items) {
      if (!key.text.empty() && key.text.size() <= kMaxKeyLength) keys.insert(key.text);
    }
    if (keys.size() > kMaxItems) co_return too_many("keys", kMaxItems);
    cursor = reply.items[0].text;
  } while (cursor != "0");
  co_return std::vector<std::string>(keys.begin(), keys.end());
}

/// MGET gives nil for keys of other types as for missing ones.
Task<Result<void>> RedisStore::read(std::vector<std::string> keys, Items& items, std::size_t& bytes,
                                    Deadline deadline) {
  redis::Command command{"MGET"};
  for (const std::string& key : keys) command.add(key);
  auto asking = commands_.ask(std::move(command), deadline);
  CO_ASSIGN(const redis::Reply reply, co_await std::move(asking));
  if (reply.kind != redis::ReplyKind::kArray || reply.items.size() != keys.size()) co_return unexpected(reply);
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (!reply.items[i].is_text()) continue;
    Item item = parse_redis_value(reply.items[i].text);
    if (item.value.empty()) continue;
    bytes += keys[i].size() + item.value.size() + item.version.size();
    if (bytes > kMaxItemBytes) co_return too_many("bytes", kMaxItemBytes);
    items.insert_or_assign(keys[i], std::move(item));
  }
  co_return ok();
}

// --- changes ---

std::unique_ptr<Watch> RedisStore::watch(std::vector<std::string> keys, Changed changed) {
  auto watch = watchers_.add(keys, std::move(changed));
  if (!listener_) {
    listener_.emplace(loop_, options_.settings, commands_, listener_hooks());
    look_again_.start_after(options_.poll_interval);
  }
  return watch;
}

RedisListener::Hooks RedisStore::listener_hooks() {
  RedisListener::Hooks hooks;
  hooks.wants_all = [this] { return watchers_.any_watches_all(); };
  hooks.wanted_keys = [this] { return watchers_.named_keys(); };
  hooks.heard = [this](const std::string& key) { watchers_.tell(key); };
  hooks.may_have_missed = [this] { watchers_.begin_anew(); };
  hooks.settled = [this](const std::optional<std::string>& problem) { settled(problem); };
  return hooks;
}

/// From here on the watchers hear of changes, by notifications or by being looked for.
void RedisStore::settled(const std::optional<std::string>& problem) {
  watchers_.tell_new_ones();
  std::string note;
  if (problem) {
    note = fmt::format("changes are looked for every {} ms: {}", options_.poll_interval / std::chrono::milliseconds(1),
                       *problem);
  }
  if (note == note_) return;
  note_ = std::move(note);
  if (problem) {
    log_limit_.log(LogLevel::kWarning, note_);
    look_again_.start_after(options_.poll_interval);
  }
  changed_();
}

void RedisStore::look_again() {
  if (!watchers_.empty() && !commands_.down_reason()) {
    listener_->check();
    watchers_.tell(std::nullopt);
  }
  look_again_.start_after(note_.empty() ? options_.poll_interval * kSlower : options_.poll_interval);
}

}  // namespace caisson::items
