#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "bus/link.hpp"

namespace caisson::invoke {

/// Counts the messages of a gRPC stream as it passes, cut anywhere: one byte compressed or not, four bytes
/// length, the message.
class MessageCounter {
 public:
  void feed(std::string_view bytes);
  /// Messages of which at least one byte was seen.
  [[nodiscard]] std::size_t begun() const { return begun_; }

 private:
  std::size_t begun_ = 0;
  std::size_t prefix_ = 0;  // bytes of the current prefix that were seen; 0: before a message
  std::size_t size_ = 0;
  std::size_t left_ = 0;  // of the current message
};

/// The body of a streamed request that several attempts may send from its beginning: what was read is kept,
/// up to a limit, until the answer has begun. One attempt at a time; one thread.
class ReplayedBody {
 public:
  static constexpr std::size_t kMostKept = std::size_t{4} << 20;

  /// With `one_message`, a second gRPC message ends the body with kFailedPrecondition. Without `streamed`
  /// there is no more than `first`, which outlives this.
  ReplayedBody(std::string_view first, BodyReader rest, bool streamed, bool one_message);

  /// Sends everything, from the beginning on, until the end of the body or of `to`.
  Task<void> send(BodyWriter to, Deadline deadline);

  /// Another attempt could send it all.
  [[nodiscard]] bool repeatable() const { return keeping_ && !refused_; }
  /// There was a second message, which may not be.
  [[nodiscard]] bool refused() const { return refused_; }
  /// Why.
  static Error refusal();
  /// No other attempt follows: what was kept is let go, and nothing more is kept.
  void settle();

 private:
  [[nodiscard]] bool take(std::string_view piece);

  BodyReader rest_;
  bool one_message_;
  bool keeping_ = true;
  bool refused_ = false;
  bool ended_;
  std::string kept_;
  MessageCounter messages_;
};

}  // namespace caisson::invoke
