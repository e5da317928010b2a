#include "capabilities/pubsub/event_streams.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capabilities/pubsub/testing/stream_client.hpp"
#include "capabilities/pubsub/testing/subscriber_fixture.hpp"
#include "sdk/testing/rpc_client.hpp"

namespace caisson::pubsub {
namespace {

using caisson::testing::call_rpc;
using caisson::testing::RpcAnswer;
using ::testing::HasSubstr;
using testing::StreamClient;

class EventStreamsTest : public ::testing::Test, public testing::SubscriberFixture {
 protected:
  EventStreamsTest()
      : SubscriberFixture({"Sqlite", "pubsub.sqlite", [] {
                             return std::vector<std::pair<std::string, std::string>>{{"redeliverInterval", "20ms"},
                                                                                     {"subscriptionScopes", "mute="}};
                           }}) {}

  RpcAnswer refused(const StreamClient::Request& first, const std::string& app = "shop") {
    return call_rpc(gateway_, "SubscribeTopicEventsAlpha1", sdk::rpc_frame(first.SerializeAsString()), app);
  }
  /// An event as an app would make it, with the id that it wants.
  void publish_event(const std::string& topic, const std::string& id) {
    caisson::testing::Ask ask;
    ask.method = "POST";
    ask.path = "/v1.0/publish/pubsub/" + topic;
    ask.headers = {{"content-type", "application/cloudevents+json"}};
    ask.body = R"({"id":")" + id + R"(","data":"x","datacontenttype":"text/plain"})";
    ASSERT_EQ(gateway_.ask(ask).status, 204);
  }
};

TEST_F(EventStreamsTest, TheFirstMessageMustSayWhatItWants) {
  StreamClient::Request answer;
  answer.mutable_event_processed()->set_id("1");
  for (const auto& first : {answer, StreamClient::initial("", "t"), StreamClient::initial("pubsub", "")}) {
    const RpcAnswer refusal = refused(first);
    EXPECT_EQ(refusal.code, Errc::kUnknown) << refusal.message;
    EXPECT_EQ(refusal.reason, "");
  }
  EXPECT_EQ(call_rpc(gateway_, "SubscribeTopicEventsAlpha1", sdk::rpc_frame("\xFF")).code, Errc::kInternal);
}

TEST_F(EventStreamsTest, AnUnknownComponentIsNamedAndAForbiddenTopicRefused) {
  const RpcAnswer unknown = refused(StreamClient::initial("nowhere", "t"));
  EXPECT_EQ(unknown.code, Errc::kInvalidArgument);
  EXPECT_EQ(unknown.reason, "DAPR_PUBSUB_NOT_FOUND");

  const RpcAnswer forbidden = refused(StreamClient::initial("pubsub", "t"), "mute");
  EXPECT_EQ(forbidden.code, Errc::kUnknown);
  EXPECT_THAT(forbidden.message, HasSubstr("not allowed"));
}

TEST_F(EventStreamsTest, ASecondInitialRequestEndsTheStream) {
  StreamClient stream(gateway_, StreamClient::initial("pubsub", "t"));
  stream.wait_for(1);

  stream.send(StreamClient::initial("pubsub", "t"));

  EXPECT_EQ(stream.end().code, Errc::kUnknown);
}

TEST_F(EventStreamsTest, AnAppThatEndsItsSideEndsTheStreamAndGivesBackWhatItHolds) {
  StreamClient stream(gateway_, StreamClient::initial("pubsub", "t"));
  stream.wait_for(1);
  publish("t", "1");
  stream.wait_for(2);

  stream.finish();

  EXPECT_EQ(stream.end().code, Errc::kOk);
  StreamClient next(gateway_, StreamClient::initial("pubsub", "t"));
  next.wait_for(2);
  EXPECT_EQ(next.event(1).id(), stream.event(1).id());
}

TEST_F(EventStreamsTest, AnswersToUnknownEventsArePassedOver) {
  StreamClient stream(gateway_, StreamClient::initial("pubsub", "t"));
  stream.wait_for(1);

  stream.answer("nothing of that name");
  publish("t", "1");

  stream.wait_for(2);
}

TEST_F(EventStreamsTest, OfTwoEventsWithOneIdTheSecondWaitsForItsNextAttempt) {
  StreamClient stream(gateway_, StreamClient::initial("pubsub", "t"));
  stream.wait_for(1);
  publish_event("t", "same");
  publish_event("t", "same");
  publish_event("t", "other");
  stream.wait_for(3);
  EXPECT_EQ(stream.event(2).id(), "other");

  stream.answer("same");

  stream.wait_for(4);
  EXPECT_EQ(stream.event(3).id(), "same");
}

TEST_F(EventStreamsTest, ADroppedEventReachesTheDeadLetterTopicOfTheStream) {
  StreamClient::Request first = StreamClient::initial("pubsub", "t");
  first.mutable_initial_request()->set_dead_letter_topic("dead");
  StreamClient stream(gateway_, first);
  StreamClient dead(gateway_, StreamClient::initial("pubsub", "dead"));
  stream.wait_for(1);
  publish("t", "1");
  stream.wait_for(2);

  stream.answer(stream.event(1).id(), StreamClient::Status::DROP);

  dead.wait_for(2);
  EXPECT_EQ(dead.event(1).id(), stream.event(1).id());
}

TEST_F(EventStreamsTest, SeveralStreamsOfOneAppShareATopic) {
  StreamClient one(gateway_, StreamClient::initial("pubsub", "t"));
  StreamClient two(gateway_, StreamClient::initial("pubsub", "t"));
  one.wait_for(1);
  two.wait_for(1);

  for (int i = 0; i < 30; ++i) publish("t", std::to_string(i));

  run_until([&] { return one.responses().size() + two.responses().size() >= 22; });
  EXPECT_GT(one.responses().size(), 1U);
  EXPECT_GT(two.responses().size(), 1U);
}

TEST_F(EventStreamsTest, MetadataNamesTheKindOfEachSubscription) {
  config::Subscription declared;
  declared.pubsub = "pubsub";
  declared.topic = "declared";
  declared.default_path = "/declared";
  generation_.subscriptions = {declared};
  configure();
  http_app_comes(R"([{"pubsubname":"pubsub","topic":"programmed","route":"/programmed"}])");
  auto stream = std::make_unique<StreamClient>(gateway_, StreamClient::initial("pubsub", "streamed"));
  stream->wait_for(1);

  const auto says = [&](const std::string& topic, const std::string& type) {
    const std::string& all = gateway_.status_text();
    const std::size_t at = all.find("\"topic\":\"" + topic + '"');
    return at != std::string::npos && all.find("\"type\":\"" + type + '"', at) != std::string::npos;
  };
  run_until([&] {
    return says("declared", "DECLARATIVE") && says("programmed", "PROGRAMMATIC") && says("streamed", "STREAMING");
  });
  stream.reset();
  run_until([&] { return !says("streamed", "STREAMING"); });
}

TEST_F(EventStreamsTest, AStreamThatWasOpenedAgainGoesOnWithoutASecondFirstAnswer) {
  StreamClient stream(gateway_, StreamClient::initial("pubsub", "t"), {{std::string(sdk::kResumeToken), "1"}});

  publish("t", "1");

  stream.wait_for(1);
  EXPECT_TRUE(stream.responses()[0].has_event_message());
}

TEST_F(EventStreamsTest, DrainingFinishesWhatIsUnderWayAndEndsTheStream) {
  StreamClient stream(gateway_, StreamClient::initial("pubsub", "t"));
  stream.wait_for(1);
  publish("t", "1");
  stream.wait_for(2);
  TaskScope scope(loop_);
  scope.spawn(gateway_.process().drain(loop_.deadline_in(std::chrono::seconds(20))));
  run_until([&] { return gateway_.status().draining; });

  stream.answer(stream.event(1).id());

  EXPECT_EQ(stream.end().code, Errc::kUnavailable);
  EXPECT_EQ(refused(StreamClient::initial("pubsub", "t")).code, Errc::kUnavailable);
}

TEST_F(EventStreamsTest, ThereIsALimitToOpenStreams) {
  std::vector<std::unique_ptr<StreamClient>> streams;
  for (std::size_t i = 0; i < EventStreams::kMostStreams; ++i) {
    streams.push_back(std::make_unique<StreamClient>(gateway_, StreamClient::initial("pubsub", "t")));
    streams.back()->wait_for(1);
  }

  EXPECT_EQ(refused(StreamClient::initial("pubsub", "t")).code, Errc::kResourceExhausted);
}

}  // namespace
}  // namespace caisson::pubsub
