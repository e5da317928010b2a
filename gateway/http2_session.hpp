#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "gateway/http2_stream.hpp"

struct nghttp2_session;

namespace caisson::gateway {

/// One HTTP/2 connection (RFC 9113) without its socket: bytes in, bytes out, streams between, for
/// either side. nghttp2 does the framing. One thread; handler and loop outlive it.
class Http2Session {
 public:
  enum class Role : std::uint8_t { kServer, kClient };

  struct Options {
    Role role = Role::kServer;
    /// Names and values of one head, each pair 32 bytes more (RFC 9113 section 10.5.1).
    std::size_t head_limit = 48 * 1024;
    /// Streams that the peer may have open at once.
    std::uint32_t max_streams = 1000;
    /// Bytes of a body that may arrive before any is taken.
    std::uint32_t stream_window = 64 * 1024;
    /// Frames that serve nothing (pings, settings, resets, empty data, …) which are borne at once,
    /// and how many more each second and each frame that does serve something.
    double nuisance_burst = 2000;
    double nuisance_per_second = 100;
  };

  /// What the session tells its owner, from inside receive(); it may submit, but not destroy.
  class Handler {
   public:
    /// The head of a request is complete (server).
    virtual void on_request(const std::shared_ptr<Http2Stream>& stream) = 0;
    /// The stream is closed; who serves it need not go on.
    virtual void on_closed(Http2Stream& stream) = 0;
    /// There is something to send; also called outside of receive().
    virtual void on_output() = 0;

   protected:
    ~Handler() = default;
  };

  Http2Session(EventLoop& loop, Handler& handler, const Options& options);
  Http2Session(const Http2Session&) = delete;
  Http2Session& operator=(const Http2Session&) = delete;
  ~Http2Session();

  /// Sends SETTINGS; once, first.
  void start();
  /// Server: goes on from a request of HTTP/1.1, which becomes stream 1 and is handed to on_request();
  /// before start(). kInvalidArgument: its settings are none.
  Result<void> upgrade(const Http2Upgrade& request);
  /// The peer's SETTINGS have arrived: it speaks HTTP/2.
  [[nodiscard]] bool ready() const { return ready_; }
  /// Client: the peer takes one more stream now.
  [[nodiscard]] bool has_room() const;
  /// Client: begins a request; null when the connection takes no more. `last`: it has no body.
  std::shared_ptr<Http2Stream> request(std::span<const Field> fields, bool last);

  /// Takes bytes of the peer. An error is final: what is to be sent still is, then the socket closes.
  Result<void> receive(std::string_view bytes);
  /// Appends what is to be sent now to `out`, some `most` bytes of it.
  Result<void> collect(std::string& out, std::size_t most);
  /// Neither reads nor writes any more: the socket may be closed.
  [[nodiscard]] bool over() const;

  void ping();
  /// No further streams: GOAWAY. Those that are open go on.
  void go_away();
  /// Ends the session with this error: GOAWAY, then over().
  void terminate(std::uint32_t code);
  /// The peer said GOAWAY, or the session is ending.
  [[nodiscard]] bool going_away() const { return going_away_; }

  [[nodiscard]] std::size_t streams() const { return streams_.size(); }
  void for_each(const std::function<void(Http2Stream&)>& visit);
  [[nodiscard]] EventLoop& loop() { return loop_; }

 private:
  friend class Http2Stream;
  friend struct Http2Callbacks;

  [[nodiscard]] std::shared_ptr<Http2Stream> find(std::int32_t id) const;
  [[nodiscard]] Http2Stream* look_up(std::int32_t id);
  std::shared_ptr<Http2Stream> add(std::int32_t id);
  void close(std::int32_t id, std::uint32_t code);
  void opened(std::int32_t id);
  [[nodiscard]] bool passed_over(std::int32_t id) const;
  bool nuisance();
  void useful();

  EventLoop& loop_;
  Handler& handler_;
  Options options_;
  nghttp2_session* session_ = nullptr;
  bool ready_ = false;
  bool going_away_ = false;
  bool failed_ = false;
  std::int32_t last_opened_ = -1;
  std::vector<std::pair<std::int32_t, std::int32_t>> passed_over_;  // both ends outside
  double patience_;
  Nanos patience_at_;
  std::string* out_ = nullptr;  // during collect()
  std::unordered_map<std::int32_t, std::shared_ptr<Http2Stream>> streams_;
  Http2Stream* looked_up_ = nullptr;  // last
  std::vector<std::shared_ptr<Http2Stream>> spare_;
};

}  // namespace caisson::gateway
