#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/deadline.hpp"
#include "bus/event_loop.hpp"
#include "bus/id_table.hpp"
#include "bus/lane.hpp"
#include "bus/task.hpp"
#include "bus/task_scope.hpp"

namespace caisson {

class Link;

/// Both directions of one request and its answer; shared by the handles below, unhooked from its
/// link when the last of them dies. Internal to bus/link.cpp.
struct Exchange;

/// One of the owners of an Exchange. Counts without atomics: one thread.
class ExchangeRef {
 public:
  ExchangeRef() = default;
  explicit ExchangeRef(Exchange* exchange) : exchange_(exchange) { retain(); }
  ExchangeRef(const ExchangeRef& other) : exchange_(other.exchange_) { retain(); }
  ExchangeRef(ExchangeRef&& other) noexcept : exchange_(std::exchange(other.exchange_, nullptr)) {}
  ExchangeRef& operator=(ExchangeRef other) noexcept {
    std::swap(exchange_, other.exchange_);
    return *this;
  }
  ~ExchangeRef() {
    if (exchange_ != nullptr) release();
  }

  [[nodiscard]] explicit operator bool() const { return exchange_ != nullptr; }
  [[nodiscard]] Exchange& operator*() const { return *exchange_; }
  [[nodiscard]] Exchange* operator->() const { return exchange_; }

 private:
  void retain();
  void release();
  Exchange* exchange_ = nullptr;
};

/// What its writer says at the end of a body, for APIs whose outcome follows the body (gRPC).
struct BodyEnd {
  using Trailers = std::vector<std::pair<std::string, std::string>>;
  // No aggregate: g++ 12 destroys one that is made within a co_await expression twice, as finish()'s default is.
  BodyEnd() = default;
  BodyEnd(std::uint16_t code, std::string text, Trailers pairs)
      : status(code), message(std::move(text)), trailers(std::move(pairs)) {}

  std::uint16_t status = 0;
  std::string message;
  Trailers trailers;

  [[nodiscard]] bool empty() const { return status == 0 && message.empty() && trailers.empty(); }
};

/// The body coming in: of a request for the one who serves it, of a reply for the one who asked.
class BodyReader {
 public:
  BodyReader() = default;
  explicit BodyReader(ExchangeRef exchange) : exchange_(std::move(exchange)) {}

  /// The next piece, or nothing at the end. kDeadlineExceeded leaves the body readable; any other
  /// error is final: kUnavailable (link down), or what the writer said.
  Task<Result<std::optional<Buffer>>> next(Deadline deadline);
  /// The whole body. kOutOfRange when it is longer than `limit` bytes.
  Task<Result<std::string>> all(std::size_t limit, Deadline deadline);
  /// What the writer said at the end; empty before next() gave nothing, and for a body that came whole
  /// with its head.
  [[nodiscard]] const BodyEnd& end() const;

 private:
  ExchangeRef exchange_;
};

/// The body going out. Dropped unfinished, it ends with kCancelled at the reader.
class BodyWriter {
 public:
  BodyWriter() = default;
  explicit BodyWriter(ExchangeRef exchange) : exchange_(std::move(exchange)) {}
  BodyWriter(BodyWriter&&) = default;
  BodyWriter& operator=(BodyWriter&& other);
  ~BodyWriter();

  /// Sends one piece, as soon as the reader has given credit and the lane has room. One write at a
  /// time. kCancelled: nobody reads the body any more, because the answer is complete or the asker
  /// has gone; any error but kInvalidArgument leaves the body where it was before the piece.
  Task<Result<void>> write(Buffer piece, Deadline deadline);
  /// Ends the body. Needs no room: the link sends the end before anything that is begun later.
  /// kOutOfRange: `end` is longer than an envelope can hold; the body ends with that error instead.
  Task<Result<void>> finish(Deadline deadline, BodyEnd end = {});
  /// Ends the body with an error the reader will see.
  void fail(Error error);
  [[nodiscard]] bool valid() const { return static_cast<bool>(exchange_); }

 private:
  ExchangeRef exchange_;
};

/// The answer to a call: its envelope with the first or only piece of the body in `head`, the rest
/// of a streamed body behind it. Dropping it before the end cancels the call.
struct Reply {
  Frame head;
  BodyReader rest;
};

/// A call whose request body is still being written. Dropping it cancels the call.
struct OpenCall {
  BodyWriter body;
  ExchangeRef exchange;

  /// Waits for the answer, once.
  Task<Result<Reply>> reply(Deadline deadline);
};

/// A request to serve. Answer it exactly once; dropped without an answer, the asker gets kInternal.
/// When the asker cancels, the task that serves it is destroyed. An answer that could not be sent
/// (a body over the limit) may be followed by another.
class Incoming {
 public:
  Incoming(Frame head, ExchangeRef exchange, Deadline deadline)
      : head_(std::move(head)), exchange_(std::move(exchange)), deadline_(deadline) {}

  /// The request's envelope and the first or only piece of its body.
  [[nodiscard]] const Frame& head() const { return head_; }
  [[nodiscard]] Frame& head() { return head_; }
  [[nodiscard]] Deadline deadline() const { return deadline_; }
  /// The rest of a streamed body; ends at once where there is none.
  [[nodiscard]] BodyReader rest() const { return BodyReader(exchange_); }

  /// Answers with a whole body, at once. kResourceExhausted when the lane is full: nothing was sent, and `body` is
  /// left untouched for reply(), which waits. Only status, headers, trailers, error and message of
  /// `reply` are used.
  Result<void> try_reply(const Envelope& reply, Buffer& body);
  /// Answers with a whole body. Only status, headers, trailers, error and message of `reply` are used.
  Task<Result<void>> reply(const Envelope& reply, Buffer body);
  Task<Result<void>> reply_error(Error error);
  /// Answers with a body that is written afterwards.
  Task<Result<BodyWriter>> reply_streamed(const Envelope& reply, Buffer first);

 private:
  Frame head_;
  ExchangeRef exchange_;
  Deadline deadline_;
};

enum class Side : std::uint8_t { kGateway, kCapability };

/// Calls and answers over one lane, between a gateway and one instance of a capability.
///
/// The gateway sends requests and the capability answers; the capability sends calls and the
/// gateway answers, with a window of its own, so neither direction can starve the other. Bodies of
/// either may be streams with credit. A full lane is an answer (kResourceExhausted) to whoever
/// begins something, and a wait up to the deadline for whoever continues something.
///
/// One thread. The owner destroys the link in the `down` handler or later; every call that waits
/// then ends with kUnavailable. That a link is down says nothing about what the peer still does.
class Link final : private Lane::Receiver {
 public:
  struct Options {
    std::uint16_t schema_version = kSchemaVersion;
    /// Requests in flight that this side has begun, and that it takes from the peer.
    std::size_t max_asked = 256;
    std::size_t max_served = 4096;
    /// Where the peer's clock is another host's, deadlines travel as a span.
    bool same_host = true;
    Nanos heartbeat = std::chrono::seconds(1);
    Nanos silence_limit = std::chrono::seconds(10);
  };
  struct Handlers {
    /// Serves one Request or Call; runs on the link's scope.
    std::function<Task<void>(Incoming)> serve;
    /// Hello, App, Config, Status, Goodbye. May not destroy the link.
    std::function<void(Frame)> control;
    /// The link is down. Called once, from the loop; may destroy the link.
    std::function<void(Error)> down;
  };

  Link(EventLoop& loop, std::unique_ptr<Lane> lane, Side side, Options options, Handlers handlers);
  ~Link();

  /// Sends HELLO with `hello` as payload and begins to receive.
  void start(std::string_view name, std::string hello);
  /// True from the peer's HELLO on.
  [[nodiscard]] bool ready() const { return ready_; }
  [[nodiscard]] bool down() const { return lane_down_ || closing_; }
  /// Ends the link from this side; `down` follows.
  void close(Error reason);

  /// Sends one request and waits for its answer. The views in `request` need to live only until the
  /// call is awaited. Kind, id and deadline are filled in. kResourceExhausted: window or lane full,
  /// nothing was sent, and `body` is left untouched for another try. An error the peer answered with
  /// is returned as that error.
  Task<Result<Reply>> call(Envelope request, Buffer& body, Deadline deadline);
  /// call() in two steps: sends at once, so that an error means that nothing was sent; the answer is
  /// waited for with OpenCall::reply().
  Result<OpenCall> ask(Envelope request, Buffer& body, Deadline deadline);
  /// The same with a body that is written afterwards; sends the head at once.
  Result<OpenCall> open(Envelope request, Buffer& first, Deadline deadline);

  /// Sends Hello, App, Config, Status or Goodbye; kResourceExhausted when the lane is full.
  Result<void> send(Envelope envelope, Buffer& payload);
  /// The same, waiting for room.
  Task<Result<void>> send_when_room(Envelope envelope, Buffer payload, Deadline deadline);

  /// True when another call() may be begun.
  [[nodiscard]] bool has_room() const { return ready_ && !down() && asked_.size() < options_.max_asked; }
  [[nodiscard]] std::size_t calls_in_flight() const { return asked_.size(); }
  [[nodiscard]] std::size_t serving() const { return served_.size(); }
  /// Woken when a call ends or the lane has room again. A hint: look at has_room() and try.
  WaitQueue& room() { return room_; }

  [[nodiscard]] Lane& lane() { return *lane_; }
  [[nodiscard]] EventLoop& loop() { return loop_; }

 private:
  friend struct Exchange;
  friend struct OpenCall;
  friend class BodyReader;
  friend class BodyWriter;
  friend class Incoming;

  /// A frame without body or text that waits for room; at most a few per exchange.
  struct Owed {
    wire::Kind kind;
    std::uint16_t flags;
    std::uint64_t id;
    std::uint32_t credit;
    Error error;
    BodyEnd end = {};
  };
  struct Hello {
    std::string name;
    Buffer payload;
  };
  using Table = IdTable<Exchange>;

  void on_frame(Frame frame) override;
  void on_writable() override;
  void on_down(Error reason) override;

  void on_hello(Frame frame);
  void on_request(Frame frame);
  void on_reply(Frame frame);
  void on_stream(Frame frame);
  void on_cancel(const wire::Envelope& envelope);
  void refuse(Exchange& exchange, Error error);
  void answer_complete(Exchange& exchange);
  void violation(const std::string& what);

  Result<ExchangeRef> begin(Envelope& request, Buffer& body, Deadline deadline);
  Result<void> publish(Envelope& envelope, Buffer& payload);
  void owe(Owed owed);
  /// Sends what is owed, HELLO first; false while some of it still waits for room.
  bool pay_owed();
  bool say_hello();
  void set_deadline(Envelope& envelope, Deadline deadline) const;
  [[nodiscard]] Deadline deadline_of(const wire::Envelope& envelope) const;
  void beat();
  void forget(Exchange& exchange);

  EventLoop& loop_;
  Side side_;
  Options options_;
  Handlers handlers_;
  bool ready_ = false;
  bool closing_ = false;  // on_down() is posted; what still arrives is ignored
  bool lane_down_ = false;
  std::optional<Hello> hello_;  // until it is sent; nothing goes before it
  bool started_ = false;
  std::uint64_t next_id_ = 1;
  Table asked_;
  Table served_;
  std::deque<Owed> owed_;
  WaitQueue room_;
  Timer heartbeat_;
  Nanos last_in_{};
  Nanos last_out_{};
  std::uint16_t peer_version_ = 0;
  std::uint64_t unknown_kinds_ = 0;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
  std::unique_ptr<Lane> lane_;
  TaskScope scope_;  // last: its tasks use everything above
};

}  // namespace caisson
