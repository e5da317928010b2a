#include "capabilities/config/items/redis_listener.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace caisson::items {

namespace {

constexpr std::size_t kChannelsAtOnce = 500;
constexpr Nanos kTimeout = std::chrono::seconds(5);
constexpr Nanos kFirstRetry = std::chrono::milliseconds(100);
constexpr Nanos kLongestRetry = std::chrono::seconds(5);
constexpr std::string_view kSetting = "notify-keyspace-events";

}  // namespace

std::optional<std::string> with_needed_notifications(std::string_view flags) {
  std::string needed(flags);
  for (const char flag : {'K', 'g', '$', 'x', 'e'}) {
    const bool in_all = flag != 'K' && flags.find('A') != std::string_view::npos;  // A: all kinds of events
    if (!in_all && flags.find(flag) == std::string_view::npos) needed += flag;
  }
  if (needed == flags) return std::nullopt;
  return needed;
}

RedisListener::RedisListener(EventLoop& loop, const redis::Settings& settings, redis::Client& commands, Hooks hooks)
    : loop_(loop),
      commands_(commands),
      hooks_(std::move(hooks)),
      prefix_(fmt::format("__keyspace@{}__:", settings.database)),
      client_(loop, settings,
              {.changed =
                   [this] {
                     connected_ = !client_.down_reason();
                     tried_ = true;
                   },
               .connected = [this] { connected(); },
               .pushed = [this](const redis::Reply& message) { pushed(message); }}),
      scope_(loop) {
  scope_.spawn(keep_listening());
}

void RedisListener::stir() {
  stirred_ = true;
  stirring_.wake_all();
}

void RedisListener::connected() {
  connected_ = true;
  check_ = true;  // it may be a server that was started anew
  keys_.clear();
  all_ = false;
  hooks_.may_have_missed();
  stir();
}

Task<void> RedisListener::keep_listening() {
  Nanos pause = kFirstRetry;
  while (true) {
    if (!stirred_) co_await stirring_.wait(loop_, Deadline::never());
    stirred_ = false;
    if (!connected_) {
      if (tried_) hooks_.settled(client_.down_reason().value_or("not connected"));
      continue;  // until connected() stirs
    }
    if (std::exchange(check_, false)) {
      auto turning_on = turn_on();
      const Result<void> on = co_await std::move(turning_on);
      refused_.reset();
      if (!on) refused_ = on.error().message;
    }
    // Listens in any case: whoever refuses to be asked may send notifications all the same.
    auto listening = listen();
    const Result<void> listens = co_await std::move(listening);
    if (listens) pause = kFirstRetry;
    if (stirred_) continue;  // something else is wanted by now, or the connection is another
    hooks_.settled(listens ? refused_ : std::optional(listens.error().message));
    if (listens) continue;
    co_await loop_.sleep_until(loop_.deadline_in(pause));
    pause = std::min(pause * 2, kLongestRetry);
    stirred_ = true;
  }
}

Task<Result<void>> RedisListener::turn_on() {
  redis::Command get{"CONFIG", "GET", kSetting};
  auto getting = commands_.ask(std::move(get), loop_.deadline_in(kTimeout));
  CO_ASSIGN(const redis::Reply has, co_await std::move(getting));
  if (has.items.size() != 2) {
    co_return Error{Errc::kPermissionDenied, has.is_error() ? has.text : "it does not know notify-keyspace-events"};
  }
  const auto needed = with_needed_notifications(has.items[1].text);
  if (!needed) co_return ok();
  redis::Command set{"CONFIG", "SET", kSetting, *needed};
  auto setting = commands_.ask(std::move(set), loop_.deadline_in(kTimeout));
  CO_ASSIGN(const redis::Reply answer, co_await std::move(setting));
  if (answer.is_error()) co_return Error{Errc::kPermissionDenied, answer.text};
  co_return ok();
}

Task<Result<void>> RedisListener::listen() {
  const bool all = hooks_.wants_all();
  if (all != all_) {
    const std::string verb = all ? "PSUBSCRIBE" : "PUNSUBSCRIBE";
    auto sending = send(verb, {"*"});
    CO_TRY(co_await std::move(sending));
    all_ = all;
  }
  const std::set<std::string> wanted = all ? std::set<std::string>() : hooks_.wanted_keys();
  std::vector<std::string> added;
  std::vector<std::string> dropped;
  std::ranges::set_difference(wanted, keys_, std::back_inserter(added));
  std::ranges::set_difference(keys_, wanted, std::back_inserter(dropped));
  auto subscribing = send("SUBSCRIBE", std::move(added));
  CO_TRY(co_await std::move(subscribing));
  auto unsubscribing = send("UNSUBSCRIBE", std::move(dropped));
  CO_TRY(co_await std::move(unsubscribing));
  keys_ = wanted;
  co_return ok();
}

/// One command per channel, as each has a reply of its own.
Task<Result<void>> RedisListener::send(std::string verb, std::vector<std::string> keys) {
  for (std::size_t begin = 0; begin < keys.size(); begin += kChannelsAtOnce) {
    std::vector<redis::Command> commands;
    for (std::size_t i = begin; i < std::min(begin + kChannelsAtOnce, keys.size()); ++i) {
      commands.push_back({verb, prefix_ + keys[i]});
    }
    auto asking = client_.ask_all(std::move(commands), loop_.deadline_in(kTimeout));
    CO_ASSIGN(const std::vector<redis::Reply> replies, co_await std::move(asking));
    const auto refused = std::ranges::find_if(replies, &redis::Reply::is_error);
    if (refused != replies.end()) co_return Error{Errc::kPermissionDenied, refused->text};
  }
  co_return ok();
}

/// ["message", CHANNEL, EVENT] or ["pmessage", PATTERN, CHANNEL, EVENT].
void RedisListener::pushed(const redis::Reply& message) {
  if (message.items.size() < 3) return;
  const std::string& channel = message.items[message.items.size() - 2].text;
  if (channel.starts_with(prefix_)) hooks_.heard(channel.substr(prefix_.size()));
}

}  // namespace caisson::items
