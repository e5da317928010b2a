#include "gateway/placement.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caisson::gateway {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

config::Generation generation(std::string audience, const std::vector<std::string>& holds,
                              std::vector<config::Elsewhere> elsewhere = {}) {
  config::Generation made;
  made.audience = std::move(audience);
  for (const std::string& name : holds) made.components.emplace_back().name = name;
  made.elsewhere = std::move(elsewhere);
  return made;
}

TEST(PlacementTest, WhatIsNotElsewhereIsTheCapabilitysOwn) {
  Placement placement;
  placement.take(generation("fake", {"near"}, {{"far", "b"}}));

  EXPECT_EQ(placement.holder("fake", "near").process, "fake");
  EXPECT_EQ(placement.holder("fake", "unknown").process, "fake");
  EXPECT_EQ(placement.holder("fake", "").process, "fake");
  EXPECT_EQ(placement.holder("other", "far").process, "other");
  EXPECT_EQ(placement.holder("fake", "far").process, "fake.b");
}

TEST(PlacementTest, WhicheverGenerationComesFirstNobodyIsSentWhereTheComponentIsNot) {
  Placement placement;
  placement.take(generation("fake", {"near"}, {{"far", "b"}}));
  EXPECT_FALSE(placement.holder("fake", "far").ready);
  placement.take(generation("fake/b", {"far"}));
  EXPECT_TRUE(placement.holder("fake", "far").ready);

  placement.take(generation("fake/b", {}));
  EXPECT_FALSE(placement.holder("fake", "far").ready);
  placement.take(generation("fake", {"near", "far"}));
  EXPECT_EQ(placement.holder("fake", "far").process, "fake");
  EXPECT_TRUE(placement.holder("fake", "far").ready);
}

TEST(PlacementTest, TwoComponentsThatChangePlacesAreNeverLookedForInTheWrongOne) {
  Placement placement;
  placement.take(generation("fake/x", {"a"}));
  placement.take(generation("fake/y", {"b"}));
  placement.take(generation("fake", {}, {{"a", "x"}, {"b", "y"}}));

  placement.take(generation("fake/x", {"b"}));
  EXPECT_FALSE(placement.holder("fake", "a").ready);
  EXPECT_TRUE(placement.holder("fake", "b").ready);
  placement.take(generation("fake", {}, {{"a", "y"}, {"b", "x"}}));
  EXPECT_FALSE(placement.holder("fake", "a").ready);
  EXPECT_EQ(placement.holder("fake", "b").process, "fake.x");
  placement.take(generation("fake/y", {"a"}));
  EXPECT_EQ(placement.holder("fake", "a").process, "fake.y");
  EXPECT_TRUE(placement.holder("fake", "a").ready);
}

TEST(PlacementTest, TheComponentsOfACompartmentAreThoseWhoseRequestsGoThere) {
  Placement placement;
  placement.take(generation("fake/b", {"far", "leaving"}));
  placement.take(generation("fake", {}, {{"far", "b"}}));

  EXPECT_THAT(placement.components_of("fake.b"), ElementsAre("far"));
  EXPECT_THAT(placement.components_of("fake"), IsEmpty());
}

}  // namespace
}  // namespace caisson::gateway
