#include "capabilities/pubsub/http_app.hpp"

#include <gtest/gtest.h>

namespace caisson::pubsub {
namespace {

using Kind = Attempt::Kind;

std::vector<Kind> kinds(std::uint16_t status, std::string_view body) {
  std::vector<Kind> all;
  for (const Attempt& one : read_bulk_answer(status, body, {"a", "b", "c"})) all.push_back(one.kind);
  return all;
}

TEST(HttpAppTest, ABulkAnswerCountsEntryByEntry) {
  EXPECT_EQ(kinds(200, R"({"statuses":[{"entryId":"b","status":"DROP"},{"entryId":"a","status":"SUCCESS"},
                                       {"entryId":"c","status":"RETRY"}]})"),
            (std::vector{Kind::kSuccess, Kind::kDrop, Kind::kFailed}));
  EXPECT_EQ(kinds(204, R"({"Statuses":[{"EntryID":"a","Status":"SUCCESS"}]})"),
            (std::vector{Kind::kSuccess, Kind::kFailed, Kind::kFailed}));
}

TEST(HttpAppTest, AnEntryWithoutAWordHasFailedAndUnknownEntriesArePassedOver) {
  EXPECT_EQ(kinds(200, R"({"statuses":[{"entryId":"a","status":""},{"entryId":"b"},{"entryId":"z","status":"DROP"},
                                       7,{"status":"DROP"},{"entryId":"c","status":"SUCCESS"}]})"),
            (std::vector{Kind::kFailed, Kind::kFailed, Kind::kSuccess}));
}

TEST(HttpAppTest, ABulkAnswerThatCannotBeReadFailsAll) {
  const std::vector all_failed(3, Kind::kFailed);
  for (const char* const body : {"", "no json", "[]", "{}", R"({"statuses":{}})"}) {
    EXPECT_EQ(kinds(200, body), all_failed) << body;
  }
  EXPECT_EQ(kinds(500, ""), all_failed);
  EXPECT_EQ(kinds(302, ""), all_failed);
}

TEST(HttpAppTest, QuirkABulkAnsweredWith404IsDroppedWithoutDeadLetters) {
  EXPECT_EQ(kinds(404, ""), std::vector(3, Kind::kIgnored));
}

TEST(HttpAppTest, ABulkEnvelopeHoldsEventsAndRawBytes) {
  config::Subscription subscription;
  subscription.pubsub = "pubsub";
  subscription.topic = "orders";
  const Message plain_message{R"({"id":"1","data":1.50})", {{"key", "v"}}};
  const Message raw_message{"hi", {}};
  Event plain;
  plain.message = &plain_message;
  plain.attributes = *parse_json(plain_message.data);
  Event raw;
  raw.message = &raw_message;
  raw.opaque = true;

  const auto envelope = parse_json(write_bulk_envelope(subscription, {&plain, &raw}, {"a", "b"}));

  ASSERT_TRUE(envelope);
  EXPECT_EQ(envelope->text_of("type"), "com.dapr.event.sent.bulk");
  EXPECT_EQ(envelope->text_of("topic"), "orders");
  EXPECT_EQ(envelope->text_of("pubsubname"), "pubsub");
  EXPECT_FALSE(envelope->text_of("id").empty());
  ASSERT_TRUE(envelope->find("metadata")->is_object());
  std::string entries;
  append_json(entries, *envelope->find("entries"), HtmlEscape::kNo);
  EXPECT_EQ(entries, R"([{"contentType":"application/cloudevents+json","entryId":"a","event":{"data":1.50,"id":"1"},)"
                     R"("metadata":{"key":"v"}},)"
                     R"({"contentType":"application/octet-stream","entryId":"b","event":"aGk=","metadata":{}}])");
}

}  // namespace
}  // namespace caisson::pubsub
