#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "net/tcp_stream.hpp"
#include "sdk/redis/reply_reader.hpp"
#include "sdk/redis/request.hpp"

namespace caisson::redis {

/// Sends requests over a stream and gives them their replies, in order, until it breaks: by the
/// server, by bytes that are no reply, or because the oldest request is unanswered for too long. Once
/// broken it stays so. One thread.
class Connection {
 public:
  struct Options {
    /// How long the server may leave the oldest request unanswered, beyond what that may block.
    Nanos read_timeout{};
    /// After so long without a word a PING asks whether the server is there.
    Nanos ping_after{};
    /// With it, messages that answer nothing are expected (Client::Hooks::pushed).
    std::function<void(Reply)> pushed;
    /// It broke, or a reply came: the owner may want to look. May not destroy the connection.
    std::function<void()> changed = [] {};
  };

  Connection(EventLoop& loop, std::unique_ptr<net::TcpStream> stream, Options options);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  /// Requests without a reply fail as when the connection breaks.
  ~Connection();

  /// Whether send() may be called: neither broken nor full.
  [[nodiscard]] bool has_room() const;
  /// Takes the request's commands; they leave with the next flush().
  void send(Request& request);
  void flush();
  /// Sends one command at once and waits for its reply.
  Task<Result<Reply>> ask(Command command, Deadline deadline);

  [[nodiscard]] const std::optional<Error>& broken() const { return broken_; }
  [[nodiscard]] bool idle() const { return sent_.empty(); }
  /// After it broke: moves the requests of which no byte was written to the front of `queue`.
  void give_back(RequestQueue& queue);

 private:
  friend class Request;
  /// A request on its way. Positions count the bytes of this connection.
  struct Sent {
    Request* request;  // null: nobody waits for the replies any more
    std::size_t replies_left;
    std::uint64_t begin;
    std::uint64_t end;
    Nanos since;
    Nanos blocks_for;
  };

  void forget(Request& request);
  void drop_written();
  void event(std::uint32_t events);
  void read(bool until_empty);
  bool take_replies();
  void answer(Reply reply);
  void fail(Error error);
  void fail_sent(const Error& error);

  [[nodiscard]] Nanos silence_limit() const;
  void watch_silence();
  void look_at_silence();
  void ping();

  EventLoop& loop_;
  std::unique_ptr<net::TcpStream> stream_;
  Options options_;
  ReplyReader replies_;
  std::optional<Error> broken_;

  std::string output_;
  std::size_t output_written_ = 0;  // of output_
  std::uint64_t taken_ = 0;         // bytes ever put into output_
  std::uint64_t written_ = 0;       // bytes ever given to the stream
  std::deque<Sent> sent_;
  std::uint64_t first_number_ = 0;  // of sent_.front()
  std::deque<Request*> unwritten_;  // after a break

  Nanos last_heard_;
  Nanos last_written_{};  // when the oldest was last seen to be on its way
  Nanos watching_until_{};
  Timer silence_;
  Timer read_on_;
};

}  // namespace caisson::redis
