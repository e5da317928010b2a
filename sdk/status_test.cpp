#include "sdk/status.hpp"

#include <gtest/gtest.h>

namespace caisson::sdk {
namespace {

Status a_status() {
  Status status;
  status.capability = "ledger";
  status.instance = "ledger-1";
  status.version = "0.1.0";
  status.draining = true;
  ComponentStatus up{"books", "ledger.sqlite", "v1", ComponentState::kUp, "", {"ETAG", "TTL"}, false, false, {"shop"}};
  ComponentStatus down{"archive", "ledger.tape", "v2", ComponentState::kDown, "no \"tape\"", {}, true, false, {}};
  status.components = {up, down};
  status.metadata = R"({"lists":[{"name":"a"}]})";
  return status;
}

TEST(StatusTest, WhatIsWrittenIsReadBackAlike) {
  const Status before = a_status();

  const Result<Status> after = parse_status(to_json(before));

  ASSERT_TRUE(after) << after.error().message;
  EXPECT_EQ(to_json(*after), to_json(before));
  ASSERT_EQ(after->components.size(), 2U);
  EXPECT_EQ(after->components[0].state, ComponentState::kUp);
  EXPECT_EQ(after->components[0].capabilities, (std::vector<std::string>{"ETAG", "TTL"}));
  EXPECT_EQ(after->components[0].scopes, (std::vector<std::string>{"shop"}));
  EXPECT_EQ(after->components[1].state, ComponentState::kDown);
  EXPECT_EQ(after->components[1].reason, "no \"tape\"");
  EXPECT_TRUE(after->components[1].ignore_errors);
  EXPECT_TRUE(after->draining);
  EXPECT_EQ(after->metadata, R"({"lists":[{"name":"a"}]})");
}

TEST(StatusTest, AnEmptyObjectIsAStatusWithoutComponents) {
  const Result<Status> status = parse_status("{}");

  ASSERT_TRUE(status) << status.error().message;
  EXPECT_TRUE(status->components.empty());
  EXPECT_EQ(status->metadata, "{}");
}

/// Text from another process that is no status, and the member its error must name.
struct Refused {
  const char* json;
  const char* named;
};
class StatusRefusesTest : public ::testing::TestWithParam<Refused> {};

TEST_P(StatusRefusesTest, NamesTheMember) {
  const Result<Status> status = parse_status(GetParam().json);

  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Errc::kInvalidArgument);
  EXPECT_NE(status.error().message.find(GetParam().named), std::string::npos) << status.error().message;
}

INSTANTIATE_TEST_SUITE_P(
    All, StatusRefusesTest,
    testing::Values(Refused{"", "not a JSON object"}, Refused{"[]", "not a JSON object"},
                    Refused{R"({"capability":1})", "capability"}, Refused{R"({"draining":"no"})", "draining"},
                    Refused{R"({"components":{}})", "components"}, Refused{R"({"components":[1]})", "components"},
                    Refused{R"({"components":[{"state":"UP"}]})", "components.name"},
                    Refused{R"({"components":[{"name":"a","state":"SIDEWAYS"}]})", "components.state"},
                    Refused{R"({"components":[{"name":"a","state":"UP","scopes":[1]}]})", "scopes"},
                    Refused{R"({"metadata":[]})", "metadata"}));

}  // namespace
}  // namespace caisson::sdk
