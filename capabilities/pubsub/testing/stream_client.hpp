#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/task_scope.hpp"
#include "bus/testing/run.hpp"
#include "dapr/proto/runtime/v1/pubsub.pb.h"
#include "sdk/rpc.hpp"
#include "sdk/testing/fake_gateway.hpp"

namespace caisson::pubsub::testing {

/// A streaming subscription as its app sees it. Dropping it cancels the call.
class StreamClient {
 public:
  using Request = dapr::proto::runtime::v1::SubscribeTopicEventsRequestAlpha1;
  using Response = dapr::proto::runtime::v1::SubscribeTopicEventsResponseAlpha1;
  using Status = dapr::proto::runtime::v1::TopicEventResponse;

  static Request initial(const std::string& pubsub, const std::string& topic) {
    Request request;
    request.mutable_initial_request()->set_pubsub_name(pubsub);
    request.mutable_initial_request()->set_topic(topic);
    return request;
  }

  StreamClient(caisson::testing::FakeGateway& gateway, const Request& first,
               std::vector<std::pair<std::string, std::string>> headers = {}, const std::string& app = "shop")
      : loop_(gateway.loop()), scope_(loop_) {
    caisson::testing::Ask ask;
    ask.method = "POST";
    ask.path = "/dapr.proto.runtime.v1.Dapr/SubscribeTopicEventsAlpha1";
    ask.headers = std::move(headers);
    ask.app = app;
    auto call = gateway.open(ask, sdk::rpc_frame(first.SerializeAsString()));
    EXPECT_TRUE(call);
    call_.emplace(*std::move(call));
    scope_.spawn(read());
  }

  /// Waits until that many messages have come in all, the initial response included.
  void wait_for(std::size_t count) {
    caisson::testing::run_until(loop_, [&] { return responses_.size() >= count || end_; });
    ASSERT_GE(responses_.size(), count) << (end_ ? end_->message : "");
  }
  [[nodiscard]] const std::vector<Response>& responses() const { return responses_; }
  /// The event among the responses, the initial response counted.
  [[nodiscard]] const dapr::proto::runtime::v1::TopicEventRequest& event(std::size_t at) const {
    return responses_.at(at).event_message();
  }

  void answer(const std::string& id, Status::TopicEventResponseStatus status = Status::SUCCESS) {
    Request request;
    request.mutable_event_processed()->set_id(id);
    request.mutable_event_processed()->mutable_status()->set_status(status);
    send(request);
  }
  void send(const Request& request) { write(sdk::rpc_frame(request.SerializeAsString())); }
  void write(std::string bytes) {
    auto writing = call_->body.write(Buffer(std::move(bytes)), Deadline::never());
    EXPECT_TRUE(caisson::testing::run(loop_, std::move(writing)));
  }
  /// Ends the client's side.
  void finish() {
    auto finishing = call_->body.finish(Deadline::never());
    EXPECT_TRUE(caisson::testing::run(loop_, std::move(finishing)));
  }
  /// How the call ended; waits for it.
  Error end() {
    caisson::testing::run_until(loop_, [&] { return end_.has_value(); });
    return *end_;
  }

 private:
  Task<void> read() {
    auto asking = call_->reply(Deadline::never());
    auto reply = co_await std::move(asking);
    if (!reply) {
      end_ = reply.error();
      co_return;
    }
    reply_.emplace(*std::move(reply));
    sdk::RpcReader reader(std::string(reply_->head.payload()), reply_->rest, {}, std::size_t{16} << 20);
    while (true) {
      auto reading = reader.next(Deadline::never());
      auto message = co_await std::move(reading);
      if (!message) end_ = message.error();
      if (message && !*message) end_ = Error{static_cast<Errc>(reader.end().status), reader.end().message};
      if (end_) co_return;
      EXPECT_TRUE(responses_.emplace_back().ParseFromString(**message));
    }
  }

  EventLoop& loop_;
  std::optional<OpenCall> call_;
  std::optional<Reply> reply_;
  std::vector<Response> responses_;
  std::optional<Error> end_;
  TaskScope scope_;
};

}  // namespace caisson::pubsub::testing
