#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/log.hpp"
#include "capabilities/config/items/redis_listener.hpp"
#include "capabilities/config/items/watchers.hpp"
#include "sdk/redis/client.hpp"

namespace caisson::items {

/// `configuration.redis`, with Dapr's layout: plain string keys of one database; a value is
/// `VALUE||VERSION`, or the value alone. Keys of other types and keys over kMaxKeyLength are no items.
///
/// Changes are heard by keyspace notifications. Where the server refuses to send them, watched keys are
/// read every `poll_interval`, which note() says. They do not tell of everything (FLUSHALL), so even
/// with them all is looked at again, kSlower times more slowly.
class RedisStore final : public Store {
 public:
  struct Options {
    redis::Settings settings;
    Nanos poll_interval = std::chrono::seconds(2);
  };
  static constexpr int kSlower = 15;

  /// `changed`: down_reason() or note() says something else.
  RedisStore(EventLoop& loop, Options options, std::function<void()> changed);

  /// Waits until the server answers.
  Task<Result<void>> ready(Deadline deadline) { return commands_.ready(deadline); }

  Task<Result<Items>> get(std::vector<std::string> keys, Deadline deadline) override;
  std::unique_ptr<Watch> watch(std::vector<std::string> keys, Changed changed) override;
  [[nodiscard]] std::optional<std::string> down_reason() const override { return commands_.down_reason(); }
  [[nodiscard]] std::string note() const override { return note_; }

 private:
  Task<Result<std::vector<std::string>>> all_keys(Deadline deadline);
  Task<Result<void>> read(std::vector<std::string> keys, Items& items, std::size_t& bytes, Deadline deadline);
  void settled(const std::optional<std::string>& problem);
  void look_again();
  [[nodiscard]] RedisListener::Hooks listener_hooks();

  EventLoop& loop_;
  const Options options_;
  const std::function<void()> changed_;
  std::string note_;
  LogLimit log_limit_;
  Timer look_again_;
  redis::Client commands_;
  Watchers watchers_;
  std::optional<RedisListener> listener_;  // from the first watch on
};

/// What a value holds, by Dapr's layout.
Item parse_redis_value(std::string_view text);

}  // namespace caisson::items
