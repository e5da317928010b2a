#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capabilities/invoke/testing/invoke_rig.hpp"
#include "dapr/proto/common/v1/common.pb.h"
#include "dapr/proto/runtime/v1/invoke.pb.h"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "sdk/base64.hpp"
#include "sdk/testing/rpc_client.hpp"

namespace caisson::invoke {
namespace {

using caisson::testing::Answer;
using caisson::testing::Ask;
using ::testing::HasSubstr;
namespace common = ::dapr::proto::common::v1;
namespace runtime = ::dapr::proto::runtime::v1;

class InvokeGrpcTest : public InvokeRig {
 protected:
  static runtime::InvokeServiceRequest request(std::string id, std::string method = "orders/1",
                                               common::HTTPExtension::Verb verb = common::HTTPExtension::POST) {
    runtime::InvokeServiceRequest request;
    request.set_id(std::move(id));
    request.mutable_message()->set_method(std::move(method));
    request.mutable_message()->mutable_http_extension()->set_verb(verb);
    request.mutable_message()->mutable_data()->set_value("two apples");
    request.mutable_message()->set_content_type("text/plain");
    return request;
  }

  Answer ask(const runtime::InvokeServiceRequest& request,
             std::vector<std::pair<std::string, std::string>> metadata = {}) {
    return ask_bytes(request.SerializeAsString(), std::move(metadata));
  }
  Answer ask_bytes(std::string bytes, std::vector<std::pair<std::string, std::string>> metadata = {}) {
    Ask ask = post("/dapr.proto.runtime.v1.Dapr/InvokeService", std::move(bytes));
    ask.headers = std::move(metadata);
    return gateway_.ask(ask);
  }

  static common::InvokeResponse response(const Answer& answer) {
    common::InvokeResponse message;
    EXPECT_TRUE(message.ParseFromString(answer.body));
    return message;
  }
  static google::rpc::ErrorInfo error_info(const Answer& answer) {
    google::rpc::ErrorInfo info;
    for (const auto& [name, value] : answer.trailers) {
      google::rpc::Status status;
      EXPECT_TRUE(status.ParseFromString(sdk::base64_decode(value).value_or("")));
      if (status.details_size() == 1) {
        EXPECT_TRUE(info.ParseFromString(status.details(0).value()));
      }
    }
    return info;
  }
};

TEST_F(InvokeGrpcTest, AnHttpAppGetsVerbPathQueryBodyAndMetadataAsHeaders) {
  auto asked = request("cart", "orders//./1");
  asked.mutable_message()->mutable_http_extension()->set_querystring("a=1");
  Answer from_app = status(201, "done");
  from_app.headers = {{"Content-Type", "text/x-own"}, {"X-Own", "back"}, {"Date", "today"}};
  script_ = {from_app};

  const Answer answer = ask(asked, {{"x-mine", "1"},
                                    {"grpc-accept-encoding", "gzip"},
                                    {":authority", "here:50001"},
                                    {"x-blob-bin", "AAE="},
                                    {"dapr-api-token", "secret"},
                                    {"content-length", "7"}});

  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].app, "cart");
  EXPECT_EQ(seen_[0].method, "POST");
  EXPECT_EQ(seen_[0].path, "/orders/1");
  EXPECT_EQ(seen_[0].query, "a=1");
  EXPECT_EQ(seen_[0].body, "two apples");
  EXPECT_EQ(seen_[0].header("content-type"), "text/plain");
  EXPECT_EQ(seen_[0].header("x-mine"), "1");
  EXPECT_EQ(seen_[0].header("dapr-grpc-accept-encoding"), "gzip");
  EXPECT_EQ(seen_[0].header("dapr-authority"), "here:50001");
  EXPECT_EQ(seen_[0].header(":authority"), "");
  EXPECT_EQ(seen_[0].header("x-blob-bin"), "");
  EXPECT_EQ(seen_[0].header("content-length"), "");
  EXPECT_EQ(seen_[0].header("dapr-api-token"), "");
  EXPECT_EQ(seen_[0].header("dapr-caller-app-id"), "shop");
  EXPECT_EQ(answer.status, 0);
  EXPECT_EQ(response(answer).data().value(), "done");
  EXPECT_EQ(response(answer).content_type(), "text/x-own");
  EXPECT_EQ(answer.header("dapr-http-status"), "201");
  EXPECT_EQ(answer.header("x-own"), "back");
  EXPECT_EQ(answer.header("dapr-date"), "today");
  EXPECT_EQ(answer.header("date"), "");
}

TEST_F(InvokeGrpcTest, QuirkARefusalOrRedirectOfAnHttpAppBecomesAStatusWithTheBeginningOfItsBody) {
  const struct {
    std::uint16_t http;
    Errc code;
    const char* text;
  } rows[] = {{302, Errc::kUnknown, "Found"},
              {400, Errc::kInternal, "Bad Request"},
              {401, Errc::kUnauthenticated, "Unauthorized"},
              {403, Errc::kPermissionDenied, "Forbidden"},
              {404, Errc::kNotFound, "Not Found"},
              {408, Errc::kCancelled, "Request Timeout"},
              {409, Errc::kAlreadyExists, "Conflict"},
              {418, Errc::kUnknown, "I'm a teapot"},
              {429, Errc::kResourceExhausted, "Too Many Requests"},
              {500, Errc::kUnknown, "Internal Server Error"},
              {501, Errc::kUnimplemented, "Not Implemented"},
              {503, Errc::kUnavailable, "Service Unavailable"},
              {504, Errc::kDeadlineExceeded, "Gateway Timeout"}};
  for (const auto& row : rows) {
    Answer from_app = status(row.http, std::string(62, 'x') + "\u00e9 and more");
    from_app.headers = {{"x-own", "back"}};
    script_ = {from_app};

    const Answer answer = ask(request("cart"));

    EXPECT_EQ(answer.status, static_cast<std::uint16_t>(row.code)) << row.http;
    EXPECT_EQ(answer.message, row.text);
    EXPECT_EQ(answer.body, "");
    EXPECT_EQ(answer.header("dapr-http-status"), std::to_string(row.http));
    EXPECT_EQ(answer.header("x-own"), "back");
    const auto info = error_info(answer);
    EXPECT_EQ(info.reason(), row.text);
    EXPECT_EQ(info.domain(), "dapr.io");
    EXPECT_EQ(info.metadata().at("http.code"), std::to_string(row.http));
    EXPECT_EQ(info.metadata().at("http.error_message"), std::string(62, 'x'));  // not half a character
  }
}

TEST_F(InvokeGrpcTest, ARefusalWithABodyThatIsNoTextHasNoneInItsDetails) {
  script_ = {status(500, "\xff\xfe")};

  const auto info = error_info(ask(request("cart")));

  EXPECT_EQ(info.metadata().at("http.code"), "500");
  EXPECT_FALSE(info.metadata().contains("http.error_message"));
}

TEST_F(InvokeGrpcTest, AnHttpAppCannotBeCalledWithoutAVerb) {
  for (const auto verb :
       {common::HTTPExtension::NONE, common::HTTPExtension::CONNECT, static_cast<common::HTTPExtension::Verb>(77)}) {
    const Answer answer = ask(request("cart", "x", verb));
    EXPECT_EQ(answer.status, static_cast<std::uint16_t>(Errc::kInternal)) << verb;
    EXPECT_THAT(answer.message, HasSubstr("verb"));
  }
  EXPECT_TRUE(seen_.empty());
}

TEST_F(InvokeGrpcTest, AGrpcAppGetsOnInvokeAndItsAnswerIsPassedOn) {
  common::InvokeResponse from_app;
  from_app.mutable_data()->set_value("4");
  from_app.set_content_type("text/plain");
  script_ = {status(0, from_app.SerializeAsString())};
  script_[0].headers = {{"x-own", "back"}};
  script_[0].trailers = {{"x-last", "bye"}};

  const Answer answer = ask(request("calc", "/Add", common::HTTPExtension::NONE), {{"x-mine", "1"}});

  ASSERT_EQ(seen_.size(), 1u);
  EXPECT_EQ(seen_[0].path, "/dapr.proto.runtime.v1.AppCallback/OnInvoke");
  EXPECT_EQ(seen_[0].header("content-type"), "application/grpc");
  EXPECT_EQ(seen_[0].header("x-mine"), "1");
  EXPECT_EQ(seen_[0].header("dapr-caller-app-id"), "shop");
  common::InvokeRequest got;
  ASSERT_TRUE(got.ParseFromString(seen_[0].body));
  EXPECT_EQ(got.method(), "/Add");
  EXPECT_EQ(got.data().value(), "two apples");
  EXPECT_EQ(got.content_type(), "text/plain");
  EXPECT_EQ(answer.status, 0);
  EXPECT_EQ(answer.body, script_[0].body);
  EXPECT_EQ(answer.header("x-own"), "back");
  EXPECT_EQ(answer.header("dapr-http-status"), "");
  EXPECT_THAT(answer.trailers, ::testing::ElementsAre(std::pair<std::string, std::string>("x-last", "bye")));
}

TEST_F(InvokeGrpcTest, AGrpcAppsStatusIsPassedOnWithItsDetails) {
  script_ = {status(9)};
  script_[0].message = "not now";
  script_[0].trailers = {{"grpc-status-details-bin", "CAk="}};

  const Answer answer = ask(request("calc"));

  EXPECT_EQ(answer.status, 9);
  EXPECT_EQ(answer.message, "not now");
  EXPECT_EQ(answer.trailers, script_[0].trailers);
}

TEST_F(InvokeGrpcTest, QuirkWhateverCannotBeReachedIsInternal) {
  const Answer unknown = ask(request("nobody"));
  EXPECT_EQ(unknown.status, static_cast<std::uint16_t>(Errc::kInternal));
  EXPECT_THAT(unknown.message, HasSubstr("id: nobody"));

  script_ = {error(Errc::kUnknown, "the connection broke")};
  const Answer broken = ask(request("cart"));
  EXPECT_EQ(broken.status, static_cast<std::uint16_t>(Errc::kInternal));
  EXPECT_THAT(broken.message, HasSubstr("the connection broke"));
}

TEST_F(InvokeGrpcTest, BadRequestsNameTheField) {
  runtime::InvokeServiceRequest no_message;
  no_message.set_id("cart");

  EXPECT_EQ(ask(request("")).message, "id: may not be empty");
  EXPECT_THAT(ask(no_message).message, HasSubstr("message"));
  for (const char* method : {"a?b", "a#b", "a%00b", "a%0db", "a%4"}) {
    const Answer answer = ask(request("cart", method));
    EXPECT_EQ(answer.status, static_cast<std::uint16_t>(Errc::kInvalidArgument)) << method;
    EXPECT_THAT(answer.message, HasSubstr("message.method"));
  }
  EXPECT_EQ(ask_bytes("\xff\xff\xff").status, static_cast<std::uint16_t>(Errc::kInternal));
  EXPECT_TRUE(seen_.empty());
}

TEST_F(InvokeGrpcTest, RetriesOfAPolicyRepeatAGrpcAppsFailures) {
  configure_retry(2, {}, "calc");
  script_ = {status(13), status(0)};

  const Answer answer =
      ask_over_time(post("/dapr.proto.runtime.v1.Dapr/InvokeService", request("calc").SerializeAsString()));

  EXPECT_EQ(answer.status, 0);
  ASSERT_EQ(seen_.size(), 2u);
  EXPECT_EQ(seen_[1].body, seen_[0].body);
}

// --- HTTP callers of gRPC apps ---

TEST_F(InvokeGrpcTest, HttpToAGrpcAppIsOnInvokeWithTheVerbAndQuery) {
  common::InvokeResponse from_app;
  from_app.mutable_data()->set_value("{\"sum\":4}");
  script_ = {status(0, from_app.SerializeAsString())};
  script_[0].headers = {{"x-own", "back"}, {"x-own-bin", "AAE="}};
  Ask ask = post("/v1.0/invoke/calc/method/add/2", "body");
  ask.method = "PUT";
  ask.query = "with=2";
  ask.headers = {{"X-Mine", "1"}, {"Accept", "text/x"}};

  const Answer answer = gateway_.ask(ask);

  common::InvokeRequest got;
  ASSERT_EQ(seen_.size(), 1u);
  ASSERT_TRUE(got.ParseFromString(seen_[0].body));
  EXPECT_EQ(got.method(), "add/2");
  EXPECT_EQ(got.http_extension().verb(), common::HTTPExtension::PUT);
  EXPECT_EQ(got.http_extension().querystring(), "with=2");
  EXPECT_EQ(got.data().value(), "body");
  EXPECT_EQ(got.content_type(), "application/json") << "what a gRPC app is told where the caller says nothing";
  EXPECT_EQ(seen_[0].header("x-mine"), "1");
  EXPECT_EQ(seen_[0].header("dapr-accept"), "text/x");
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "{\"sum\":4}");
  EXPECT_EQ(answer.header("content-type"), "application/json");
  EXPECT_EQ(answer.header("x-own"), "back");
  EXPECT_EQ(answer.header("x-own-bin"), "");
}

TEST_F(InvokeGrpcTest, AStreamedHttpBodyReachesAGrpcAppAsOneMessage) {
  script_ = {status(0)};
  auto open = gateway_.open(post("/v1.0/invoke/calc/method/add"), "first ");
  ASSERT_TRUE(open);
  ASSERT_TRUE(testing::run(loop_, open->body.write(Buffer(std::string("second")), Deadline::never())));
  ASSERT_TRUE(testing::run(loop_, open->body.finish(Deadline::never())));
  const auto reply = testing::run(loop_, open->reply(Deadline::never()));

  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->head->status(), 200);
  common::InvokeRequest got;
  ASSERT_TRUE(got.ParseFromString(seen_[0].body));
  EXPECT_EQ(got.data().value(), "first second");
}

TEST_F(InvokeGrpcTest, AGrpcAppsStatusBecomesHttpsWithTheStatusAsJson) {
  const std::pair<int, int> rows[] = {{1, 408},  {2, 500},  {3, 400},  {4, 504},  {5, 404},  {6, 409},
                                      {7, 403},  {8, 429},  {9, 400},  {10, 409}, {11, 400}, {12, 501},
                                      {13, 500}, {14, 503}, {15, 500}, {16, 401}};
  for (const auto& [code, http] : rows) {
    script_ = {status(static_cast<std::uint16_t>(code))};
    script_[0].message = "its \"words\"";

    const Answer answer = gateway_.ask(post("/v1.0/invoke/calc/method/add"));

    EXPECT_EQ(answer.status, http) << code;
    EXPECT_EQ(answer.body, "{\"code\":" + std::to_string(code) + ",\"message\":\"its \\\"words\\\"\"}");
    EXPECT_EQ(answer.header("content-type"), "application/json");
  }
}

TEST_F(InvokeGrpcTest, AGrpcAppThatAnswersNonsenseIs500) {
  script_ = {status(0, "\xff\xff\xff")};

  const Answer answer = gateway_.ask(post("/v1.0/invoke/calc/method/add"));

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("no InvokeResponse"));
}

}  // namespace
}  // namespace caisson::invoke
