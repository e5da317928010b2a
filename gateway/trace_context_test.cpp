#include "gateway/trace_context.hpp"

#include <gtest/gtest.h>

namespace caisson::gateway {
namespace {

constexpr std::string_view kParent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(TraceContextTest, AChildKeepsTheTraceAndGetsASpanOfItsOwn) {
  Tracer tracer(0.0001);

  const TraceContext child = tracer.begin(kParent);

  EXPECT_TRUE(is_traceparent(child.traceparent()));
  EXPECT_EQ(child.traceparent().substr(0, 36), kParent.substr(0, 36));
  EXPECT_NE(child.traceparent().substr(36, 16), kParent.substr(36, 16));
  EXPECT_TRUE(child.sampled());
}

TEST(TraceContextTest, AnInvalidParentIsReplacedByANewTrace) {
  Tracer tracer(1);
  for (const std::string_view bad : {"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
                                     "00-00000000000000000000000000000000-b7ad6b7169203331-01",
                                     "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
                                     "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
                                     "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
                                     "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"}) {
    EXPECT_FALSE(is_traceparent(bad)) << bad;
    const TraceContext made = tracer.begin(bad);
    EXPECT_TRUE(is_traceparent(made.traceparent()));
    EXPECT_NE(made.traceparent().substr(3, 32), kParent.substr(3, 32));
    EXPECT_TRUE(made.sampled());
  }
}

TEST(TraceContextTest, ALaterVersionMayHaveMoreFields) {
  EXPECT_TRUE(is_traceparent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"));
}

TEST(TraceContextTest, BinaryFormIsReadBackAndNothingElse) {
  Tracer tracer(1);
  const TraceContext context = tracer.begin(kParent);
  const std::string binary = binary_trace(context);
  ASSERT_EQ(traceparent_of_binary(binary), context.traceparent());
  EXPECT_EQ(traceparent_of_binary(binary.substr(1)), "");
  for (const std::size_t number : {0U, 1U, 18U, 27U}) {  // the version and the fields' numbers
    std::string other = binary;
    other[number] = '\7';
    EXPECT_EQ(traceparent_of_binary(other), "") << number;
  }
}

TEST(TraceContextTest, WithRateZeroThereIsNoTrace) {
  Tracer tracer(0);
  EXPECT_TRUE(tracer.begin(kParent).traceparent().empty());
}

TEST(TraceContextTest, TheRateChoosesAboutThatShareOfNewTraces) {
  Tracer tracer(0.25);
  int sampled = 0;
  for (int i = 0; i < 4000; ++i) sampled += tracer.begin({}).sampled() ? 1 : 0;
  EXPECT_GT(sampled, 700);
  EXPECT_LT(sampled, 1300);
}

TEST(BaggageTest, MembersWithPropertiesAreValidAndBrokenOnesAreNot) {
  for (const std::string_view good : {"a=b", "a=b,c=d;p=q;flag", " key = value ; prop , x=%20", "a="}) {
    EXPECT_TRUE(is_baggage(good)) << good;
  }
  for (const std::string_view bad : {"", "a", "=b", "a=b,,c=d", "a=b c", "a=\"b\"", "k\x01=v"}) {
    EXPECT_FALSE(is_baggage(bad)) << bad;
  }
  std::string many = "a=b";
  for (int i = 0; i < 64; ++i) many += ",a=b";
  EXPECT_FALSE(is_baggage(many));
}

}  // namespace
}  // namespace caisson::gateway
