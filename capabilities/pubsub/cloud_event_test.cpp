#include "capabilities/pubsub/cloud_event.hpp"

#include <gtest/gtest.h>

#include <set>

namespace caisson::pubsub {
namespace {

WallTime noon() { return *parse_rfc3339("2026-08-21T12:00:00Z"); }

EventContext context(std::string_view content_type) {
  EventContext context;
  context.id = "the-id";
  context.app = "shop";
  context.pubsub = "pubsub";
  context.topic = "orders";
  context.content_type = content_type;
  context.traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  context.now = noon();
  return context;
}

std::string wrapped(std::string_view content_type, std::string_view data, const MessageMetadata& metadata = {}) {
  const auto event = wrap(context(content_type), data, metadata);
  return event ? *event : "error: " + event.error().message;
}

std::string member(const std::string& event, std::string_view name) {
  const auto parsed = parse_json(event);
  return parsed ? std::string(parsed->text_of(name)) : "not JSON";
}

TEST(CloudEventTest, JsonDataIsEmbeddedWithSortedKeysExactNumbersAndHtmlEscapes) {
  EXPECT_EQ(
      wrapped("application/json", R"({"b": 1.50, "a": 12345678901234567890123, "c": ["<x> & y", null, true, 1e400]})"),
      R"({"data":{"a":12345678901234567890123,"b":1.50,"c":["\u003cx\u003e \u0026 y",null,true,1e400]},)"
      R"("datacontenttype":"application/json","id":"the-id","pubsubname":"pubsub","source":"shop",)"
      R"("specversion":"1.0","time":"2026-08-21T12:00:00Z","topic":"orders",)"
      R"("traceid":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",)"
      R"("traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01","tracestate":"",)"
      R"("type":"com.dapr.event.sent"})");
}

TEST(CloudEventTest, TextIsAStringAndAnEmptyContentTypeIsTextPlain) {
  const std::string event = wrapped("", "a \"quote\"\n");

  EXPECT_NE(event.find(R"("data":"a \"quote\"\n","datacontenttype":"text/plain")"), std::string::npos) << event;
}

TEST(CloudEventTest, BrokenJsonIsKeptAsText) {
  EXPECT_EQ(member(wrapped("application/json", "{\"a\":"), "data"), "{\"a\":");
}

TEST(CloudEventTest, TheContentTypeIsComparedWithoutCaseAndParameters) {
  EXPECT_NE(wrapped("Application/JSON; charset=utf-8", "[1, 2]").find(R"("data":[1,2])"), std::string::npos);
  EXPECT_EQ(member(wrapped("application/vnd.x+json", "[1]"), "data"), "[1]");
}

TEST(CloudEventTest, BinaryDataIsBase64) {
  const std::string event = wrapped("application/octet-stream", std::string_view("\0\xFFhi", 4));

  EXPECT_EQ(member(event, "data_base64"), "AP9oaQ==");
  EXPECT_EQ(event.find("\"data\""), std::string::npos);
}

TEST(CloudEventTest, MetadataOverridesAttributesWhateverItsCase) {
  const std::string event = wrapped("text/plain", "x",
                                    {{"CloudEvent.ID", "mine"},
                                     {"cloudevent.source", "elsewhere"},
                                     {"cloudevent.type", "order.placed"},
                                     {"cloudevent.subject", "42"},
                                     {"cloudevent.traceid", "older"},
                                     {"cloudevent.traceparent", "newer"}});

  EXPECT_EQ(member(event, "id"), "mine");
  EXPECT_EQ(member(event, "source"), "elsewhere");
  EXPECT_EQ(member(event, "type"), "order.placed");
  EXPECT_EQ(member(event, "subject"), "42");
  EXPECT_EQ(member(event, "traceid"), "newer");
  EXPECT_EQ(member(event, "traceparent"), "newer");
}

TEST(CloudEventTest, ATimeToLiveBecomesAnExpiration) {
  EXPECT_EQ(member(wrapped("text/plain", "x", {{"ttlInSeconds", "90"}}), "expiration"), "2026-08-21T12:01:30Z");
  EXPECT_EQ(member(wrapped("text/plain", "x", {{"ttl", "1"}}), "expiration"), "2026-08-21T12:00:01Z");
  EXPECT_EQ(member(wrapped("text/plain", "x", {{"ttlInSeconds", "-1"}}), "expiration"), "");
}

TEST(CloudEventTest, AnEventOfTheAppKeepsItsAttributesAndGetsTheMissingOnes) {
  EXPECT_EQ(wrapped("application/cloudevents+json", R"({"id":"1","type":"t","data":{"n":007e0},"topic":"other"})")
                .substr(0, 6),
            "error:");
  EXPECT_EQ(wrapped("application/cloudevents+json; charset=UTF-8",
                    R"({"id":"1","type":"t","data":{"n":7},"topic":"other","time":"then","traceid":"given"})"),
            R"({"data":{"n":7},"id":"1","pubsubname":"pubsub","source":"Dapr","specversion":"1.0","time":"then",)"
            R"("topic":"orders","traceid":"given","tracestate":"","type":"t"})");
}

TEST(CloudEventTest, AnEventOfTheAppThatIsNoObjectIsRefused) {
  EXPECT_FALSE(wrap(context("application/cloudevents+json"), "[]", {}));
  EXPECT_FALSE(wrap(context("application/cloudevents+json"), "", {}));
}

TEST(CloudEventTest, ARawMessageIsWrappedForItsSubscriber) {
  EventContext raw = context("");
  raw.traceparent = {};

  EXPECT_EQ(
      to_text(raw_event(raw, "hi")),
      R"({"data_base64":"aGk=","datacontenttype":"application/octet-stream","id":"the-id",)"
      R"("pubsubname":"pubsub","source":"Dapr","specversion":"1.0","topic":"orders","type":"com.dapr.event.sent"})");
}

TEST(CloudEventTest, TheSameRequestAlwaysHasTheSameIdAndEveryOtherOneAnother) {
  std::set<std::string> ids;
  for (std::uint64_t generation = 1; generation <= 200; ++generation) {
    for (std::uint32_t slot = 0; slot < 50; ++slot) {
      const RequestId request{7, generation, slot};
      ids.insert(event_id(request));
      EXPECT_EQ(event_id(request), event_id(request));
    }
  }

  EXPECT_EQ(ids.size(), 200U * 50U);
  EXPECT_EQ(ids.begin()->size(), 36U);
  EXPECT_EQ((*ids.begin())[14], '4');
}

TEST(CloudEventTest, ARequestWithoutIdentityGetsARandomId) { EXPECT_NE(event_id({}), event_id({})); }

TEST(CloudEventTest, MomentsAreReadWithOffsetsAndFractions) {
  EXPECT_EQ(format_rfc3339(*parse_rfc3339("2026-08-21T14:00:00.123+02:00")), "2026-08-21T12:00:00Z");
  EXPECT_EQ(format_rfc3339(*parse_rfc3339("2024-02-29T23:59:59-01:30")), "2024-03-01T01:29:59Z");
  for (const char* const wrong : {"", "2026", "2026-13-01T00:00:00Z", "2026-02-30T00:00:00Z", "2026-08-21T12:00:00",
                                  "2026-08-21T12:00:00.Z", "9999-01-01T00:00:00Z"}) {
    EXPECT_FALSE(parse_rfc3339(wrong)) << wrong;
  }
}

TEST(CloudEventTest, AnEventExpiresAfterItsMoment) {
  const auto event = parse_json(R"({"expiration":"2026-08-21T12:00:00Z"})");
  ASSERT_TRUE(event);

  EXPECT_FALSE(has_expired(*event, noon()));
  EXPECT_TRUE(has_expired(*event, noon() + std::chrono::seconds(1)));
}

TEST(JsonValueTest, EscapesAndSurrogatesBecomeCharacters) {
  const auto value = parse_json(R"("\u00e9\ud83d\ude00\ud800x\/\b")");

  ASSERT_TRUE(value);
  EXPECT_EQ(value->text, "\xC3\xA9\xF0\x9F\x98\x80\xEF\xBF\xBDx/\b");
}

TEST(JsonValueTest, WhatIsNoJsonIsRefused) {
  for (const char* const wrong : {"", "{", "[1,]", "{\"a\" 1}", "{a:1}", "01", "1.", "-", "1e", "tru", "\"\\x\"",
                                  "\"\t\"", "\"\\u12", "[1] 2", "{\"a\":1,}", "\"abc"}) {
    EXPECT_FALSE(parse_json(wrong)) << wrong;
  }
  EXPECT_FALSE(parse_json(std::string(100'000, '[')));
}

TEST(JsonValueTest, TheLastOfRepeatedMembersCounts) {
  const auto value = parse_json(R"({"b":0,"a":1,"a":2})");
  ASSERT_TRUE(value);
  std::string out;
  append_json(out, *value, HtmlEscape::kNo);

  EXPECT_EQ(out, R"({"a":2,"b":0})");
}

}  // namespace
}  // namespace caisson::pubsub
