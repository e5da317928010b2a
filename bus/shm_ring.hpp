#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "bus/shm_layout.hpp"

namespace caisson::shm {

/// Writes records into the own ring. Its cursor is private; the shared one only tells the peer.
class RingWriter {
 public:
  RingWriter(char* ring, std::atomic<std::uint64_t>& shared_tail) : ring_(ring), shared_tail_(shared_tail) {}

  /// Where a record of `length` bytes goes, after padding if need be, while the peer has read up to
  /// `head`; null where there is no room. Nothing is visible before commit(), and another reserve()
  /// takes its place.
  [[nodiscard]] char* reserve(std::size_t length, std::uint64_t head);
  /// Ends the reserved record; its bytes from sizeof(RecordHead) on are written. Seen by the peer after
  /// show(), or when some more have been committed.
  void commit(RecordHead head);
  /// The line that says how far was written goes from CPU to CPU whenever both use it, so not for each record.
  void show() {
    if (shown_ == tail_) return;
    shown_ = tail_;
    shared_tail_.store(tail_, std::memory_order_release);
  }
  [[nodiscard]] std::uint64_t tail() const { return tail_; }

 private:
  char* ring_;
  std::atomic<std::uint64_t>& shared_tail_;
  std::uint64_t tail_ = 0;
  std::uint64_t shown_ = 0;
  std::uint64_t reserved_ = 0;  // where the reserved record begins
  std::uint32_t sequence_ = 0;
};

enum class Next : std::uint8_t { kNothing, kRecord, kBad };

/// Reads records out of memory that the peer may change at any moment. All it tells has been copied and
/// checked: sizes within the limits, parts within the record, record within what was published.
class RingReader {
 public:
  explicit RingReader(const char* ring) : ring_(ring) {}

  /// Takes over how far the peer says that it has written; false when that cannot be.
  [[nodiscard]] bool see(std::uint64_t tail);
  [[nodiscard]] bool empty() const { return head_ == tail_; }
  /// Looks at the next record, without going past it.
  Next next();
  [[nodiscard]] const RecordHead& record() const { return record_; }
  /// The parts that are in the record: still the peer's memory, copy_from_peer() it.
  [[nodiscard]] const char* inline_bytes() const { return ring_ + head_ % kRingSize + sizeof(RecordHead); }
  /// Goes past the record.
  void consume();

  [[nodiscard]] std::uint64_t head() const { return head_; }
  /// Why next() or see() refused.
  [[nodiscard]] const char* complaint() const { return complaint_; }

 private:
  Next bad(const char* why);
  [[nodiscard]] const char* check(std::size_t to_end) const;

  const char* ring_;
  std::uint64_t head_ = 0;
  std::uint64_t tail_ = 0;
  std::uint32_t sequence_ = 0;
  RecordHead record_;
  const char* complaint_ = "";
};

/// How much of a record its parts need.
inline std::size_t inline_size(const RecordHead& record) {
  const std::size_t envelope = record.envelope.segment == 0 ? align_up(record.envelope_size, kEnvelopeAlignment) : 0;
  return envelope + (record.payload.segment == 0 ? record.payload_size : 0);
}

}  // namespace caisson::shm
