#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/deadline.hpp"
#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "sdk/redis/command.hpp"
#include "sdk/redis/reply.hpp"
#include "sdk/redis/settings.hpp"

namespace caisson::redis {

/// One connection to a Redis server that heals by itself: connects in the background, says AUTH and
/// SELECT, waits while the server loads its data, reconnects with back-off, follows Sentinel to the
/// present master. Commands of one turn of the loop leave in one write; replies come in order. No
/// command is ever sent twice. One thread. Destroying it fails what waits in ask(); ready() must have
/// ended by then.
///
/// Errors of ask(): kUnavailable: not sent, or refused before execution (LOADING, READONLY, MASTERDOWN,
/// NOAUTH, …). kUnknown: sent, and the connection broke before the reply. kDeadlineExceeded: sent, and
/// no reply in time; it may be executed. kResourceExhausted: too much is waiting here, or the server is
/// out of memory (OOM, MISCONF). A reply of error kind that is none of these is a reply, not an error.
class Client {
 public:
  /// Called from the loop; they may ask, and may not destroy the client.
  struct Hooks {
    /// It became able or unable to serve; down_reason() says which.
    std::function<void()> changed = [] {};
    /// A new connection is ready: what the server kept per connection is gone. Also the first.
    std::function<void()> connected = [] {};
    /// A message that answers no command (SUBSCRIBE, PSUBSCRIBE). With this set the client may send
    /// only such commands, each with one channel, because each channel has a reply of its own.
    std::function<void(Reply)> pushed;
  };

  Client(EventLoop& loop, Settings settings, Hooks hooks);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Waits until a connection is ready; the last reason when none is by the deadline.
  Task<Result<void>> ready(Deadline deadline);

  /// Sends one command and waits for its reply. While there is no connection it waits for one until
  /// the deadline. `blocks_for`: how long the server may lawfully stay silent (XREADGROUP BLOCK); a
  /// connection whose oldest command is unanswered for longer than that and the read timeout is cut.
  Task<Result<Reply>> ask(Command command, Deadline deadline, Nanos blocks_for = {});
  /// The same for several commands, sent back to back with nothing between them; one reply each. The
  /// server may have refused some of them (error replies); if all of them, that is the error.
  Task<Result<std::vector<Reply>>> ask_all(std::vector<Command> commands, Deadline deadline);

  /// Why it cannot serve now; nothing while a connection is ready.
  [[nodiscard]] std::optional<std::string> down_reason() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace caisson::redis
