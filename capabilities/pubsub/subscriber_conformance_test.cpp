#include <algorithm>

#include "capabilities/pubsub/json_value.hpp"
#include "capabilities/pubsub/testing/stream_client.hpp"
#include "capabilities/pubsub/testing/subscriber_fixture.hpp"

namespace caisson::pubsub::testing {
namespace {

namespace rt = dapr::proto::runtime::v1;
using Words = std::map<std::string, std::string>;  // by data

/// The data of the entries of a bulk delivery, by id, in order.
std::vector<std::pair<std::string, std::string>> entries_of(const std::string& body) {
  std::vector<std::pair<std::string, std::string>> entries;
  const auto envelope = parse_json(body);
  EXPECT_TRUE(envelope) << body;
  for (const JsonValue& entry : envelope->find("entries")->items) {
    entries.emplace_back(entry.text_of("entryId"), entry.find("event")->find("data")->text);
  }
  return entries;
}

/// Answers a bulk delivery: the word for each entry's data, or SUCCESS.
CallAnswer answer_entries(const std::string& body, const Words& words) {
  std::string statuses;
  for (const auto& [id, data] : entries_of(body)) {
    const auto word = words.find(data);
    statuses += fmt::format(R"({}{{"entryId":"{}","status":"{}"}})", statuses.empty() ? "" : ",", id,
                            word == words.end() ? "SUCCESS" : word->second);
  }
  return {200, "{\"statuses\":[" + statuses + "]}"};
}

std::vector<std::string> data_in(const std::string& body) {
  std::vector<std::string> data;
  for (const auto& [id, text] : entries_of(body)) data.push_back(text);
  std::ranges::sort(data);
  return data;
}

TEST_P(SubscriberConformanceTest, AnHttpAppGetsABatchInOneCall) {
  app_ = [](const SeenCall& call) { return answer_entries(call.body, {}); };
  http_app_comes(fmt::format(
      R"([{{"pubsubname":"pubsub","topic":"{}","route":"/bulk","bulkSubscribe":{{"enabled":true,"maxMessagesCount":5,"maxAwaitDurationMs":60000}}}}])",
      topic("t")));
  gateway_.wait_for_status(
      [](const sdk::Status& status) { return status.metadata.find("/bulk") != std::string::npos; });

  for (const char* const data : {"1", "2", "3", "4", "5"}) publish(topic("t"), fmt::format("\"{}\"", data));
  wait_for_calls(1);
  for (const char* const data : {"6", "7", "8", "9", "a"}) publish(topic("t"), fmt::format("\"{}\"", data));
  wait_for_calls(2);

  EXPECT_EQ(calls_[0].path, "/bulk");
  EXPECT_EQ(calls_[0].headers.at("content-type"), "application/json");
  EXPECT_EQ(data_in(calls_[0].body), (std::vector<std::string>{"1", "2", "3", "4", "5"}));
  EXPECT_EQ(data_in(calls_[1].body), (std::vector<std::string>{"6", "7", "8", "9", "a"}));
}

TEST_P(RedeliveryConformanceTest, EachEntryOfABatchHasItsOwnFate) {
  const Words words{{"again", "RETRY"}, {"dropped", "DROP"}};
  app_ = [&](const SeenCall& call) { return answer_entries(call.body, calls_.size() == 1 ? words : Words{}); };
  http_app_comes(fmt::format(
      R"([{{"pubsubname":"pubsub","topic":"{}","route":"/bulk","bulkSubscribe":{{"enabled":true,"maxMessagesCount":3,"maxAwaitDurationMs":50}}}}])",
      topic("t")));
  for (const char* const data : {"fine", "again", "dropped"}) publish(topic("t"), fmt::format("\"{}\"", data));

  std::vector<std::string> later;
  run_until([&] {
    later.clear();
    for (std::size_t i = 1; i < calls_.size(); ++i) {
      for (const std::string& data : data_in(calls_[i].body)) later.push_back(data);
    }
    return std::ranges::count(later, "again") > 0;
  });

  EXPECT_EQ(std::ranges::count(later, "dropped"), 0);
}

rt::ListTopicSubscriptionsResponse list_of(const std::string& topic) {
  rt::ListTopicSubscriptionsResponse list;
  rt::TopicSubscription* const one = list.add_subscriptions();
  one->set_pubsub_name("pubsub");
  one->set_topic(topic);
  return list;
}

std::string topic_event_answer(rt::TopicEventResponse::TopicEventResponseStatus status) {
  rt::TopicEventResponse response;
  response.set_status(status);
  return response.SerializeAsString();
}

TEST_P(SubscriberConformanceTest, AGrpcAppGetsEachEvent) {
  app_ = [&](const SeenCall&) {
    const bool first = GetParam().redelivers && calls_.size() == 1;
    return CallAnswer{0, topic_event_answer(first ? rt::TopicEventResponse::RETRY : rt::TopicEventResponse::SUCCESS)};
  };
  grpc_app_comes(list_of(topic("t")));
  gateway_.wait_for_status(
      [](const sdk::Status& status) { return status.metadata.find("PROGRAMMATIC") != std::string::npos; });

  publish(topic("t"), R"({"total":7})");

  wait_for_calls(GetParam().redelivers ? 2 : 1);
  EXPECT_EQ(calls_[0].path, "/dapr.proto.runtime.v1.AppCallback/OnTopicEvent");
  EXPECT_EQ(calls_[0].headers.at("content-type"), "application/grpc");
  for (const SeenCall& call : calls_) {
    rt::TopicEventRequest event;
    ASSERT_TRUE(event.ParseFromString(call.body));
    EXPECT_EQ(event.data(), R"({"total":7})");
    EXPECT_EQ(event.topic(), topic("t"));
    EXPECT_EQ(event.path(), "");
  }
}

TEST_P(SubscriberConformanceTest, AGrpcAppGetsABatchInOneCall) {
  app_ = [](const SeenCall& call) {
    rt::TopicEventBulkRequest request;
    rt::TopicEventBulkResponse response;
    EXPECT_TRUE(request.ParseFromString(call.body));
    for (const auto& entry : request.entries()) response.add_statuses()->set_entry_id(entry.entry_id());
    return CallAnswer{0, response.SerializeAsString()};
  };
  rt::ListTopicSubscriptionsResponse list = list_of(topic("t"));
  rt::BulkSubscribeConfig* const bulk = list.mutable_subscriptions(0)->mutable_bulk_subscribe();
  bulk->set_enabled(true);
  bulk->set_max_messages_count(3);
  bulk->set_max_await_duration_ms(60'000);
  grpc_app_comes(list);
  gateway_.wait_for_status(
      [](const sdk::Status& status) { return status.metadata.find("PROGRAMMATIC") != std::string::npos; });

  for (const char* const data : {"1", "2", "3"}) publish(topic("t"), data);

  wait_for_calls(1);
  EXPECT_EQ(calls_[0].path, "/dapr.proto.runtime.v1.AppCallback/OnBulkTopicEvent");
  rt::TopicEventBulkRequest request;
  ASSERT_TRUE(request.ParseFromString(calls_[0].body));
  std::vector<std::string> data;
  for (const auto& entry : request.entries()) data.push_back(entry.cloud_event().data());
  std::ranges::sort(data);
  EXPECT_EQ(data, (std::vector<std::string>{"1", "2", "3"}));
}

TEST_P(SubscriberConformanceTest, AStreamGetsEventsWithoutAnAppPort) {
  StreamClient stream(gateway_, StreamClient::initial("pubsub", topic("t")));
  stream.wait_for(1);
  EXPECT_TRUE(stream.responses()[0].has_initial_response());

  publish(topic("t"), R"("first")");
  stream.wait_for(2);
  const rt::TopicEventRequest first = stream.event(1);
  stream.answer(first.id());
  publish(topic("t"), R"("second")");
  stream.wait_for(3);

  EXPECT_EQ(first.data(), R"("first")");
  EXPECT_EQ(first.path(), "/");
  EXPECT_EQ(first.pubsub_name(), "pubsub");
  EXPECT_EQ(stream.event(2).data(), R"("second")");
}

TEST_P(RedeliveryConformanceTest, WhatAStreamRefusesComesAgain) {
  StreamClient stream(gateway_, StreamClient::initial("pubsub", topic("t")));
  stream.wait_for(1);
  publish(topic("t"), R"("x")");
  stream.wait_for(2);

  stream.answer(stream.event(1).id(), StreamClient::Status::RETRY);

  stream.wait_for(3);
  EXPECT_EQ(stream.event(2).id(), stream.event(1).id());
}

TEST_P(RedeliveryConformanceTest, WhatAStreamDidNotAnswerGoesToTheNextOne) {
  auto broken = std::make_unique<StreamClient>(gateway_, StreamClient::initial("pubsub", topic("t")));
  broken->wait_for(1);
  publish(topic("t"), R"("x")");
  broken->wait_for(2);
  const std::string id = broken->event(1).id();

  broken.reset();
  StreamClient next(gateway_, StreamClient::initial("pubsub", topic("t")));

  next.wait_for(2);
  EXPECT_EQ(next.event(1).id(), id);
  next.answer(id);
}

}  // namespace
}  // namespace caisson::pubsub::testing
