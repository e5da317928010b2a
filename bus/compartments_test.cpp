#include "bus/compartments.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caisson {
namespace {

using ::testing::HasSubstr;

TEST(CompartmentsTest, AListIsReadAsItWasWritten) {
  const std::vector<Compartment> written = {{"state", "b", {"state.sqlite"}, {"cart", "\"odd\" name"}},
                                            {"pubsub", "kafka", {"pubsub.kafka"}, {}}};

  const auto read = parse_compartments(to_json(written));

  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, written);
}

TEST(CompartmentsTest, NamesOfProcessAndAudienceLeadToOneAnother) {
  const Compartment compartment{"state", "b", {}, {}};

  EXPECT_EQ(process_of(compartment.audience()), compartment.process());
  EXPECT_EQ(audience_of(compartment.process()), compartment.audience());
  EXPECT_EQ(process_of("state"), "state");
  EXPECT_EQ(capability_of("state/b"), "state");
  EXPECT_EQ(capability_of("state.b"), "state");
  EXPECT_EQ(compartment_of("state/b"), "b");
  EXPECT_EQ(compartment_of("state"), "");
}

TEST(CompartmentsTest, ANameThatCouldLeaveItsDirectoryIsNone) {
  EXPECT_TRUE(is_compartment_name("kafka-2"));
  for (const char* name : {"", "a/b", "..", "a.b", "Kafka", "a b", "aaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    EXPECT_FALSE(is_compartment_name(name)) << name;
  }
}

TEST(CompartmentsTest, WhatIsNoListOfCompartmentsIsRefusedWithTheMember) {
  const std::pair<const char*, const char*> cases[] = {
      {"", "no JSON list"},
      {"{}", "no JSON list"},
      {"[", "no JSON list"},
      {"[1]", "an entry is no object"},
      {R"([{"capability":"state"}])", "name must be"},
      {R"([{"capability":"../x","name":"b"}])", "capability is no name"},
      {R"([{"capability":"state","name":"../b"}])", "name must be"},
      {R"([{"capability":"state","name":1}])", "name is not a string"},
      {R"([{"capability":"state","name":"b","types":"x"}])", "types"},
      {R"([{"capability":"state","name":"b"},{"capability":"state","name":"b"}])", "'state.b' stands there twice"},
  };
  for (const auto& [json, why] : cases) {
    const auto read = parse_compartments(json);
    ASSERT_FALSE(read) << json;
    EXPECT_THAT(read.error().message, HasSubstr(why)) << json;
  }
}

TEST(CompartmentsTest, MoreThanASystemShouldRunAreRefused) {
  std::vector<Compartment> many;
  for (std::size_t i = 0; i <= kMostCompartments; ++i) many.push_back({"state", "c" + std::to_string(i), {}, {}});

  EXPECT_FALSE(parse_compartments(to_json(many)));
  many.pop_back();
  EXPECT_TRUE(parse_compartments(to_json(many)));
}

}  // namespace
}  // namespace caisson
