#include "gateway/rendezvous.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

namespace caisson::gateway {
namespace {

constexpr int kKeys = 10'000;

std::string owner_of(const std::string& key, const std::vector<std::string>& instances) {
  std::string owner;
  std::uint64_t most = 0;
  for (const std::string& instance : instances) {
    const std::uint64_t own = weight(fnv1a(instance), fnv1a(key));
    if (owner.empty() || own > most) owner = instance;
    most = std::max(most, own);
  }
  return owner;
}

std::string key_of(int number) { return "order-" + std::to_string(number); }

const std::vector<std::string> kFive = {"state", "state-2", "state-3", "state-4", "state-5"};

TEST(RendezvousTest, EachOfFiveInstancesOwnsAFifthOfTheKeysWithinATenth) {
  std::map<std::string, int> shares;
  for (int i = 0; i < kKeys; ++i) ++shares[owner_of(key_of(i), kFive)];

  ASSERT_EQ(shares.size(), 5U);
  for (const auto& [instance, share] : shares) EXPECT_NEAR(share, kKeys / 5, kKeys / 50) << instance;
}

TEST(RendezvousTest, AnInstanceThatGoesMovesItsOwnKeysOnly) {
  std::vector<std::string> four = kFive;
  four.erase(four.begin() + 1);

  int moved = 0;
  for (int i = 0; i < kKeys; ++i) {
    const std::string before = owner_of(key_of(i), kFive);
    const std::string after = owner_of(key_of(i), four);
    if (before == "state-2") {
      ++moved;
    } else {
      EXPECT_EQ(after, before) << key_of(i);
    }
  }
  EXPECT_NEAR(moved, kKeys / 5, kKeys / 50);
}

// Another gateway, of another version too, must find the same.
TEST(RendezvousTest, TheHashesAreTheSameEverywhere) {
  EXPECT_EQ(fnv1a(""), 0xcbf29ce484222325U);
  EXPECT_EQ(fnv1a("foobar"), 0x85944171f73967e8U);
  EXPECT_EQ(mixed(0), 0U);
  EXPECT_EQ(mixed(1), 0xb456bcfc34c2cb2cU);
  EXPECT_EQ(owner_of("cart", kFive), owner_of("cart", {kFive.rbegin(), kFive.rend()}));
}

}  // namespace
}  // namespace caisson::gateway
