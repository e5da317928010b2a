#include <gmock/gmock.h>

#include "bus/testing/run.hpp"
#include "capabilities/lock/codec.hpp"
#include "capabilities/lock/testing/lock_rig.hpp"
#include "dapr/proto/runtime/v1/lock.pb.h"

namespace caisson::lock {
namespace {

namespace proto = dapr::proto::runtime::v1;

struct RpcAnswer {
  std::uint16_t code = 0;
  std::string message;
  std::string body;
  std::size_t trailers = 0;
};

class DaprGrpcTest : public testing::LockRig {
 protected:
  DaprGrpcTest() { configure(); }

  RpcAnswer ask(const std::string& method, std::string body, const std::string& app = "shop") {
    caisson::testing::Ask ask;
    ask.method = "POST";
    ask.path = "/dapr.proto.runtime.v1.Dapr/" + method;
    ask.body = std::move(body);
    ask.app = app;
    const auto reply = caisson::testing::run(loop_, gateway_.send(ask));
    EXPECT_TRUE(reply) << reply.error().message;
    const auto& head = reply->head;
    const auto* const trailers = head->trailers();
    return {head->status(), std::string(text(head->message())), std::string(head.payload()),
            trailers == nullptr ? 0 : trailers->size()};
  }

  static std::string lock_request(const std::string& store, const std::string& resource, const std::string& owner,
                                  std::int32_t seconds) {
    proto::TryLockRequest request;
    request.set_store_name(store);
    request.set_resource_id(resource);
    request.set_lock_owner(owner);
    request.set_expiry_in_seconds(seconds);
    return request.SerializeAsString();
  }
  static std::string unlock_request(const std::string& store, const std::string& resource, const std::string& owner) {
    proto::UnlockRequest request;
    request.set_store_name(store);
    request.set_resource_id(resource);
    request.set_lock_owner(owner);
    return request.SerializeAsString();
  }

  bool try_lock(const std::string& owner) {
    const RpcAnswer answer = ask("TryLockAlpha1", lock_request("locks", "order", owner, 60));
    EXPECT_EQ(answer.code, 0) << answer.message;
    proto::TryLockResponse response;
    EXPECT_TRUE(response.ParseFromString(answer.body));
    return response.success();
  }
  int unlock(const std::string& owner) {
    const RpcAnswer answer = ask("UnlockAlpha1", unlock_request("locks", "order", owner));
    EXPECT_EQ(answer.code, 0) << answer.message;
    proto::UnlockResponse response;
    EXPECT_TRUE(response.ParseFromString(answer.body));
    return response.status();
  }
  void expect_refused(const RpcAnswer& answer, Errc code, const std::string& message) {
    EXPECT_EQ(answer.code, static_cast<std::uint16_t>(code));
    EXPECT_EQ(answer.message, message);
    EXPECT_EQ(answer.body, "");
    EXPECT_EQ(answer.trailers, 0U) << "lock errors carry code and message only";
  }
};

TEST_F(DaprGrpcTest, ALockIsTakenOnceAndReleasedByItsOwnerAlone) {
  EXPECT_TRUE(try_lock("a"));
  EXPECT_FALSE(try_lock("b"));
  EXPECT_FALSE(try_lock("a"));
  EXPECT_EQ(unlock("b"), proto::UnlockResponse::LOCK_BELONGS_TO_OTHERS);
  EXPECT_EQ(unlock("a"), proto::UnlockResponse::SUCCESS);
  EXPECT_EQ(unlock("a"), proto::UnlockResponse::LOCK_DOES_NOT_EXIST);
}

TEST_F(DaprGrpcTest, BothApisSeeTheSameLocks) {
  ASSERT_TRUE(try_lock("a"));

  const std::string body = R"({"resourceId":"order","lockOwner":"b","expiryInSeconds":60})";
  EXPECT_EQ(post("/v1.0-alpha1/lock/locks", body).body, R"({"success":false})");
}

TEST_F(DaprGrpcTest, ErrorsHaveDaprsCodesAndWords) {
  expect_refused(ask("TryLockAlpha1", ""), Errc::kInvalidArgument, "ExpiryInSeconds is not positive in lock store ");
  expect_refused(ask("TryLockAlpha1", lock_request("locks", "", "", 1)), Errc::kInvalidArgument,
                 "ResourceId is empty in lock store locks");
  expect_refused(ask("UnlockAlpha1", unlock_request("locks", "r", "")), Errc::kInvalidArgument,
                 "LockOwner is empty in lock store locks");
  expect_refused(ask("UnlockAlpha1", unlock_request("private", "r", "a")), Errc::kInvalidArgument,
                 "lock store private not found");
  expect_refused(ask("TryLockAlpha1", lock_request("locks", "a||b", "a", 1)), Errc::kInternal,
                 "failed to try acquiring lock: input key/keyPrefix 'a||b' can't contain '||'");
  generation_.components.clear();
  configure();
  expect_refused(ask("TryLockAlpha1", lock_request("locks", "", "", 1)), Errc::kFailedPrecondition,
                 "lock store is not configured");
}

TEST_F(DaprGrpcTest, BytesThatAreNoMessageAreRefused) {
  std::string not_utf8 = lock_request("locks", "order", "owner", 60);
  not_utf8.replace(not_utf8.find("owner"), 1, "\xff");
  for (const std::string& body : {std::string("\x0a\xff"), not_utf8}) {
    const RpcAnswer answer = ask("TryLockAlpha1", body);
    EXPECT_EQ(answer.code, static_cast<std::uint16_t>(Errc::kInternal));
    EXPECT_THAT(answer.message, ::testing::StartsWith("grpc: error unmarshalling request"));
  }
  EXPECT_EQ(ask("UnlockAlpha1", "\x0a\xff").code, static_cast<std::uint16_t>(Errc::kInternal));
}

TEST_F(DaprGrpcTest, RequestsAreCountedByHowTheyEnded) {
  const std::string path = (directory_.path() / "counters").string();
  sdk::Counters counters;
  ASSERT_TRUE(counters.open(path));

  count(counters, Action::kTake, std::nullopt, true);
  count(counters, Action::kTake, std::nullopt, false);
  count(counters, Action::kRelease, Refused{Refusal::kFailed, ""}, false);
  count(counters, Action::kRelease, Refused{Refusal::kMalformed, ""}, false);

  const auto read = sdk::read_counters(path);
  ASSERT_TRUE(read);
  std::vector<std::string> labels;
  for (const sdk::CounterValue& value : *read) labels.push_back(value.labels);
  EXPECT_THAT(labels, ::testing::ElementsAre(
                          R"(operation="lock",result="done")", R"(operation="lock",result="not_done")",
                          R"(operation="unlock",result="failed")", R"(operation="unlock",result="refused")"));
}

}  // namespace
}  // namespace caisson::lock
