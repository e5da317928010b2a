#include "bus/id_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace caisson {
namespace {

struct Item : IdNode {
  explicit Item(std::uint64_t id) : IdNode(id) {}
};

std::vector<std::unique_ptr<Item>> fill(IdTable<Item>& table, std::uint64_t first, std::uint64_t step, int count) {
  std::vector<std::unique_ptr<Item>> items;
  for (int i = 0; i < count; ++i) {
    table.insert(*items.emplace_back(std::make_unique<Item>(first)));
    first += step;
  }
  return items;
}

TEST(IdTableTest, FindsWhatWasPutInUnderAnyNumber) {
  for (const std::uint64_t scatter : {std::uint64_t{0}, ~std::uint64_t{0}, std::uint64_t{0x1234567890ABCDEF}}) {
    for (const std::uint64_t step : {std::uint64_t{1}, std::uint64_t{1} << 32, std::uint64_t{1} << 52}) {
      IdTable<Item> table(scatter);
      const auto items = fill(table, 7, step, 1000);

      EXPECT_EQ(table.size(), 1000u);
      for (const auto& item : items) ASSERT_EQ(table.find(item->id()), item.get());
      EXPECT_EQ(table.find(6), nullptr);
    }
  }
}

TEST(IdTableTest, WhatIsTakenOutIsNotFoundAndTheOthersAre) {
  IdTable<Item> table;
  std::vector<std::unique_ptr<Item>> items;  // numbers without a pattern, so that some share a bucket
  for (std::uint64_t i = 0; i < 100; ++i) {
    table.insert(*items.emplace_back(std::make_unique<Item>(i * i * i * 1'000'003)));
  }

  for (std::size_t i = 0; i < items.size(); i += 2) table.erase(*items[i]);
  table.erase(*items[0]);

  EXPECT_EQ(table.size(), 50u);
  for (std::size_t i = 0; i < items.size(); ++i) {
    EXPECT_EQ(table.find(items[i]->id()), i % 2 == 0 ? nullptr : items[i].get());
  }
}

TEST(IdTableTest, AnEmptyTableFindsNothing) {
  IdTable<Item> table;
  Item item(1);

  table.erase(item);

  EXPECT_TRUE(table.empty());
  EXPECT_EQ(table.find(1), nullptr);
}

TEST(IdTableTest, TakeAllEmptiesTheTableAndMayPutBack) {
  IdTable<Item> table;
  const auto items = fill(table, 1, 1, 40);
  std::vector<std::uint64_t> taken;

  table.take_all([&](Item& item) {
    taken.push_back(item.id());
    if (item.id() == 3) table.insert(item);
  });

  EXPECT_EQ(taken.size(), 40u);
  EXPECT_EQ(table.size(), 1u);
  EXPECT_EQ(table.find(3), items[2].get());
  EXPECT_EQ(table.find(4), nullptr);
}

}  // namespace
}  // namespace caisson
