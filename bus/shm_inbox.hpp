#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "bus/frame.hpp"
#include "bus/result.hpp"
#include "bus/shm_layout.hpp"
#include "bus/shm_lender.hpp"
#include "bus/shm_memory.hpp"
#include "bus/shm_ring.hpp"
#include "bus/shm_socket.hpp"

namespace caisson::shm {

/// What one side receives: the peer's ring and segments, and the frames made of them. Believes nothing
/// that it has not copied and checked. One thread; lives on until every frame has died.
class Inbox final : public Lender {
 public:
  /// `own` and `release_ring` are of the own base segment, and outlive the owner of the inbox.
  Inbox(Mapping peer_base, Cursors& own, std::uint32_t* release_ring, std::shared_ptr<MappedBudget> budget);
  ~Inbox() override;

  [[nodiscard]] const Mapping& peer_base() const { return base_; }
  [[nodiscard]] const Cursors& peer() const { return *reinterpret_cast<const Cursors*>(base_.data()); }

  /// What the peer announced. Errors mean that it must not be trusted any further.
  Result<void> take(const Control& control, FileDescriptor fd);

  enum class What : std::uint8_t {
    kNothing,
    kFrame,
    kNeedsSegment,  // a segment that was not announced, or not yet
    kBad,           // see complaint()
  };
  /// Looks how far the peer has written.
  What look();
  /// The next frame of what look() saw, in `frame`.
  What next(std::optional<Frame>& frame);
  /// Of the last frame.
  [[nodiscard]] std::size_t envelope_size() const { return ring_.record().envelope_size; }
  [[nodiscard]] const Error& complaint() const { return complaint_; }
  /// Tells the peer how far was read; false when that is no news.
  bool tell_read();
  /// True when something was given back since the last call.
  bool gave_back() { return std::exchange(gave_back_, false); }
  /// True when the peer has written what was not yet seen, or what was seen is not yet read.
  [[nodiscard]] bool more() const {
    return !ring_.empty() || peer().tx_tail.load(std::memory_order_acquire) != ring_.head();
  }

  /// Bytes of the ring, as far as the peer says.
  [[nodiscard]] std::uint64_t unread() const { return peer().tx_tail.load(std::memory_order_relaxed) - ring_.head(); }

  [[nodiscard]] std::size_t mapped_bytes() const { return base_.size() + segment_bytes_; }
  /// Frees the blocks that wait for the next frames.
  void trim();

 private:
  class Segment;
  class Block;
  friend class Block;
  /// A part outside its record.
  struct Part {
    Segment* segment = nullptr;
    const char* data = nullptr;
  };

  void closing() override;
  What bad(Error why);
  /// False when the segment is not known, or the complaint is set.
  bool find(const Place& place, std::size_t size, Part& part);
  /// The record names it: it counts as held until it is given back.
  void hold(Segment& segment);
  void give_back(Segment& segment, std::uint32_t lent);
  void unlist(Segment& segment);
  Block* new_block();
  void pooled(Block* block);

  Mapping base_;
  std::shared_ptr<MappedBudget> budget_;
  Cursors* own_;
  std::uint32_t* release_ring_;
  RingReader ring_;
  std::uint64_t told_head_ = 0;
  std::uint64_t release_tail_ = 0;
  std::uint32_t held_ = 0;  // pieces of the peer's that are not given back
  bool gave_back_ = false;
  bool is_bad_ = false;
  Error complaint_;
  std::vector<Segment*> segments_;  // those that a record may name
  std::size_t arena_segments_ = 0;
  std::size_t files_ = 0;
  std::size_t segment_bytes_ = 0;  // of these and those still held
  std::vector<std::unique_ptr<Block>> pool_;
};

}  // namespace caisson::shm
