#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "bus/result.hpp"
#include "bus/shm_layout.hpp"
#include "bus/shm_memory.hpp"

namespace caisson::shm {

/// Which parts of a block are taken: a binary tree of buddies. Knows no memory.
class Buddies {
 public:
  /// `leaves`: a power of two.
  explicit Buddies(std::size_t leaves);

  /// The first of so many leaves (rounded up to a power of two) in a row, aligned to their number.
  std::optional<std::size_t> take(std::size_t leaves);
  /// What take() gave.
  void give_back(std::size_t leaf);
  [[nodiscard]] bool unused() const { return longest_[0] == leaves_; }

 private:
  std::size_t leaves_;
  std::vector<std::uint16_t> longest_;  // the longest free run below each node; the root first
};

struct Chunk {
  std::uint32_t segment = 0;
  std::uint32_t offset = 0;
  char* data = nullptr;
};

/// The memory of one side for payloads: chunks of segments that are made when they are needed and retired
/// when they are not. All that it knows is private; the peer only ever reads the bytes.
class Arena {
 public:
  /// Tells the peer of a new segment, or that one is retired (`fd` < 0).
  using Announce = std::function<Result<void>(std::uint32_t segment, std::size_t size, int fd)>;
  explicit Arena(Announce announce) : announce_(std::move(announce)) {}

  /// kResourceExhausted: no room, or no memory for a further segment.
  Result<Chunk> take(std::size_t size);
  void give_back(std::uint32_t segment, std::uint32_t offset);
  /// A number for a further segment, of the arena or not; none that the peer may still know.
  std::uint32_t number();
  /// Retires what has not been used since the last call.
  void retire_idle();
  [[nodiscard]] std::size_t bytes() const { return bytes_; }
  [[nodiscard]] std::size_t segments() const { return segments_.size(); }

 private:
  static constexpr std::size_t kLeaf = 1024;
  struct Segment {
    std::uint32_t id;
    Mapping memory;
    Buddies buddies;
    bool used_lately;
  };

  static std::optional<Chunk> take_from(Segment& segment, std::size_t size);
  Result<void> grow(std::size_t size);

  std::uint32_t last_number_ = 0;
  Announce announce_;
  std::vector<Segment> segments_;
  std::size_t bytes_ = 0;
};

}  // namespace caisson::shm
