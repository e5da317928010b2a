#include "sdk/request.hpp"

#include <gtest/gtest.h>

#include "sdk/http_reply.hpp"

namespace caisson::sdk {
namespace {

TEST(RequestTest, AQueryIsDecodedInOrder) {
  const auto query = parse_query("key=a%20b&key=c+d&flag&=x");

  ASSERT_EQ(query.size(), 4u);
  EXPECT_EQ(query[0], (std::pair<std::string, std::string>("key", "a b")));
  EXPECT_EQ(query[1].second, "c d");
  EXPECT_EQ(query[2].second, "");
  EXPECT_EQ(query[3].first, "");
}

TEST(RequestTest, OfMetadataParametersTheFirstCounts) {
  const auto metadata = query_metadata("metadata.ttlInSeconds=5&metadata.ttlInSeconds=9&Metadata.x=1");

  EXPECT_EQ(metadata.size(), 1u);
  EXPECT_EQ(metadata.at("ttlInSeconds"), "5");
}

TEST(RequestTest, ABrokenEscapeDoesNotDecode) {
  EXPECT_FALSE(percent_decode("%4", false));
  EXPECT_FALSE(percent_decode("%zz", false));
  EXPECT_EQ(percent_decode("%2F+", false), "/+");
}

TEST(HttpReplyTest, AnErrorWithoutReasonHasNoDetails) {
  const ApiError error{.status = 400, .code = "ERR_X", .message = "no \"x\""};

  const Response response = error_response(error);

  EXPECT_EQ(response.status, 400);
  EXPECT_EQ(response.body.view(), R"({"errorCode":"ERR_X","message":"no \"x\""})");
}

TEST(HttpReplyTest, DetailsComeInDaprsOrder) {
  const ApiError error{.status = 400,
                       .code = "E",
                       .message = "m",
                       .reason = "R",
                       .resource_type = "state",
                       .resource_name = "s",
                       .violation_field = "k",
                       .violation = "v"};

  const std::string body = error_response(error).body.to_string();

  const auto bad_request = body.find("BadRequest");
  const auto resource = body.find("ResourceInfo");
  const auto info = body.find("ErrorInfo");
  EXPECT_LT(bad_request, resource);
  EXPECT_LT(resource, info);
  EXPECT_NE(info, std::string::npos);
  EXPECT_NE(body.find(R"("metadata":null)"), std::string::npos);
}

}  // namespace
}  // namespace caisson::sdk
