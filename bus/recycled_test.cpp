#include "bus/recycled.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace caisson {
namespace {

template <std::size_t kSize>
struct Item : Recycled {
  std::byte bytes[kSize];
};

#if CAISSON_RECYCLES
TEST(RecycledTest, MemoryComesBackToTheNextOfItsSize) {
  auto first = std::make_unique<Item<100>>();
  const void* const where = first.get();
  first.reset();

  const auto larger = std::make_unique<Item<200>>();
  const auto same = std::make_unique<Item<128>>();

  EXPECT_NE(static_cast<const void*>(larger.get()), where);
  EXPECT_EQ(static_cast<const void*>(same.get()), where);
}
#endif

TEST(RecycledTest, ObjectsOfAllSizesDoNotOverlap) {
  constexpr std::size_t kLargest = Recycled::kLargest;
  std::vector<std::unique_ptr<Item<1>>> tiny;
  std::vector<std::unique_ptr<Item<kLargest>>> largest;
  std::vector<std::unique_ptr<Item<kLargest + 1>>> beyond;
  for (int round = 0; round < 3; ++round) {
    // More than the stock keeps.
    for (std::size_t i = 0; i < 2 * Recycled::kMostKept / kLargest; ++i) {
      std::memset(tiny.emplace_back(std::make_unique<Item<1>>())->bytes, 1, 1);
      std::memset(largest.emplace_back(std::make_unique<Item<kLargest>>())->bytes, 2, kLargest);
      std::memset(beyond.emplace_back(std::make_unique<Item<kLargest + 1>>())->bytes, 3, kLargest + 1);
    }
    for (std::size_t i = 0; i < tiny.size(); ++i) {
      ASSERT_EQ(tiny[i]->bytes[0], std::byte{1});
      ASSERT_EQ(largest[i]->bytes[0], std::byte{2});
      ASSERT_EQ(largest[i]->bytes[kLargest - 1], std::byte{2});
      ASSERT_EQ(beyond[i]->bytes[kLargest], std::byte{3});
    }
    tiny.clear();
    largest.clear();
    beyond.clear();
  }
}

TEST(RecycledTest, AnObjectMayEndOnAnotherThread) {
  auto item = std::make_unique<Item<64>>();

  std::thread([&] { item.reset(); }).join();

  EXPECT_EQ(item, nullptr);
}

}  // namespace
}  // namespace caisson
