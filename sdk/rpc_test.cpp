#include "sdk/rpc.hpp"

#include <gtest/gtest.h>

#include "bus/event_loop.hpp"
#include "bus/gzip.hpp"
#include "bus/testing/run.hpp"
#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"
#include "sdk/base64.hpp"

namespace caisson::sdk {
namespace {

TEST(RpcStatusTest, DetailsAreInTheOrderDaprGivesThem) {
  ApiError error;
  error.message = "no such key";
  error.reason = "DAPR_STATE_ILLEGAL_KEY";
  error.resource_type = "state";
  error.resource_name = "store";
  error.violation_field = "a||b";
  error.violation = "must not hold ||";
  error.info = {{"appid", "shop"}};

  const Response response = rpc_response(rpc_status(Errc::kInvalidArgument, error));

  EXPECT_EQ(response.status, 3);
  EXPECT_EQ(response.message, "no such key");
  ASSERT_EQ(response.trailers.size(), 1U);
  EXPECT_EQ(response.trailers[0].first, "grpc-status-details-bin");
  google::rpc::Status status;
  ASSERT_TRUE(status.ParseFromString(*base64_decode(response.trailers[0].second)));
  EXPECT_EQ(status.code(), 3);
  ASSERT_EQ(status.details_size(), 3);
  EXPECT_EQ(status.details(0).type_url(), "type.googleapis.com/google.rpc.BadRequest");
  EXPECT_EQ(status.details(1).type_url(), "type.googleapis.com/google.rpc.ResourceInfo");
  google::rpc::ErrorInfo info;
  ASSERT_TRUE(info.ParseFromString(status.details(2).value()));
  EXPECT_EQ(info.reason(), "DAPR_STATE_ILLEGAL_KEY");
  EXPECT_EQ(info.domain(), "dapr.io");
  EXPECT_EQ(info.metadata().at("appid"), "shop");
}

TEST(RpcStatusTest, WithoutAReasonThereAreNoDetails) {
  ApiError error;
  error.message = "plain";
  EXPECT_TRUE(rpc_response(rpc_status(Errc::kInternal, error)).trailers.empty());
}

TEST(RpcMessageTest, BytesThatAreNoMessageAreInternalAsInGo) {
  google::rpc::Status status;
  EXPECT_TRUE(parse_message("", status));
  EXPECT_EQ(parse_message("\x0a\xff", status).error().code, Errc::kInternal);
  EXPECT_EQ(parse_message(std::string_view("\x12\x01\xff", 3), status).error().code, Errc::kInternal) << "not UTF-8";
}

TEST(RpcMessageTest, AnAnswerThatFitsIntoNoFrameIsRefused) {
  google::rpc::Status status;
  status.set_message(std::string(kMaxPayload, 'x'));
  const Response response = rpc_response(status);
  EXPECT_EQ(response.status, static_cast<int>(Errc::kResourceExhausted));
  EXPECT_EQ(response.body.size(), 0U);
}

/// All messages of a stream that came whole with its head.
Task<Result<std::vector<std::string>>> messages_of(std::string bytes, std::string encoding) {
  RpcReader reader(std::move(bytes), BodyReader(), std::move(encoding), 100);
  std::vector<std::string> messages;
  while (true) {
    CO_ASSIGN(std::optional<std::string> message, co_await reader.next(Deadline::never()));
    if (!message) co_return messages;
    messages.push_back(*std::move(message));
  }
}

class RpcReaderTest : public ::testing::Test {
 protected:
  Result<std::vector<std::string>> read(std::string bytes, std::string encoding = {}) {
    return caisson::testing::run(loop_, messages_of(std::move(bytes), std::move(encoding)));
  }
  SystemClock clock_;
  EventLoop loop_{clock_};
};

TEST_F(RpcReaderTest, MessagesAreTakenApart) {
  const auto messages = read(rpc_frame("one") + rpc_frame("") + rpc_frame("three"));
  ASSERT_TRUE(messages);
  EXPECT_EQ(*messages, (std::vector<std::string>{"one", "", "three"}));
}

TEST_F(RpcReaderTest, APackedMessageIsUnpacked) {
  std::string frame = rpc_frame(gzip("packed"));
  frame[0] = 1;
  EXPECT_EQ(*read(frame, "gzip"), std::vector<std::string>{"packed"});
  EXPECT_EQ(read(frame, "snappy").error().code, Errc::kUnimplemented);
}

TEST_F(RpcReaderTest, ABrokenStreamIsAnError) {
  EXPECT_EQ(read(rpc_frame(std::string(101, 'x'))).error().code, Errc::kResourceExhausted);
  EXPECT_EQ(read(rpc_frame("cut").substr(0, 6)).error().code, Errc::kInternal);
  EXPECT_EQ(read("abc").error().code, Errc::kInternal);
}

}  // namespace
}  // namespace caisson::sdk
