#include "capabilities/invoke/replayed_body.hpp"

#include <gtest/gtest.h>

#include "sdk/rpc.hpp"

namespace caisson::invoke {
namespace {

TEST(MessageCounterTest, CountsWhatIsCutAnywhere) {
  const std::string stream = sdk::rpc_frame("first") + sdk::rpc_frame("") + sdk::rpc_frame(std::string(300, 'x'));
  for (std::size_t step : {std::size_t{1}, std::size_t{3}, std::size_t{7}, stream.size()}) {
    MessageCounter counter;
    for (std::size_t at = 0; at < stream.size(); at += step) counter.feed(std::string_view(stream).substr(at, step));
    EXPECT_EQ(counter.begun(), 3u) << step;
  }
}

TEST(MessageCounterTest, OneByteOfAMessageIsItsBeginning) {
  MessageCounter counter;
  EXPECT_EQ(counter.begun(), 0u);

  counter.feed(sdk::rpc_frame("first"));
  EXPECT_EQ(counter.begun(), 1u);

  counter.feed(std::string_view("\0", 1));
  EXPECT_EQ(counter.begun(), 2u);
}

TEST(ReplayedBodyTest, WhatIsLongerThanTheLimitCannotBeSentAgain) {
  const std::string enough(ReplayedBody::kMostKept, 'x');

  EXPECT_TRUE(ReplayedBody(enough, BodyReader(), false, false).repeatable());
  EXPECT_FALSE(ReplayedBody(enough + "x", BodyReader(), false, false).repeatable());
}

}  // namespace
}  // namespace caisson::invoke
