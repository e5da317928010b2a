#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace caisson::gateway::testing {

/// An HTTP/2 client over a connected, non-blocking socket, straight on nghttp2 and apart from our own
/// session; the test turns it with turn(). One thread.
class Http2Client {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;

  struct Stream {
    Headers head;
    Headers trailers;
    std::string body;
    bool headed = false;
    bool closed = false;
    std::uint32_t error = 0;  // of RST_STREAM

    [[nodiscard]] std::string header(std::string_view name) const;
    [[nodiscard]] std::string trailer(std::string_view name) const;
    /// The messages of a gRPC body.
    [[nodiscard]] std::vector<std::string> messages() const;
    /// Of trailers, or of an answer of a head alone.
    [[nodiscard]] std::string grpc_status() const;
  };

  /// `window`: of each stream and what the client gives back as it reads. `auto_window`: false leaves
  /// the windows as they are.
  explicit Http2Client(int fd, std::uint32_t window = 65535, bool auto_window = true);
  Http2Client(const Http2Client&) = delete;
  ~Http2Client();

  /// Begins a request; `ended`: `body` is all of it.
  std::int32_t request(const Headers& headers, std::string_view body, bool ended = true);
  std::int32_t get(std::string_view path, const Headers& more = {});
  /// A call of gRPC with one message; `ended` as above.
  std::int32_t call(std::string_view path, std::string_view message, const Headers& more = {}, bool ended = true);
  void send(std::int32_t stream, std::string_view bytes, bool ended);
  void reset(std::int32_t stream, std::uint32_t code = NGHTTP2_CANCEL);
  void open_window(std::int32_t stream, std::int32_t bytes);
  void ping();

  /// Reads and writes what can be now; false when the connection has ended.
  bool turn();
  Stream& stream(std::int32_t id) { return streams_[id]; }
  [[nodiscard]] bool ended() const { return ended_; }
  [[nodiscard]] bool went_away() const { return went_away_; }
  [[nodiscard]] std::uint32_t away_code() const { return away_code_; }
  [[nodiscard]] int pongs() const { return pongs_; }
  nghttp2_session* session() { return session_; }

 private:
  struct Body {
    std::string bytes;
    bool ended = false;
    bool deferred = false;
  };

  int fd_;
  nghttp2_session* session_ = nullptr;
  bool ended_ = false;
  bool went_away_ = false;
  std::uint32_t away_code_ = 0;
  int pongs_ = 0;
  std::string out_;
  std::map<std::int32_t, Stream> streams_;
  std::deque<Body> bodies_;
  std::map<std::int32_t, Body*> body_of_;
};

/// The message with gRPC's prefix.
std::string framed(std::string_view message, bool packed = false);

}  // namespace caisson::gateway::testing
