#include "gateway/ports_file.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caisson::gateway {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

AppConfig app(std::string id, std::uint16_t http, std::uint16_t grpc) {
  AppConfig config;
  config.id = std::move(id);
  config.http_port = http;
  config.grpc_port = grpc;
  return config;
}

TEST(PortsFileTest, WhatIsWrittenIsRead) {
  const PortsByApp apps = {{"shop", {3500, 50001}}, {"till", {0, 0}}};

  const auto read = parse_ports(to_json(PortsFile{7, 9090, apps}));

  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(*read, apps);
}

TEST(PortsFileTest, WhatIsNoPortsFileIsRefusedByMember) {
  for (const auto& [text, what] : std::map<std::string, std::string>{
           {"", "JSON"},
           {"[]", "apps"},
           {R"({"apps":{}})", "apps"},
           {R"({"apps":[1]})", "id"},
           {R"({"apps":[{"http":1,"grpc":2}]})", "id"},
           {R"({"apps":[{"id":"a","http":65536,"grpc":2}]})", "http"},
           {R"({"apps":[{"id":"a","http":1,"grpc":"x"}]})", "grpc"},
       }) {
    const auto read = parse_ports(text);

    ASSERT_FALSE(read) << text;
    EXPECT_EQ(read.error().code, Errc::kInvalidArgument);
    EXPECT_THAT(read.error().message, HasSubstr(what)) << text;
  }
}

TEST(PortsFileTest, ADirectoryWithoutOneListsNoApps) {
  const auto read = read_ports("/nonexistent");

  ASSERT_TRUE(read) << read.error().message;
  EXPECT_THAT(*read, IsEmpty());
}

TEST(PortsFileTest, OfTheAppsThoseAreServedWhosePortsAreOpenAtTheOther) {
  const PortsByApp other = {
      {"chosen", {41, 42}}, {"fixed", {3500, 50001}}, {"moving", {3501, 50002}}, {"half", {0, 9}}};

  const auto open = with_ports_of(
      other, {app("chosen", 0, 0), app("fixed", 3500, 0), app("moving", 3600, 0), app("half", 0, 0), app("new", 0, 0)});

  ASSERT_THAT(open, SizeIs(2));
  EXPECT_EQ(open[0], app("chosen", 41, 42));
  EXPECT_EQ(open[1], app("fixed", 3500, 50001));
}

}  // namespace
}  // namespace caisson::gateway
