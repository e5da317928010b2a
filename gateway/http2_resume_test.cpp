// Streams that outlive the instance of a capability that serves them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gateway/testing/grpc_fixture.hpp"
#include "sdk/rpc.hpp"

namespace caisson::gateway {
namespace {

using namespace caisson::gateway::testing;
using ::testing::ElementsAre;

class ResumeTest : public GrpcTest {
 protected:
  /// What one instance does with the stream: says `message` under `token`, and then what `end` is.
  enum class Then : std::uint8_t { kWait, kFail, kFinish };
  FakeCapability::Serve serve(std::string token, std::string message, Then then) {
    return
        [this, token, message, then](Incoming incoming) { return answer(std::move(incoming), token, message, then); };
  }
  Task<void> answer(Incoming incoming, std::string token, std::string message, Then then) {
    asked_.push_back(std::string(incoming.head().headers().get(sdk::kResumeToken)) + "#" +
                     std::string(incoming.head().payload()));
    Envelope head;
    const Field headers[] = {{sdk::kResumeToken, token}, {"x-lead", "1"}};
    head.headers = headers;
    auto replying = incoming.reply_streamed(head, message.empty() ? Buffer() : Buffer(sdk::rpc_frame(message)));
    auto body = co_await std::move(replying);
    if (!body) co_return;
    if (then == Then::kWait) co_await nobody_.wait(loop_, Deadline::never());
    if (then == Then::kFail) body->fail({Errc::kUnavailable, "this instance ends"});
    if (then == Then::kFinish) {
      BodyEnd end;
      end.trailers.emplace_back("x-end", "yes");
      auto finishing = body->finish(Deadline::never(), std::move(end));
      [[maybe_unused]] const auto finished = co_await std::move(finishing);
    }
  }

  std::vector<std::string> asked_;
};

TEST_F(ResumeTest, AStreamGoesOnAtTheNextInstanceUnderItsToken) {
  start_grpc(serve("t1", "one", Then::kWait));
  const std::string question(
      "\x0a\x03"
      "box",
      5);
  const std::int32_t id = client_->call("/t.T/Resumable", question);
  turn_until([&] { return client_->stream(id).messages().size() == 1; });

  capability_.reset();
  pass(std::chrono::seconds(1));
  EXPECT_FALSE(client_->stream(id).closed);
  link(serve("t2", "two", Then::kFinish), "i2");

  const auto& answer = finished(id);
  EXPECT_THAT(answer.messages(), ElementsAre("one", "two"));
  EXPECT_EQ(answer.grpc_status(), "0");
  EXPECT_EQ(answer.trailer("x-end"), "yes");
  EXPECT_EQ(answer.header("x-lead"), "1");
  EXPECT_EQ(answer.header(std::string(sdk::kResumeToken)), "") << "that is not for the client";
  EXPECT_THAT(asked_, ElementsAre("#" + framed(question), "t1#" + framed(question)));
}

TEST_F(ResumeTest, AnInstanceThatEndsLeavesTheStreamToTheNext) {
  start_grpc(serve("t1", "one", Then::kFail));
  const std::int32_t id = client_->call("/t.T/Resumable", "");
  turn_until([&] { return client_->stream(id).messages().size() >= 1; });

  capability_.reset();
  link(serve("t2", "two", Then::kFinish), "i2");
  pass(std::chrono::milliseconds(200));

  const auto& answer = finished(id);
  EXPECT_THAT(answer.messages(), ElementsAre("one", "two")) << "one try in so much time";
  EXPECT_EQ(answer.grpc_status(), "0");
  EXPECT_EQ(asked_.back(), "t1#" + framed(""));
}

TEST_F(ResumeTest, AStreamThatGetsNowhereEnds) {
  start_grpc(serve("t1", "", Then::kFail));
  const std::int32_t id = client_->call("/t.T/Resumable", "");

  for (int i = 0; i < 10; ++i) pass(std::chrono::milliseconds(200));

  EXPECT_EQ(finished(id).grpc_status(), "14");
  EXPECT_EQ(asked_.size(), 6U);
}

TEST_F(ResumeTest, WithoutATokenAStreamEndsWithItsInstance) {
  start_grpc(serve("", "one", Then::kWait));
  const std::int32_t id = client_->call("/t.T/Resumable", "");
  turn_until([&] { return client_->stream(id).messages().size() == 1; });

  capability_.reset();

  EXPECT_EQ(finished(id).grpc_status(), "14");
}

TEST_F(ResumeTest, AClientsOwnTokenDoesNotCross) {
  start_grpc(serve("t1", "one", Then::kFinish));

  const auto& answer = finished(client_->call("/t.T/Resumable", "", {{std::string(sdk::kResumeToken), "mine"}}));

  EXPECT_EQ(answer.grpc_status(), "0");
  EXPECT_THAT(asked_, ElementsAre("#" + framed("")));
}

}  // namespace
}  // namespace caisson::gateway
