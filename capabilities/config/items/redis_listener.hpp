#pragma once

#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/task_scope.hpp"
#include "sdk/redis/client.hpp"

namespace caisson::items {

/// Hears of changed keys by Redis' keyspace notifications, over a connection of its own. It asks the
/// server to send them (adding to what it sends already) and listens to what is wanted, on every new
/// connection anew.
///
/// One thread. `commands` and what the hooks use outlive it.
class RedisListener {
 public:
  struct Hooks {
    /// What to listen to now.
    std::function<bool()> wants_all;
    std::function<std::set<std::string>()> wanted_keys;
    /// A key was set, deleted, has expired, …
    std::function<void(const std::string& key)> heard;
    /// A new connection: something may have happened unheard.
    std::function<void()> may_have_missed;
    /// Everything wanted is listened to; or why that cannot be relied on, e.g. that the server refuses.
    std::function<void(std::optional<std::string> problem)> settled;
  };

  RedisListener(EventLoop& loop, const redis::Settings& settings, redis::Client& commands, Hooks hooks);

  /// What is wanted has changed.
  void wanted_changed() { stir(); }
  /// Looks again whether the server sends notifications: somebody may have turned them off.
  void check() {
    check_ = true;
    stir();
  }

 private:
  Task<void> keep_listening();
  Task<Result<void>> turn_on();
  Task<Result<void>> listen();
  Task<Result<void>> send(std::string verb, std::vector<std::string> keys);
  void connected();
  void pushed(const redis::Reply& message);
  void stir();

  EventLoop& loop_;
  redis::Client& commands_;
  const Hooks hooks_;
  const std::string prefix_;  // "__keyspace@0__:"
  bool stirred_ = false;
  WaitQueue stirring_;
  bool connected_ = false;
  bool tried_ = false;  // to connect
  bool check_ = false;
  std::optional<std::string> refused_;  // why no notifications are sent
  /// What the present connection listens to.
  std::set<std::string> keys_;
  bool all_ = false;
  redis::Client client_;
  TaskScope scope_;  // last: its tasks use everything above
};

/// `notify-keyspace-events` with what is needed added to these flags; nothing when all is there.
std::optional<std::string> with_needed_notifications(std::string_view flags);

}  // namespace caisson::items
