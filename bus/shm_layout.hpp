#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "bus/wire.hpp"

/// What lies in shared memory and what crosses the control socket; no logic. docs/wire-format.md has the
/// rules, docs/decisions/0010-shared-memory-lane.md the reasons.
///
/// Each side owns one base segment, which it alone writes and the other maps read-only:
///
///   0x0000  Cursors: a cache line for each of tx_tail, rx_head, wake, release_tail
///   0x1000  release ring: kMaxLent ids of the peer's pieces that the owner has done with
///   0x2000  byte ring: records of whole cache lines
///
/// A record:
///
///   0   length  sequence  envelope size  payload size      u32 each
///   16  where the envelope is: segment  offset  lent id    u32 each; segment 0: in the record
///   28  where the payload is:  segment  offset  lent id
///   40  the envelope, up to a multiple of 8, and the payload, those that are in the record
///
/// A record with an envelope size of 0 only fills the ring up to its end. Longer parts are in further
/// segments, announced on the control socket before the first record that names them.
namespace caisson::shm {

inline constexpr std::uint64_t kMagic = 0x31'4d'48'53'4e'53'43'00;  // "\0CSNSHM1", little-endian
inline constexpr std::uint32_t kAbi = 1;

inline constexpr std::size_t kCacheLine = 64;
/// A thousand small frames: what a sender writes while a reader on another CPU wakes up.
inline constexpr std::size_t kRingSize = std::size_t{256} * 1024;
/// Pieces of one side's memory that the other may hold at once.
inline constexpr std::uint32_t kMaxLent = 1024;

inline constexpr std::size_t kReleaseRingAt = 0x1000;
inline constexpr std::size_t kRingAt = 0x2000;
inline constexpr std::size_t kBaseSize = kRingAt + kRingSize;

/// Envelope and payload up to this are in the record.
inline constexpr std::size_t kMaxInline = 2048;
/// Payloads above this are in a memory file of their own.
inline constexpr std::size_t kMaxChunk = std::size_t{256} * 1024;
/// With a full arena, payloads from this on are too.
inline constexpr std::size_t kLeastFile = std::size_t{64} * 1024;

/// Arena of one side: how many segments, how many bytes in all.
inline constexpr std::size_t kMaxArenaSegments = 8;
inline constexpr std::size_t kMaxArenaBytes = std::size_t{5} * 1024 * 1024;
inline constexpr std::size_t kMaxArenaSegment = std::size_t{1024} * 1024;
/// Memory files of one side that the other has not given back.
inline constexpr std::size_t kMaxFiles = 64;
inline constexpr std::size_t kMaxFileBytes = std::size_t{64} * 1024 * 1024;
inline constexpr std::size_t kMaxFile = kMaxPayload;

/// What the owner of a segment says of itself; the peer only reads. All counts run on for ever.
struct Cursors {
  /// Bytes of records written into the own ring.
  alignas(kCacheLine) std::atomic<std::uint64_t> tx_tail;
  /// Bytes read from the peer's ring.
  alignas(kCacheLine) std::atomic<std::uint64_t> rx_head;
  /// Odd: asleep, or about to be. Goes up with every change.
  alignas(kCacheLine) std::atomic<std::uint32_t> wake;
  /// Not zero: wants to be rung when there is room again.
  std::atomic<std::uint32_t> wants_room;
  /// The CPU where the owner ran when it last looked.
  std::atomic<std::uint32_t> cpu;
  /// Ids written into the own release ring.
  alignas(kCacheLine) std::atomic<std::uint64_t> release_tail;
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free && std::atomic<std::uint32_t>::is_always_lock_free,
              "a lock would be private to one process");
static_assert(offsetof(Cursors, tx_tail) == 0x00 && offsetof(Cursors, rx_head) == 0x40 &&
                  offsetof(Cursors, wake) == 0x80 && offsetof(Cursors, wants_room) == 0x84 &&
                  offsetof(Cursors, cpu) == 0x88 && offsetof(Cursors, release_tail) == 0xc0,
              "the layout is what the peer reads");
static_assert(sizeof(Cursors) <= kReleaseRingAt && kReleaseRingAt + kMaxLent * sizeof(std::uint32_t) <= kRingAt,
              "the parts do not overlap");

/// Where a part of a frame is.
struct Place {
  std::uint32_t segment = 0;  // 0: in the record
  std::uint32_t offset = 0;
  std::uint32_t lent = 0;  // generation << 16 | slot; what the release ring gives back
};

struct RecordHead {
  std::uint32_t length = 0;  // of the whole record, in bytes: a multiple of kCacheLine
  std::uint32_t sequence = 0;
  std::uint32_t envelope_size = 0;  // 0: nothing but padding up to the end of the ring
  std::uint32_t payload_size = 0;
  Place envelope;
  Place payload;
};
static_assert(sizeof(RecordHead) == 40, "the layout is what the peer reads");

constexpr std::size_t align_up(std::size_t size, std::size_t unit) { return (size + unit - 1) / unit * unit; }

/// The longest record that is not padding.
inline constexpr std::size_t kMaxRecord = align_up(sizeof(RecordHead) + kMaxInline, kCacheLine);

/// The first message of each side on the control socket, with two descriptors: the base segment and the
/// pipe at which the sender of this message will ring.
struct HandOver {
  std::uint64_t magic = kMagic;
  std::uint32_t abi = kAbi;
  std::uint32_t max_lent = kMaxLent;
  std::uint64_t epoch = 0;  // another one with every lane
  std::uint64_t segment_size = kBaseSize;
  std::uint64_t ring_size = kRingSize;
};
static_assert(sizeof(HandOver) == 40, "the layout is what the peer reads");

enum class ControlKind : std::uint32_t {
  kArena = 1,   // one descriptor: a further segment
  kFile = 2,    // one descriptor: a memory file for one record
  kRetire = 3,  // none: the arena segment will not be named again
};

struct Control {
  ControlKind kind{};
  std::uint32_t segment = 0;  // never 0, never used twice
  std::uint64_t size = 0;
};
static_assert(sizeof(Control) == 16, "the layout is what the peer reads");

/// Copies out of memory that the peer may change meanwhile. What was copied is not read a second time:
/// for the compiler all memory has changed afterwards.
inline void copy_from_peer(void* to, const void* from, std::size_t size) {
  std::memcpy(to, from, size);
  asm volatile("" ::: "memory");
}

}  // namespace caisson::shm
