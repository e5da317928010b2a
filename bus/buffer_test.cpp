#include "bus/buffer.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>

namespace caisson {
namespace {

struct CountedMemory final : Memory {
  void release() noexcept override { ++releases; }
  std::string bytes = "lent";
  int releases = 0;
};

TEST(BufferTest, ABufferMadeOfAStringOwnsItsBytes) {
  Buffer buffer(std::string("a body long enough not to lie inside the string object"));

  const Buffer moved = std::move(buffer);

  EXPECT_EQ(moved.view(), "a body long enough not to lie inside the string object");
  EXPECT_TRUE(buffer.empty());  // NOLINT(bugprone-use-after-move): that it is empty is the point
}

TEST(BufferTest, LentMemoryIsReleasedOnceWithTheLastOwner) {
  CountedMemory memory;
  {
    Buffer first(MemoryRef(&memory), memory.bytes);
    Buffer second;
    second = std::move(first);
    EXPECT_EQ(memory.releases, 0);
    EXPECT_EQ(second.view(), "lent");
  }

  EXPECT_EQ(memory.releases, 1);
}

TEST(BufferTest, AssigningABufferReleasesWhatItHeld) {
  CountedMemory memory;
  Buffer buffer(MemoryRef(&memory), memory.bytes);

  buffer = Buffer(std::string("other"));

  EXPECT_EQ(memory.releases, 1);
  EXPECT_EQ(buffer.view(), "other");
}

TEST(BufferTest, TheTakenOwnerOutlivesTheBuffer) {
  CountedMemory memory;
  Buffer buffer(MemoryRef(&memory), memory.bytes);

  MemoryRef owner = buffer.take_owner();
  buffer = Buffer();
  EXPECT_EQ(memory.releases, 0);
  owner.reset();

  EXPECT_EQ(memory.releases, 1);
}

TEST(BufferTest, ADetachedLoanIsSomebodyElsesToRelease) {
  CountedMemory memory;
  {
    MemoryRef owner(&memory);
    EXPECT_EQ(owner.detach(), &memory);
  }

  EXPECT_EQ(memory.releases, 0);
}

TEST(BufferTest, WritingAndTruncatingShowInTheView) {
  Buffer buffer(std::string("0123456789"));

  buffer.writable()[0] = 'x';
  buffer.truncate(3);

  EXPECT_EQ(buffer.view(), "x12");
}

TEST(BufferTest, BytesWithoutAnOwnerAreNotOwned) {
  EXPECT_FALSE(Buffer(MemoryRef(), "static").owned());
  EXPECT_TRUE(Buffer(std::string("text")).owned());
}

}  // namespace
}  // namespace caisson
