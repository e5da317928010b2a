#include "bus/shm_ring.hpp"

#include <cstring>

namespace caisson::shm {

namespace {

constexpr std::uint64_t kShowEvery = 4096;  // some sixteen small records

}  // namespace

char* RingWriter::reserve(std::size_t length, std::uint64_t head) {
  const std::size_t to_end = kRingSize - tail_ % kRingSize;
  const std::size_t padding = length > to_end ? to_end : 0;
  if (tail_ + padding + length - head > kRingSize) return nullptr;
  reserved_ = tail_ + padding;
  return ring_ + reserved_ % kRingSize;
}

void RingWriter::commit(RecordHead head) {
  if (reserved_ != tail_) {
    RecordHead padding;
    padding.length = static_cast<std::uint32_t>(reserved_ - tail_);
    padding.sequence = sequence_++;
    std::memcpy(ring_ + tail_ % kRingSize, &padding, sizeof padding);
  }
  head.sequence = sequence_++;
  std::memcpy(ring_ + reserved_ % kRingSize, &head, sizeof head);
  tail_ = reserved_ + head.length;
  if (tail_ - shown_ >= kShowEvery) show();
}

bool RingReader::see(std::uint64_t tail) {
  if (tail < tail_ || tail - head_ > kRingSize || tail % kCacheLine != 0) {
    complaint_ = "the tail of the ring is where it cannot be";
    return false;
  }
  tail_ = tail;
  return true;
}

Next RingReader::next() {
  while (head_ != tail_) {
    const std::size_t at = head_ % kRingSize;
    copy_from_peer(&record_, ring_ + at, sizeof record_);
    if (const char* const why = check(kRingSize - at); why != nullptr) return bad(why);
    if (record_.envelope_size != 0) return Next::kRecord;
    consume();
  }
  return Next::kNothing;
}

const char* RingReader::check(std::size_t to_end) const {
  const RecordHead& record = record_;
  if (record.sequence != sequence_) return "a record out of sequence";
  if (record.length == 0 || record.length % kCacheLine != 0 || record.length > tail_ - head_ ||
      record.length > to_end) {
    return "a record of an impossible length";
  }
  if (record.envelope_size == 0) return record.length == to_end ? nullptr : "padding that does not reach the end";
  if (record.length > kMaxRecord) return "a record over the limit";
  if (record.envelope_size > kMaxEnvelope) return "an envelope over the limit";
  if (record.payload_size > kMaxPayload) return "a payload over the limit";
  const std::size_t inside = inline_size(record);
  if (inside > kMaxInline || sizeof(RecordHead) + inside > record.length) return "a part outside its record";
  return nullptr;
}

void RingReader::consume() {
  head_ += record_.length;
  ++sequence_;
}

Next RingReader::bad(const char* why) {
  complaint_ = why;
  return Next::kBad;
}

}  // namespace caisson::shm
