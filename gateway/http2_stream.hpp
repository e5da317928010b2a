#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bus/buffer.hpp"
#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "bus/wire.hpp"

struct nghttp2_session;

namespace caisson::gateway {

class Http2Session;

/// Header fields as they arrived, in order; names are in lower case. The views of a Field live until
/// the next add().
class Http2Fields {
 public:
  void add(std::string_view name, std::string_view value);
  /// Forgets the fields, but not their memory.
  void clear();
  [[nodiscard]] std::size_t size() const { return spans_.size(); }
  /// Bytes that its texts may take without more memory.
  [[nodiscard]] std::size_t capacity() const { return bytes_.capacity(); }
  [[nodiscard]] Field operator[](std::size_t index) const;
  /// The first value under `name`; empty when there is none.
  [[nodiscard]] std::string_view get(std::string_view name) const;

 private:
  struct Span {
    std::uint32_t at;
    std::uint32_t name;
    std::uint32_t value;
  };
  std::string bytes_;
  std::vector<Span> spans_;
};

/// A request of HTTP/1.1 with which the client goes over to HTTP/2 (RFC 7540 section 3.2).
struct Http2Upgrade {
  std::string settings;  // the payload of a SETTINGS frame
  Http2Fields head;
  std::string rest;  // what has been read behind the request
};

/// One stream of an Http2Session, either side's: what arrives is buffered here, bounded by the
/// stream's window, which opens as it is taken; what is sent waits here until the peer's window lets
/// it out. Outlives its session harmlessly: then it is closed. One thread.
class Http2Stream {
 public:
  Http2Stream(Http2Session& session, std::int32_t id);
  Http2Stream(const Http2Stream&) = delete;
  Http2Stream& operator=(const Http2Stream&) = delete;

  [[nodiscard]] std::int32_t id() const { return id_; }
  /// For its connection to remember who serves it.
  std::uint64_t served_by = 0;

  // --- what the peer sends ---

  /// The message's head, pseudo-headers included; complete from begun() on.
  [[nodiscard]] const Http2Fields& head() const { return head_; }
  [[nodiscard]] bool begun() const { return begun_; }
  /// The head was over the session's limit: what stands in head() is not all.
  [[nodiscard]] bool head_too_large() const { return head_too_large_; }
  /// Complete once the body has ended.
  [[nodiscard]] const Http2Fields& trailers() const { return trailers_; }
  /// What has arrived of the body and was not taken; may be all of it (ended()).
  [[nodiscard]] const std::string& arrived() const { return arrived_; }
  /// Nothing more will arrive.
  [[nodiscard]] bool ended() const { return ended_; }
  /// Takes what has arrived, so that as much may come again.
  std::string take();
  /// Waits until there is something to take, or the body has ended: take() then gives nothing.
  /// kCancelled: the stream was reset or its connection ended; kDeadlineExceeded.
  Task<Result<void>> more(Deadline deadline);
  /// Waits for begun(); errors as of more().
  Task<Result<void>> head_arrived(Deadline deadline);

  // --- what is sent ---

  /// Sends the head of an answer; with `last` it is all of it.
  void send_head(std::span<const Field> fields, bool last);
  /// Adds to the body without waiting.
  void send(Buffer piece);
  /// Adds to the body, then waits while much of it has not gone out. kCancelled: the stream is
  /// closed; kDeadlineExceeded: the peer does not take it, what was added stays added.
  Task<Result<void>> write(Buffer piece, Deadline deadline);
  /// Ends the body, with trailers where there are any.
  void finish(std::span<const Field> trailers = {});
  [[nodiscard]] bool finished() const { return finished_; }
  /// Bytes that wait for the peer's window.
  [[nodiscard]] std::size_t waiting() const { return waiting_; }
  /// When something of what was sent last went out, or it was begun.
  [[nodiscard]] Nanos progress() const { return progress_; }
  /// RST_STREAM with a code of RFC 9113 section 7; what was to be sent is not touched any more.
  void reset(std::uint32_t code);

  /// Closed in both directions.
  [[nodiscard]] bool closed() const { return session_ == nullptr; }
  /// It is closed and the peer did not look at the request: REFUSED_STREAM, or one behind a GOAWAY.
  [[nodiscard]] bool refused() const;

 private:
  friend class Http2Session;
  friend struct Http2Callbacks;
  struct Trailer {
    std::string name;
    std::string value;
  };

  // Called by the session.
  /// A stream that nobody knows any more becomes the next one, with its memory.
  void renew(Http2Session& session, std::int32_t id);
  [[nodiscard]] bool worth_keeping() const;
  bool add_field(std::string_view name, std::string_view value, std::size_t limit);
  void on_head();
  void on_data(std::string_view bytes);
  void on_ended();
  void on_closed(std::uint32_t code);
  std::ptrdiff_t offer(std::size_t most, std::uint32_t& flags);
  void give(std::string& out, std::size_t size);

  Http2Session* session_;
  std::int32_t id_;
  std::uint32_t code_ = 0;  // why it was closed

  Http2Fields head_;
  Http2Fields trailers_;
  std::size_t field_bytes_ = 0;
  bool begun_ = false;
  bool head_too_large_ = false;
  bool ended_ = false;
  std::string arrived_;
  WaitQueue arrival_;

  std::vector<Buffer> output_;
  std::size_t output_at_ = 0;  // the first piece that is not all out
  std::size_t piece_at_ = 0;   // how much of it is
  std::size_t waiting_ = 0;
  std::vector<Trailer> end_;
  bool finished_ = false;
  bool deferred_ = false;  // nghttp2 waits for more
  Nanos progress_{};
  WaitQueue drained_;
};

}  // namespace caisson::gateway
