// The private books of a lane: buddies, arena, what is lent, the ring and its records, the spin rule.

#include "bus/shm_arena.hpp"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <set>

#include "bus/shm_outbox.hpp"
#include "bus/shm_ring.hpp"
#include "bus/shm_spin.hpp"

namespace caisson::shm {
namespace {

TEST(BuddiesTest, GiveRunsThatDoNotOverlapAndTakeThemBack) {
  constexpr std::size_t kLeaves = 64;
  Buddies buddies(kLeaves);
  std::mt19937 random(7);
  std::map<std::size_t, std::size_t> taken;  // leaf to count
  for (int i = 0; i < 20'000; ++i) {
    const std::size_t count = std::size_t{1} << random() % 5;
    if (random() % 2 == 0) {
      const auto leaf = buddies.take(count);
      if (!leaf) continue;
      ASSERT_LE(*leaf + count, kLeaves);
      ASSERT_EQ(*leaf % count, 0u);
      for (const auto& [begin, size] : taken) ASSERT_TRUE(*leaf + count <= begin || begin + size <= *leaf);
      taken[*leaf] = count;
    } else if (!taken.empty()) {
      const auto victim = std::next(taken.begin(), static_cast<std::ptrdiff_t>(random() % taken.size()));
      buddies.give_back(victim->first);
      taken.erase(victim);
    }
  }
  for (const auto& [leaf, count] : taken) buddies.give_back(leaf);

  EXPECT_TRUE(buddies.unused());
  EXPECT_EQ(buddies.take(kLeaves), std::optional<std::size_t>(0));
  EXPECT_FALSE(buddies.take(1));
}

struct Announced {
  std::vector<std::uint32_t> segments;
  std::vector<std::uint32_t> retired;
  bool full = false;

  Arena::Announce hook() {
    return [this](std::uint32_t segment, std::size_t, int fd) -> Result<void> {
      if (full) return Error{Errc::kResourceExhausted, "the socket is full"};
      (fd < 0 ? retired : segments).push_back(segment);
      return ok();
    };
  }
};

TEST(ArenaTest, GrowsToItsLimitAndSaysThatItIsFull) {
  Announced announced;
  Arena arena(announced.hook());
  std::size_t count = 0;

  while (arena.take(64 * 1024)) ++count;

  EXPECT_GT(arena.bytes(), kMaxArenaBytes / 2);
  EXPECT_LE(arena.bytes(), kMaxArenaBytes);
  EXPECT_EQ(count, arena.bytes() / (64 * 1024));
  EXPECT_EQ(arena.take(1).error().code, Errc::kResourceExhausted);
}

TEST(ArenaTest, ASegmentThatCouldNotBeAnnouncedIsNotUsed) {
  Announced announced;
  announced.full = true;
  Arena arena(announced.hook());

  EXPECT_EQ(arena.take(4096).error().code, Errc::kResourceExhausted);
  EXPECT_EQ(arena.bytes(), 0u);

  announced.full = false;
  EXPECT_TRUE(arena.take(4096));
}

TEST(ArenaTest, IdleSegmentsAreRetiredAndTheirNumbersAreNotUsedAgain) {
  Announced announced;
  Arena arena(announced.hook());
  const auto kept = arena.take(4096);
  const auto chunk = arena.take(128 * 1024);
  ASSERT_TRUE(kept && chunk);
  arena.give_back(chunk->segment, chunk->offset);

  arena.retire_idle();
  EXPECT_TRUE(announced.retired.empty()) << "it was used since the last time";
  arena.retire_idle();
  const auto next = arena.take(128 * 1024);

  EXPECT_EQ(announced.retired, std::vector<std::uint32_t>{chunk->segment});
  ASSERT_TRUE(next);
  EXPECT_NE(next->segment, chunk->segment);
}

TEST(LentTableTest, AnIdIsGoodForOneReturn) {
  LentTable table;
  const auto id = table.add({1, 2, 0});
  ASSERT_TRUE(id);

  EXPECT_TRUE(table.remove(*id));
  EXPECT_FALSE(table.remove(*id));
  EXPECT_FALSE(table.remove(*id + 1));
  EXPECT_FALSE(table.remove(kMaxLent));
  const auto next = table.add({1, 2, 0});
  EXPECT_NE(*next, *id) << "the generation is another";
  for (std::uint32_t i = 1; i < kMaxLent; ++i) ASSERT_TRUE(table.add({1, 2, 0}));
  EXPECT_FALSE(table.add({1, 2, 0}));
}

TEST(RingTest, RecordsOfAllSizesComeOutAsTheyWentInRoundAndRound) {
  std::vector<char> memory(kRingSize);
  std::atomic<std::uint64_t> tail{0};
  RingWriter writer(memory.data(), tail);
  RingReader reader(memory.data());
  std::mt19937 random(11);
  std::size_t written = 0;
  std::size_t read = 0;
  std::vector<std::uint32_t> sizes;
  while (read < 50'000) {
    const std::uint32_t size = 8 + static_cast<std::uint32_t>(random() % (kMaxInline - 8));
    RecordHead head;
    head.envelope_size = size;
    head.length = static_cast<std::uint32_t>(align_up(sizeof head + align_up(size, 8), kCacheLine));
    if (char* const to = writer.reserve(head.length, reader.head()); to != nullptr) {
      std::memset(to + sizeof head, static_cast<int>(written++), size);
      writer.commit(head);
      sizes.push_back(size);
      if (random() % 3 != 0) continue;
    }
    writer.show();
    ASSERT_TRUE(reader.see(tail.load()));
    while (reader.next() == Next::kRecord) {
      ASSERT_EQ(reader.record().envelope_size, sizes[read]);
      ASSERT_EQ(reader.inline_bytes()[sizes[read] - 1], static_cast<char>(read));
      ++read;
      reader.consume();
    }
    ASSERT_TRUE(reader.empty());
  }
}

TEST(RingTest, AFullRingTakesNothingUntilSomethingWasRead) {
  std::vector<char> memory(kRingSize);
  std::atomic<std::uint64_t> tail{0};
  RingWriter writer(memory.data(), tail);
  RecordHead head;
  head.envelope_size = 8;
  head.length = kCacheLine;
  for (std::size_t i = 0; i < kRingSize / kCacheLine; ++i) {
    ASSERT_NE(writer.reserve(kCacheLine, 0), nullptr);
    writer.commit(head);
  }

  EXPECT_EQ(writer.reserve(kCacheLine, 0), nullptr);
  EXPECT_NE(writer.reserve(kCacheLine, kCacheLine), nullptr);
}

// --- when to spin ---

using std::chrono::microseconds;
constexpr SpinRule::Time kStart{std::chrono::hours(1)};
constexpr SpinRule::Span kNot{};

TEST(SpinRuleTest, NeverOnOneCpuAndByDefaultOnlyOnMoreThanTwo) {
  EXPECT_FALSE(SpinRule(Spin::kOn, 1).enabled());
  EXPECT_FALSE(SpinRule(Spin::kAuto, 2).enabled());
  EXPECT_TRUE(SpinRule(Spin::kAuto, 3).enabled());
  EXPECT_TRUE(SpinRule(Spin::kOn, 2).enabled());
  EXPECT_FALSE(SpinRule(Spin::kOff, 64).enabled());
}

TEST(SpinRuleTest, NotWhereThePeerRunsOnTheSameCpu) {
  SpinRule rule(Spin::kOn, 2);

  EXPECT_EQ(rule.allows(kStart, 1, 1), kNot);
  EXPECT_EQ(rule.allows(kStart, 1, 0), SpinRule::kLongest);
}

TEST(SpinRuleTest, NotAfterTooMuchSpinningInVainUntilTheWindowIsOver) {
  SpinRule rule(Spin::kOn, 2);
  ASSERT_NE(rule.allows(kStart, 1, 0), kNot);

  for (int i = 0; i < 100; ++i) rule.spun(kStart, kStart + SpinRule::kLongest, false);

  EXPECT_EQ(rule.allows(kStart + microseconds(9000), 1, 0), kNot);
  EXPECT_NE(rule.allows(kStart + microseconds(11000), 1, 0), kNot);
}

TEST(SpinRuleTest, SpinsThatFindSomethingCostNothing) {
  SpinRule rule(Spin::kOn, 2);
  ASSERT_NE(rule.allows(kStart, 1, 0), kNot);

  for (int i = 0; i < 1000; ++i) rule.spun(kStart, kStart + SpinRule::kLongest, true);

  EXPECT_NE(rule.allows(kStart + microseconds(1), 1, 0), kNot);
}

TEST(SpinRuleTest, LongWaitsEndItAndItIsTriedAgainNowAndThen) {
  SpinRule rule(Spin::kOn, 2);
  for (int i = 0; i < 50; ++i) rule.waited(microseconds(500), false);
  int allowed = 0;

  for (int i = 0; i < 640; ++i) allowed += rule.allows(kStart, 1, 0) != kNot ? 1 : 0;

  EXPECT_EQ(allowed, 10);
  for (int i = 0; i < 50; ++i) rule.waited(microseconds(3), false);
  EXPECT_EQ(rule.allows(kStart, 1, 0), SpinRule::kLongest);
}

TEST(SpinRuleTest, ATryThatFindsSomethingIsFollowedByMore) {
  SpinRule rule(Spin::kOn, 2);
  for (int i = 0; i < 50; ++i) rule.waited(microseconds(500), false);
  while (rule.allows(kStart, 1, 0) == kNot) {
  }

  rule.spun(kStart, kStart + microseconds(45), true);

  EXPECT_EQ(rule.allows(kStart, 1, 0), SpinRule::kLongestTry);
}

TEST(SpinRuleTest, WhatWakingTheThreadTookDoesNotCount) {
  SpinRule rule(Spin::kOn, 2);

  for (int i = 0; i < 50; ++i) rule.waited(microseconds(55), true);

  EXPECT_EQ(rule.allows(kStart, 1, 0), SpinRule::kLongest);
}

}  // namespace
}  // namespace caisson::shm
