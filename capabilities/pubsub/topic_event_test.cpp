#include "capabilities/pubsub/topic_event.hpp"

#include <gtest/gtest.h>

namespace caisson::pubsub {
namespace {

namespace rt = dapr::proto::runtime::v1;

config::Subscription orders() {
  config::Subscription subscription;
  subscription.pubsub = "pubsub";
  subscription.topic = "orders";
  return subscription;
}

Event event_of(const std::string& json) {
  static const Message kMessage;
  Event event;
  event.message = &kMessage;
  event.path = "/orders";
  event.attributes = *parse_json(json);
  return event;
}

std::string data_of(const std::string& json) {
  const auto request = to_topic_event(event_of(json), orders());
  return request ? request->data() : "error: " + request.error().message;
}

TEST(TopicEventTest, AttributesHaveTheirFieldsAndTheRestAreExtensions) {
  const auto request = to_topic_event(
      event_of(R"({"id":"1","source":"shop","type":"sent","specversion":"1.0","datacontenttype":"text/plain","data":"x",
                   "topic":"orders","pubsubname":"pubsub","traceid":"00-a","count":2.5,"deep":{"list":[true,null]}})"),
      orders());

  ASSERT_TRUE(request);
  EXPECT_EQ(request->id(), "1");
  EXPECT_EQ(request->source(), "shop");
  EXPECT_EQ(request->type(), "sent");
  EXPECT_EQ(request->spec_version(), "1.0");
  EXPECT_EQ(request->data_content_type(), "text/plain");
  EXPECT_EQ(request->data(), "x");
  EXPECT_EQ(request->topic(), "orders");
  EXPECT_EQ(request->pubsub_name(), "pubsub");
  EXPECT_EQ(request->path(), "/orders");
  const auto& fields = request->extensions().fields();
  EXPECT_EQ(fields.size(), 5U);
  EXPECT_EQ(fields.at("traceid").string_value(), "00-a");
  EXPECT_EQ(fields.at("count").number_value(), 2.5);
  EXPECT_EQ(fields.at("deep").struct_value().fields().at("list").list_value().values_size(), 2);
}

TEST(TopicEventTest, DataIsReadAsItsContentTypeSays) {
  EXPECT_EQ(data_of(R"({"data_base64":"aGk="})"), "hi");
  EXPECT_EQ(data_of(R"({"data_base64":"aGk=","data":"other","datacontenttype":"text/plain"})"), "hi");
  EXPECT_EQ(data_of(R"({"data":"x","datacontenttype":"Text/HTML; charset=utf-8"})"), "x");
  EXPECT_EQ(data_of(R"({"data":"<a/>","datacontenttype":"application/xml"})"), "<a/>");
  EXPECT_EQ(data_of(R"({"data":{"b":1,"a":[]},"datacontenttype":"application/json"})"), R"({"a":[],"b":1})");
  EXPECT_EQ(data_of(R"({"data":"x","datacontenttype":"application/json"})"), R"("x")");
  EXPECT_EQ(data_of(R"({"data":1,"datacontenttype":"application/cloudevents+json"})"), "1");
  EXPECT_EQ(data_of(R"({"data":null,"datacontenttype":"application/json"})"), "");
  EXPECT_EQ(data_of("{}"), "");
}

TEST(TopicEventTest, QuirkPlainDataOfAnyOtherContentTypeIsNotDelivered) {
  EXPECT_EQ(data_of(R"({"data":"x","datacontenttype":"application/vnd.shop+json"})"), "");
  EXPECT_EQ(data_of(R"({"data":"x"})"), "");
}

TEST(TopicEventTest, DataThatIsNotWhatItsTypeSaysFails) {
  EXPECT_EQ(data_of(R"({"data_base64":"%%%"})"), "error: the event's data is no base64");
  EXPECT_EQ(data_of(R"({"data_base64":1})"), "error: the event's data is no base64 text");
  EXPECT_EQ(data_of(R"({"data":{},"datacontenttype":"text/plain"})"),
            "error: the event's data is no text, as text/plain must be");
}

TEST(TopicEventTest, AnswersOfTheAppDecide) {
  const auto answer = [](int status) {
    rt::TopicEventResponse response;
    response.set_status(static_cast<rt::TopicEventResponse::TopicEventResponseStatus>(status));
    return response.SerializeAsString();
  };
  const std::vector<std::tuple<std::uint16_t, std::string, Attempt::Kind>> table = {
      {0, "", Attempt::Kind::kSuccess},       {0, answer(0), Attempt::Kind::kSuccess},
      {0, answer(1), Attempt::Kind::kFailed}, {0, answer(2), Attempt::Kind::kDrop},
      {0, answer(7), Attempt::Kind::kFailed}, {0, "\xFF", Attempt::Kind::kFailed},
      {12, "", Attempt::Kind::kIgnored},      {14, "", Attempt::Kind::kFailed},
      {999, "", Attempt::Kind::kFailed},
  };
  for (const auto& [code, message, kind] : table) {
    EXPECT_EQ(read_topic_event_answer(code, message).kind, kind) << code;
  }
}

TEST(TopicEventTest, ABatchHasEventsAndRawBytesBesideEachOther) {
  const Message raw_message{"bytes", {{"key", "v"}}};
  Event raw = event_of("{}");
  raw.message = &raw_message;
  raw.opaque = true;
  const Event plain = event_of(R"({"id":"1","data":"x","datacontenttype":"text/plain"})");
  const Event unfit = event_of(R"({"data_base64":"%"})");

  const BulkTopicEvent bulk = to_bulk_topic_event(orders(), {&plain, &unfit, &raw}, {"a", "b", "c"});

  EXPECT_EQ(bulk.request.type(), "com.dapr.event.sent.bulk");
  EXPECT_EQ(bulk.request.path(), "/orders");
  ASSERT_EQ(bulk.request.entries_size(), 2);
  EXPECT_EQ(bulk.request.entries(0).cloud_event().data(), "x");
  EXPECT_EQ(bulk.request.entries(0).content_type(), "application/cloudevents+json");
  EXPECT_EQ(bulk.request.entries(1).bytes(), "bytes");
  EXPECT_EQ(bulk.request.entries(1).content_type(), "application/octet-stream");
  EXPECT_EQ(bulk.request.entries(1).metadata().at("key"), "v");
  ASSERT_EQ(bulk.unfit.size(), 1U);
  EXPECT_EQ(bulk.unfit[0].first, "b");
}

/// Dapr leaves such entries empty; see the README.
TEST(TopicEventTest, NotFollowedTheBase64DataOfABatchIsDecoded) {
  const Event binary = event_of(R"({"data_base64":"aGk="})");

  const BulkTopicEvent bulk = to_bulk_topic_event(orders(), {&binary}, {"a"});

  EXPECT_EQ(bulk.request.entries(0).cloud_event().data(), "hi");
}

TEST(TopicEventTest, ABatchsAnswerCountsEntryByEntry) {
  rt::TopicEventBulkResponse response;
  const auto add = [&](const std::string& id, rt::TopicEventResponse::TopicEventResponseStatus status) {
    response.add_statuses()->set_entry_id(id);
    response.mutable_statuses()->rbegin()->set_status(status);
  };
  add("c", rt::TopicEventResponse::DROP);
  add("unknown", rt::TopicEventResponse::DROP);
  add("a", rt::TopicEventResponse::SUCCESS);
  using Kind = Attempt::Kind;
  const auto kinds = [](const std::vector<Attempt>& attempts) {
    std::vector<Kind> all;
    for (const Attempt& one : attempts) all.push_back(one.kind);
    return all;
  };
  const std::vector<std::string> ids{"a", "b", "c"};

  EXPECT_EQ(kinds(read_bulk_topic_event_answer(0, response.SerializeAsString(), ids)),
            (std::vector{Kind::kSuccess, Kind::kFailed, Kind::kDrop}));
  EXPECT_EQ(kinds(read_bulk_topic_event_answer(0, "\xFF", ids)),
            (std::vector{Kind::kFailed, Kind::kFailed, Kind::kFailed}));
  EXPECT_EQ(kinds(read_bulk_topic_event_answer(12, "", ids)),
            (std::vector{Kind::kIgnored, Kind::kIgnored, Kind::kIgnored}));
}

TEST(TopicEventTest, ASubscriptionListIsRead) {
  rt::ListTopicSubscriptionsResponse response;
  response.add_subscriptions()->set_pubsub_name("without topic");
  rt::TopicSubscription* const one = response.add_subscriptions();
  one->set_pubsub_name("pubsub");
  one->set_topic("orders");
  one->set_dead_letter_topic("dead");
  (*one->mutable_metadata())["rawPayload"] = "true";
  rt::TopicRule* const rule = one->mutable_routes()->add_rules();
  rule->set_match("event.type == \"x\"");
  rule->set_path("/x");
  one->mutable_routes()->set_default_("/other");
  one->mutable_bulk_subscribe()->set_enabled(true);
  one->mutable_bulk_subscribe()->set_max_messages_count(-5);

  const auto list = parse_topic_subscriptions(response.SerializeAsString());

  ASSERT_TRUE(list);
  ASSERT_EQ(list->size(), 1U);
  const config::Subscription& read = list->front();
  EXPECT_EQ(read.dead_letter_topic, "dead");
  EXPECT_EQ(read.metadata.at("rawPayload"), "true");
  ASSERT_EQ(read.rules.size(), 1U);
  EXPECT_EQ(read.rules[0].path, "/x");
  EXPECT_EQ(read.default_path, "/other");
  EXPECT_TRUE(read.bulk);
  EXPECT_EQ(read.bulk_max_messages, 0U);
  EXPECT_FALSE(parse_topic_subscriptions("\xFF"));
}

}  // namespace
}  // namespace caisson::pubsub
