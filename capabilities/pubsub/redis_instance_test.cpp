#include "capabilities/pubsub/redis_instance.hpp"

#include <gtest/gtest.h>

#include <fstream>

#include "bus/testing/temporary_directory.hpp"

namespace caisson::pubsub {
namespace {

class RedisInstanceTest : public ::testing::Test {
 protected:
  std::string claim_once() { return claim_consumer_instance(data_dir_, "orders").name; }

  caisson::testing::TemporaryDirectory directory_;
  std::string data_dir_ = (directory_.path() / "pubsub").string();
};

TEST_F(RedisInstanceTest, ARestartKeepsTheName) {
  const std::string first = claim_once();

  EXPECT_EQ(first.size(), 16U);
  EXPECT_EQ(claim_once(), first);
}

TEST_F(RedisInstanceTest, ANameInUseIsNotGivenTwice) {
  const ConsumerInstance holder = claim_consumer_instance(data_dir_, "orders");

  EXPECT_NE(claim_once(), holder.name);
}

TEST_F(RedisInstanceTest, EachComponentHasItsOwn) {
  EXPECT_NE(claim_once(), claim_consumer_instance(data_dir_, "returns").name);
}

TEST_F(RedisInstanceTest, AFileThatHoldsNoNameIsReplaced) {
  const std::string path = data_dir_ + "/orders.consumer";
  const std::string first = claim_once();
  for (const char* const wrong : {"", "short", "0123456789abcdefX", "0123456789abcdeG", "0123456789ab\n\n\n\n"}) {
    std::ofstream(path) << wrong;
    const std::string name = claim_once();
    EXPECT_EQ(name.size(), 16U);
    EXPECT_EQ(claim_once(), name) << wrong;
  }
}

TEST_F(RedisInstanceTest, WithoutAPlaceToKeepItTheNameIsFreshEachTime) {
  data_dir_.clear();
  EXPECT_NE(claim_once(), claim_once());
  data_dir_ = "/proc/no/such/place";
  EXPECT_NE(claim_once(), claim_once());
}

}  // namespace
}  // namespace caisson::pubsub
