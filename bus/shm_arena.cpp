#include "bus/shm_arena.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace caisson::shm {

namespace {

/// Small at first: most lanes never need the second.
constexpr std::size_t kSegmentSizes[] = {std::size_t{64} * 1024, std::size_t{256} * 1024, kMaxArenaSegment};

}  // namespace

// --- Buddies: node 0 is the root, the children of i are 2i+1 and 2i+2 ---

Buddies::Buddies(std::size_t leaves) : leaves_(leaves), longest_(2 * leaves - 1) {
  std::size_t run = leaves * 2;
  for (std::size_t node = 0; node < longest_.size(); ++node) {
    if (std::has_single_bit(node + 1)) run /= 2;
    longest_[node] = static_cast<std::uint16_t>(run);
  }
}

std::optional<std::size_t> Buddies::take(std::size_t leaves) {
  const std::size_t wanted = std::bit_ceil(std::max<std::size_t>(leaves, 1));
  if (longest_[0] < wanted) return std::nullopt;
  std::size_t node = 0;
  std::size_t run = leaves_;
  for (; run != wanted; run /= 2) {
    const std::size_t left = 2 * node + 1;
    // The tighter of the two, so that long runs stay whole.
    const bool left_fits = longest_[left] >= wanted;
    const bool right_fits = longest_[left + 1] >= wanted;
    node = left_fits && (!right_fits || longest_[left] <= longest_[left + 1]) ? left : left + 1;
  }
  longest_[node] = 0;
  const std::size_t leaf = (node + 1) * run - leaves_;
  while (node != 0) {
    node = (node - 1) / 2;
    longest_[node] = std::max(longest_[2 * node + 1], longest_[2 * node + 2]);
  }
  return leaf;
}

void Buddies::give_back(std::size_t leaf) {
  std::size_t node = leaf + leaves_ - 1;
  std::size_t run = 1;
  while (longest_[node] != 0) {
    node = (node - 1) / 2;
    run *= 2;
  }
  longest_[node] = static_cast<std::uint16_t>(run);
  while (node != 0) {
    node = (node - 1) / 2;
    run *= 2;
    const std::size_t left = longest_[2 * node + 1];
    const std::size_t right = longest_[2 * node + 2];
    longest_[node] = static_cast<std::uint16_t>(left + right == run ? run : std::max(left, right));
  }
}

// --- Arena ---

std::optional<Chunk> Arena::take_from(Segment& segment, std::size_t size) {
  const auto leaf = segment.buddies.take((size + kLeaf - 1) / kLeaf);
  if (!leaf) return std::nullopt;
  segment.used_lately = true;
  const std::size_t offset = *leaf * kLeaf;
  return Chunk{segment.id, static_cast<std::uint32_t>(offset), segment.memory.data() + offset};
}

Result<Chunk> Arena::take(std::size_t size) {
  for (Segment& segment : segments_) {
    if (auto chunk = take_from(segment, size)) return *chunk;
  }
  TRY(grow(size));
  if (auto chunk = take_from(segments_.back(), size)) return *chunk;
  return Error{Errc::kResourceExhausted, "the arena has no room"};
}

Result<void> Arena::grow(std::size_t size) {
  if (size > kMaxArenaSegment) return Error{Errc::kResourceExhausted, "the arena has no room for so much"};
  const std::size_t step = std::min(segments_.size(), std::size(kSegmentSizes) - 1);
  const std::size_t wanted = std::max(kSegmentSizes[step], std::bit_ceil(size));
  if (segments_.size() >= kMaxArenaSegments || bytes_ + wanted > kMaxArenaBytes) {
    return Error{Errc::kResourceExhausted, "the arena is full"};
  }
  ASSIGN(MemoryFile file, make_shared_memory(wanted));
  const std::uint32_t id = number();
  TRY(announce_(id, wanted, file.fd.get()));
  segments_.push_back({id, std::move(file.mapping), Buddies(wanted / kLeaf), true});
  bytes_ += wanted;
  return ok();
}

std::uint32_t Arena::number() {
  const auto taken = [this](std::uint32_t id) {
    return id == 0 || std::any_of(segments_.begin(), segments_.end(), [id](const Segment& s) { return s.id == id; });
  };
  do {
    ++last_number_;
  } while (taken(last_number_));
  return last_number_;
}

void Arena::give_back(std::uint32_t id, std::uint32_t offset) {
  for (Segment& segment : segments_) {
    if (segment.id != id) continue;
    segment.buddies.give_back(offset / kLeaf);
    segment.used_lately = true;
    return;
  }
}

void Arena::retire_idle() {
  for (auto it = segments_.begin(); it != segments_.end();) {
    const bool busy = std::exchange(it->used_lately, false) || !it->buddies.unused();
    // Not told: it stays for now.
    if (busy || !announce_(it->id, 0, -1)) {
      ++it;
      continue;
    }
    bytes_ -= it->memory.size();
    it = segments_.erase(it);
  }
}

}  // namespace caisson::shm
