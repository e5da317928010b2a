#pragma once

#include <algorithm>
#include <cstdint>
#include <list>
#include <optional>
#include <utility>

#include "bus/link.hpp"
#include "bus/recycled.hpp"

/// Internal to bus/link.cpp and bus/exchange.cpp.
namespace caisson {

/// What a streamed body may have under way before the reader gives more credit, in bytes as
/// cost_of() counts them. The piece that travels with a head is not counted.
inline constexpr std::int64_t kStreamWindow = 256 * 1024;
/// Owed frames carry text of ours; an envelope has a limit.
inline constexpr std::size_t kLongestMessage = 4096;

/// Each piece costs its memory's keeping too, else a body in pieces of one byte (or none) would
/// take many times its window. Both sides count like this.
inline std::int64_t cost_of(std::size_t size) { return static_cast<std::int64_t>(size) + 256; }

inline Error link_down() { return {Errc::kUnavailable, "the link is down"}; }

inline bool lane_is_full(const Result<void>& sent) { return !sent && sent.error().code == Errc::kResourceExhausted; }

struct Exchange : IdNode, Recycled {
  Link* link;  // null once the link is down or gone
  std::uint32_t owners = 0;
  bool asked;  // begun by this side
  Deadline deadline = Deadline::never();
  TaskScope::Id task = 0;  // served: the task to destroy when the asker cancels

  // The body coming in.
  std::list<Buffer> pieces;  // unlike a deque without memory while there are none
  bool in_ended = true;
  std::optional<Error> in_error;
  BodyEnd in_end;
  std::int64_t in_budget = kStreamWindow;  // what the peer may still send
  std::int64_t in_unacknowledged = 0;      // read, but not yet given back as credit
  WaitQueue in_changed;

  // The body going out.
  bool out_ended = true;
  std::int64_t out_credit = kStreamWindow;
  WaitQueue out_changed;

  // Asked: the answer. Served: whether it was given.
  std::optional<Frame> reply;
  std::optional<Error> reply_error;
  bool replied = false;
  bool cancelled = false;
  WaitQueue reply_arrived;

  Exchange(Link* owner, std::uint64_t number, bool by_us) : IdNode(number), link(owner), asked(by_us) {}
  ~Exchange() {
    if (link == nullptr) return;
    link->forget(*this);
  }

  /// Flags of a stream frame that this side sends.
  [[nodiscard]] std::uint16_t stream_flags() const {
    const bool of_call = asked == (link->side_ == Side::kCapability);
    return static_cast<std::uint16_t>((of_call ? kOfCall : 0) | (asked ? kFromAsker : 0));
  }

  /// Sends the answer, or its head.
  Result<void> answer(const Envelope& given, Buffer& body, bool streamed) {
    if (link == nullptr) return link_down();
    if (replied) return Error{Errc::kFailedPrecondition, "the request was answered before"};
    Envelope out;
    out.kind = wire::Kind::Reply;
    out.id = id();
    out.flags = streamed ? kStreamed : 0;
    out.status = given.status;
    out.headers = given.headers;
    out.trailers = given.trailers;
    out.error = given.error;
    out.message = given.message;
    out.traceparent = given.traceparent;
    out.tracestate = given.tracestate;
    Result<void> sent = link->publish(out, body);
    // Only now: an answer that was not sent leaves the asker waiting for another.
    if (sent) replied = true;
    return sent;
  }

  void fail(const Error& error) {
    link = nullptr;
    if (!std::exchange(in_ended, true)) in_error = error;  // a whole body stays readable
    if (!replied && asked) reply_error = error;
    in_changed.wake_all();
    out_changed.wake_all();
    reply_arrived.wake_all();
  }
};

}  // namespace caisson
