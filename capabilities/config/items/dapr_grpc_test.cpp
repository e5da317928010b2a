#include "capabilities/config/items/dapr_grpc.hpp"

#include <gmock/gmock.h>

#include "capabilities/config/items/testing/items_rig.hpp"
#include "dapr/proto/runtime/v1/configuration.pb.h"
#include "sdk/testing/rpc_client.hpp"

namespace caisson::items {
namespace {

namespace rpc = ::dapr::proto::runtime::v1;
using caisson::testing::call_rpc;
using caisson::testing::RpcAnswer;
using caisson::testing::run;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::chrono_literals;

/// The client's end of one SubscribeConfiguration: what has come of it, in order.
class Stream {
 public:
  Stream(EventLoop& loop, Reply reply) : reply_(std::move(reply)), scope_(loop) {
    if (!reply_.head.streamed()) {
      end_with({static_cast<std::uint16_t>(reply_.head->status()), std::string(text(reply_.head->message())),
                trailers_of(reply_.head)});
      return;
    }
    add(std::string(reply_.head.payload()));
    scope_.spawn(read());
  }

  [[nodiscard]] std::string token() const { return std::string(reply_.head.headers().get(sdk::kResumeToken)); }
  [[nodiscard]] const std::vector<rpc::SubscribeConfigurationResponse>& messages() const { return messages_; }
  /// Nothing while the stream is open.
  [[nodiscard]] const std::optional<RpcAnswer>& ended() const { return ended_; }
  /// It ended without a status of its own, as for a gateway that is to take it elsewhere.
  [[nodiscard]] bool broke_off() const { return broke_off_; }

 private:
  Task<void> read() {
    while (true) {
      auto reading = reply_.rest.next(Deadline::never());
      const auto piece = co_await std::move(reading);
      if (!piece || !*piece) {
        if (piece) {
          end_with(reply_.rest.end());
        } else {
          broke_off_ = true;
          end_with({static_cast<std::uint16_t>(piece.error().code), piece.error().message, {}});
        }
        co_return;
      }
      add(std::string((*piece)->view()));
    }
  }
  void end_with(const BodyEnd& end) {
    caisson::testing::Answer answer;
    answer.status = end.status;
    answer.message = end.message;
    answer.trailers = end.trailers;
    ended_ = caisson::testing::rpc_answer(answer);
  }
  static std::vector<std::pair<std::string, std::string>> trailers_of(const Frame& frame) {
    std::vector<std::pair<std::string, std::string>> all;
    for (const Field field : Fields(frame->trailers())) all.emplace_back(field.name, field.value);
    return all;
  }
  /// Every piece is a whole message.
  void add(const std::string& frame) {
    if (frame.empty()) return;
    EXPECT_TRUE(messages_.emplace_back().ParseFromString(frame.substr(5)));
  }

  Reply reply_;
  std::vector<rpc::SubscribeConfigurationResponse> messages_;
  std::optional<RpcAnswer> ended_;
  bool broke_off_ = false;
  TaskScope scope_;
};

class DaprGrpcTest : public testing::ItemsRig {
 protected:
  static std::string subscription_of(const std::vector<std::string>& keys, const std::string& store = "flags") {
    rpc::SubscribeConfigurationRequest message;
    message.set_store_name(store);
    for (const std::string& key : keys) message.add_keys(key);
    return sdk::rpc_frame(message.SerializeAsString());
  }
  std::unique_ptr<Stream> open_raw(std::string body, const std::string& resumes = {}) {
    caisson::testing::Ask ask;
    ask.method = "POST";
    ask.path = "/dapr.proto.runtime.v1.Dapr/SubscribeConfiguration";
    ask.body = std::move(body);
    if (!resumes.empty()) ask.headers.emplace_back(sdk::kResumeToken, resumes);
    auto reply = run(loop_, gateway_->send(std::move(ask)));
    EXPECT_TRUE(reply) << reply.error().message;
    return std::make_unique<Stream>(loop_, *std::move(reply));
  }
  std::unique_ptr<Stream> open(const std::vector<std::string>& keys) { return open_raw(subscription_of(keys)); }
  void wait_for_messages(const Stream& stream, std::size_t count) {
    wait_until([&] { return stream.messages().size() >= count; });
  }

  rpc::UnsubscribeConfigurationResponse unsubscribe_stream(const std::string& id) {
    rpc::UnsubscribeConfigurationRequest message;
    message.set_store_name("flags");
    message.set_id(id);
    rpc::UnsubscribeConfigurationResponse response;
    EXPECT_TRUE(call_rpc(*gateway_, "UnsubscribeConfiguration", message, &response).ok());
    return response;
  }
  RpcAnswer get_items(const std::vector<std::string>& keys, const std::string& store = "flags",
                      rpc::GetConfigurationResponse* response = nullptr) {
    rpc::GetConfigurationRequest message;
    message.set_store_name(store);
    for (const std::string& key : keys) message.add_keys(key);
    return call_rpc(*gateway_, "GetConfiguration", message, response);
  }
};

TEST_F(DaprGrpcTest, ItemsAreGivenWithVersionAndMetadata) {
  write(R"({"a":{"value":"2","version":"v2","metadata":{"by":"me"}},"b":"1"})");
  settle();
  rpc::GetConfigurationResponse response;

  ASSERT_TRUE(get_items({"a", "none"}, "flags", &response).ok());

  ASSERT_EQ(response.items().size(), 1U);
  const auto& item = response.items().at("a");
  EXPECT_EQ(item.value(), "2");
  EXPECT_EQ(item.version(), "v2");
  EXPECT_EQ(item.metadata().at("by"), "me");
  ASSERT_TRUE(get_items({}, "flags", &response).ok());
  EXPECT_EQ(response.items().size(), 2U);
}

TEST_F(DaprGrpcTest, TheAlphaNamesAreTheSame) {
  rpc::GetConfigurationRequest message;
  message.set_store_name("flags");
  rpc::GetConfigurationResponse response;
  ASSERT_TRUE(call_rpc(*gateway_, "GetConfigurationAlpha1", message, &response).ok());
  EXPECT_EQ(response.items().size(), 2U);

  int methods = 0;
  for (const Route& route : gateway_->process().manifest().routes) {
    if (route.rpc == Rpc::kNone) continue;
    ++methods;
    EXPECT_EQ(route.version, route.path.ends_with("Alpha1") ? "v1alpha1" : "v1");
    EXPECT_EQ(route.group, "configuration");
    EXPECT_EQ(route.selector, "1");
    const bool stream = route.path.find("/Subscribe") != route.path.npos;
    EXPECT_EQ(route.rpc == Rpc::kStream, stream);
    EXPECT_EQ(route.resumable, stream);
  }
  EXPECT_EQ(methods, 6);
}

TEST_F(DaprGrpcTest, AnUnknownStoreIsAnInvalidArgument) {
  const RpcAnswer got = get_items({}, "other");
  const auto stream = open_raw(subscription_of({}, "other"));
  wait_until([&] { return stream->ended().has_value(); });

  for (const RpcAnswer& answer : {got, *stream->ended()}) {
    EXPECT_EQ(answer.code, Errc::kInvalidArgument);
    EXPECT_EQ(answer.reason, "ERR_CONFIGURATION_STORE_NOT_FOUND");
    EXPECT_EQ(answer.message, "configuration store other not found");
  }
  rpc::UnsubscribeConfigurationRequest message;
  message.set_store_name("other");
  EXPECT_EQ(call_rpc(*gateway_, "UnsubscribeConfiguration", message).code, Errc::kInvalidArgument);
}

TEST_F(DaprGrpcTest, WithoutAnyStoreThatIsSaid) {
  generation_.components.clear();
  configure();

  const RpcAnswer answer = get_items({});

  EXPECT_EQ(answer.code, Errc::kFailedPrecondition);
  EXPECT_EQ(answer.reason, "ERR_CONFIGURATION_STORE_NOT_CONFIGURED");
}

TEST_F(DaprGrpcTest, AKeyThatMayNotBeAskedForIsInternalForGetAndInvalidForSubscribe) {
  const RpcAnswer got = get_items({std::string(kMaxKeyLength + 1, 'k')});
  EXPECT_EQ(got.code, Errc::kInternal);
  EXPECT_EQ(got.reason, "ERR_CONFIGURATION_GET");

  const auto stream = open({std::string()});
  wait_until([&] { return stream->ended().has_value(); });
  EXPECT_EQ(stream->ended()->code, Errc::kInvalidArgument);
  EXPECT_EQ(stream->ended()->reason, "ERR_CONFIGURATION_SUBSCRIBE");
  EXPECT_THAT(stream->ended()->message, HasSubstr("a key is empty"));
}

TEST_F(DaprGrpcTest, BytesThatAreNoMessageAreInternal) {
  for (const char* method : {"GetConfiguration", "UnsubscribeConfiguration"}) {
    EXPECT_EQ(call_rpc(*gateway_, method, std::string("\x0a\xff")).code, Errc::kInternal);
  }
  for (const std::string& body : {sdk::rpc_frame("\x0a\xff"), std::string("abc"), std::string()}) {
    const auto stream = open_raw(body);
    wait_until([&] { return stream->ended().has_value(); });
    EXPECT_EQ(stream->ended()->code, Errc::kInternal);
  }
}

TEST_F(DaprGrpcTest, TheFirstMessageOfAStreamIsItsIdAndTheNextAreUpdates) {
  gateway_->set_app("shop", false, 1, "");  // an app needs no port for this
  const auto stream = open({"a"});
  wait_for_messages(*stream, 1);
  const std::string id = stream->messages()[0].id();
  EXPECT_EQ(id.size(), 36U);
  EXPECT_TRUE(stream->messages()[0].items().empty());
  EXPECT_EQ(stream->token(), id);

  write(R"({"a":{"value":"2","version":"v2"},"b":"2"})");
  wait_for_messages(*stream, 2);
  write(R"({"b":"2"})");
  wait_for_messages(*stream, 3);
  settle();

  ASSERT_THAT(stream->messages(), SizeIs(3));
  EXPECT_EQ(stream->messages()[1].id(), id);
  EXPECT_EQ(stream->messages()[1].items().at("a").value(), "2");
  EXPECT_EQ(stream->messages()[1].items().at("a").version(), "v2");
  EXPECT_EQ(stream->messages()[2].items().at("a").value(), "") << "it is gone";
  EXPECT_THAT(told_, IsEmpty()) << "nothing is posted";
}

TEST_F(DaprGrpcTest, EveryStreamIsToldOfEveryChange) {
  const auto one = open({"a"});
  const auto other = open({"a"});
  subscribe("key=a");

  write(R"({"a":"2","b":"1"})");
  wait_for_messages(*one, 2);
  wait_for_messages(*other, 2);
  wait_for_told(1);

  EXPECT_NE(one->token(), other->token());
}

TEST_F(DaprGrpcTest, UnsubscribeEndsTheStreamWithOk) {
  const auto stream = open({"a"});

  EXPECT_TRUE(unsubscribe_stream(stream->token()).ok());
  wait_until([&] { return stream->ended().has_value(); });

  EXPECT_TRUE(stream->ended()->ok()) << stream->ended()->message;
  write(R"({"a":"2"})");
  settle();
  EXPECT_THAT(stream->messages(), SizeIs(1));
}

TEST_F(DaprGrpcTest, QuirkUnsubscribeOfAnUnknownIdIsOkWithAMessage) {
  const std::string posted = subscribe("key=a");
  for (const std::string& id : {std::string("unknown"), posted}) {
    const auto response = unsubscribe_stream(id);
    EXPECT_FALSE(response.ok());
    EXPECT_THAT(response.message(), HasSubstr(id));
  }
  const auto stream = open({"a"});
  EXPECT_EQ(get("/v1.0/configuration/flags/" + stream->token() + "/unsubscribe").status, 500);
  EXPECT_FALSE(stream->ended().has_value());
}

TEST_F(DaprGrpcTest, AStreamThatIsTakenUpMissesNothingAndHearsNothingTwice) {
  auto stream = open({"a", "b"});
  const std::string id = stream->token();
  write(R"({"a":"2","b":"1"})");
  wait_for_messages(*stream, 2);
  stream.reset();
  settle();
  write(R"({"a":"2"})");
  settle();

  stream = open_raw(subscription_of({"b", "a"}), id);
  wait_for_messages(*stream, 1);
  settle();

  EXPECT_EQ(stream->token(), id);
  ASSERT_THAT(stream->messages(), SizeIs(1)) << "no second first message";
  EXPECT_EQ(stream->messages()[0].items().count("b"), 1U);
}

TEST_F(DaprGrpcTest, AStreamIsTakenUpAcrossARestartOfThisProcess) {
  auto stream = open({"a", "b"});
  const std::string id = stream->token();
  write(R"({"a":"2","b":"1"})");
  wait_for_messages(*stream, 2);
  advance(2s);
  stop();
  stream.reset();
  write(R"({"a":"2","b":"2"})");
  start();

  stream = open_raw(subscription_of({"a", "b"}), id);
  wait_for_messages(*stream, 1);
  settle();

  ASSERT_THAT(stream->messages(), SizeIs(1)) << "of a it was told before";
  EXPECT_EQ(stream->messages()[0].id(), id);
  EXPECT_EQ(stream->messages()[0].items().at("b").value(), "2");
}

TEST_F(DaprGrpcTest, WhatWasJustGivenToAStreamIsGivenAgainAfterARestart) {
  auto stream = open({"a"});
  const std::string id = stream->token();
  write(R"({"a":"2"})");
  wait_for_messages(*stream, 2);
  stop();
  stream.reset();
  start();

  stream = open_raw(subscription_of({"a"}), id);
  wait_for_messages(*stream, 1);

  EXPECT_EQ(stream->messages()[0].items().at("a").value(), "2");
}

TEST_F(DaprGrpcTest, AStreamThatIsNotKnownAnyMoreIsToldOfEverything) {
  const auto stream = open_raw(subscription_of({"a"}), "11111111-1111-4111-8111-111111111111");
  wait_for_messages(*stream, 1);

  EXPECT_EQ(stream->token(), "11111111-1111-4111-8111-111111111111");
  EXPECT_EQ(stream->messages()[0].items().at("a").value(), "1");
}

TEST_F(DaprGrpcTest, ATokenOfSomethingElseIsRefused) {
  const auto stream = open({"a"});
  for (const std::string& token : {stream->token(), std::string(65, 'x'), subscribe("key=b")}) {
    const auto other = open_raw(subscription_of({"b"}), token);
    wait_until([&] { return other->ended().has_value(); });
    EXPECT_EQ(other->ended()->code, Errc::kInvalidArgument);
  }
  EXPECT_FALSE(stream->ended().has_value());
}

TEST_F(DaprGrpcTest, AStreamThatDoesNotComeBackEndsItsSubscription) {
  auto stream = open({"a"});
  const std::string id = stream->token();
  stream.reset();
  settle();
  advance(50s);
  EXPECT_TRUE(unsubscribe_stream(id).ok()) << "it still waits";

  stream = open({"a"});
  const std::string other = stream->token();
  stream.reset();
  settle();
  advance(61s);
  settle();
  EXPECT_FALSE(unsubscribe_stream(other).ok());
}

TEST_F(DaprGrpcTest, LostStreamsMakeRoomForNewOnes) {
  std::vector<std::unique_ptr<Stream>> streams;
  for (std::size_t i = 0; i < kMaxSubscriptions; ++i) streams.push_back(open({"a"}));
  const auto refused = open({"a"});
  wait_until([&] { return refused->ended().has_value(); });
  EXPECT_THAT(refused->ended()->message, HasSubstr("100 is the most"));

  streams.erase(streams.begin() + 5);
  settle();
  const auto taken = open({"a"});
  settle();

  EXPECT_FALSE(taken->ended().has_value());
}

TEST_F(DaprGrpcTest, DrainingLeavesStreamsToTheNextInstance) {
  const auto stream = open({"a"});

  TaskScope scope(loop_);
  scope.spawn(gateway_->process().drain(loop_.deadline_in(1s)));
  wait_until([&] { return stream->ended().has_value(); });

  EXPECT_TRUE(stream->broke_off());
  EXPECT_EQ(stream->ended()->code, Errc::kUnavailable);
}

}  // namespace
}  // namespace caisson::items
