#include "sdk/counters.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>

namespace caisson::sdk {
namespace {

class CountersTest : public ::testing::Test {
 protected:
  CountersTest() {
    char pattern[] = "/tmp/caisson-counters-XXXXXX";
    folder_ = ::mkdtemp(pattern);
    path_ = folder_ + "/c";
  }
  ~CountersTest() override { std::filesystem::remove_all(folder_); }

  std::string folder_;
  std::string path_;
};

TEST_F(CountersTest, AReaderSeesNamesLabelsAndValues) {
  Counters counters;
  ASSERT_TRUE(counters.open(path_));
  counters.counter("requests_total", "op=\"get\"").add(3);
  counters.gauge("depth").set(7);

  const auto read = read_counters(path_);

  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ((*read)[0].name, "requests_total");
  EXPECT_EQ((*read)[0].labels, "op=\"get\"");
  EXPECT_EQ((*read)[0].value, 3u);
  EXPECT_FALSE((*read)[0].is_gauge);
  EXPECT_EQ((*read)[1].value, 7u);
  EXPECT_TRUE((*read)[1].is_gauge);
}

TEST_F(CountersTest, TheSameNameAndLabelsAreTheSameCounter) {
  Counters counters;
  ASSERT_TRUE(counters.open(path_));

  counters.counter("a").add();
  counters.counter("a").add();

  EXPECT_EQ(read_counters(path_)->at(0).value, 2u);
}

TEST_F(CountersTest, LabelsWithoutEndFillTheTableAndNothingElse) {
  Counters counters;
  ASSERT_TRUE(counters.open(path_));

  for (std::size_t i = 0; i < 2 * Counters::kSlots; ++i) {
    counters.counter("c", "k=\"" + std::to_string(i) + "\"").add();
  }

  EXPECT_EQ(read_counters(path_)->size(), Counters::kSlots);
}

TEST_F(CountersTest, ATruncatedOrForeignFileIsAnErrorAndNoCrash) {
  Counters counters;
  ASSERT_TRUE(counters.open(path_));
  std::filesystem::resize_file(path_, 100);
  EXPECT_EQ(read_counters(path_).error().code, Errc::kDataLoss);

  std::ofstream(path_) << std::string(200'000, 'x');

  EXPECT_EQ(read_counters(path_).error().code, Errc::kDataLoss);
}

TEST_F(CountersTest, ASlotThatClaimsMoreTextThanItHasIsRefused) {
  Counters counters;
  ASSERT_TRUE(counters.open(path_));
  counters.counter("a").add();
  std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(64 + 10);
  file.write("\xFF\xFF", 2);
  file.close();

  EXPECT_EQ(read_counters(path_).error().code, Errc::kDataLoss);
}

TEST_F(CountersTest, WithoutAFileCountingDoesNothing) {
  Counters counters;

  counters.counter("a").add();

  EXPECT_FALSE(read_counters(path_));
}

}  // namespace
}  // namespace caisson::sdk
