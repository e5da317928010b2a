#include "capabilities/pubsub/dapr_http.hpp"

#include <gtest/gtest.h>

#include "capabilities/pubsub/testing/fake_context.hpp"

namespace caisson::pubsub {
namespace {

sdk::Request request_of(const Envelope& envelope, std::string body) {
  return sdk::Request(Incoming(testing::FrameMemory::make(envelope, std::move(body)), {}, Deadline::never()));
}

Publish publish_to(std::string pubsub, std::string topic) {
  Publish publish;
  publish.app = "shop";
  publish.pubsub = std::move(pubsub);
  publish.topic = std::move(topic);
  return publish;
}

std::string answer(const Publish& publish, PublishFailure failure, std::string reason = {}) {
  const sdk::Response response = dapr_http::encode(publish, PublishResult{failure, std::move(reason)});
  return std::to_string(response.status) + " " + response.body.to_string();
}

TEST(DaprHttpTest, ARequestBecomesAPublish) {
  const Field parameters[] = {{"pubsub", "pubsub"}, {"topic", "orders/new"}};
  const Field headers[] = {{"Content-Type", "application/json"}};
  Envelope envelope;
  envelope.kind = wire::Kind::Request;
  envelope.id = 1;
  envelope.app = "shop";
  envelope.request = {1, 2, 3};
  envelope.query = "metadata.ttlInSeconds=5&metadata.cloudevent.id=a%20b&other=1";
  envelope.traceparent = "trace";
  envelope.parameters = parameters;
  envelope.headers = headers;
  const sdk::Request request = request_of(envelope, "[1]");

  const Publish publish = dapr_http::decode_publish(request);

  EXPECT_EQ(publish.app, "shop");
  EXPECT_EQ(publish.pubsub, "pubsub");
  EXPECT_EQ(publish.topic, "orders/new");
  EXPECT_EQ(publish.content_type, "application/json");
  EXPECT_EQ(publish.data, "[1]");
  EXPECT_EQ(publish.metadata, (MessageMetadata{{"ttlInSeconds", "5"}, {"cloudevent.id", "a b"}}));
  EXPECT_EQ(publish.traceparent, "trace");
  EXPECT_EQ(publish.request, (RequestId{1, 2, 3}));
}

TEST(DaprHttpTest, SuccessHasNoContent) {
  EXPECT_EQ(answer(publish_to("pubsub", "orders"), PublishFailure::kNone), "204 ");
}

TEST(DaprHttpTest, EachFailureHasItsCode) {
  const Publish publish = publish_to("pubsub", "orders");
  const auto expect = [&](PublishFailure failure, std::string_view status, std::string_view code,
                          std::string_view reason) {
    const std::string text = answer(publish, failure, "why");
    EXPECT_EQ(text.substr(0, 3), status);
    EXPECT_NE(text.find("\"errorCode\":\"" + std::string(code) + "\""), std::string::npos) << text;
    EXPECT_NE(text.find("\"reason\":\"" + std::string(reason) + "\""), std::string::npos) << text;
  };
  expect(PublishFailure::kNotConfigured, "400", "ERR_PUBSUB_NOT_CONFIGURED", "DAPR_PUBSUB_NOT_CONFIGURED");
  expect(PublishFailure::kPubsubEmpty, "404", "ERR_PUBSUB_EMPTY", "DAPR_PUBSUB_NAME_EMPTY");
  expect(PublishFailure::kNotFound, "404", "ERR_PUBSUB_NOT_FOUND", "DAPR_PUBSUB_NOT_FOUND");
  expect(PublishFailure::kTopicEmpty, "404", "ERR_TOPIC_NAME_EMPTY", "DAPR_PUBSUB_TOPIC_NAME_EMPTY");
  expect(PublishFailure::kMetadata, "400", "ERR_PUBSUB_REQUEST_METADATA", "DAPR_PUBSUB_METADATA_DESERIALIZATION");
  expect(PublishFailure::kCloudEvent, "500", "ERR_PUBSUB_CLOUD_EVENTS_SER", "DAPR_PUBSUB_CLOUD_EVENT_CREATION");
  expect(PublishFailure::kEntriesText, "400", "ERR_PUBSUB_EVENTS_SER", "DAPR_PUBSUB_UNMARSHAL_EVENTS");
  expect(PublishFailure::kEntriesEvent, "400", "ERR_PUBSUB_EVENTS_SER", "DAPR_PUBSUB_MARSHAL_ENVELOPE");
  expect(PublishFailure::kEntriesId, "400", "ERR_PUBSUB_EVENTS_SER", "DAPR_PUBSUB_MARSHAL_EVENTS");
  expect(PublishFailure::kForbidden, "403", "ERR_PUBSUB_FORBIDDEN", "DAPR_PUBSUB_FORBIDDEN");
  expect(PublishFailure::kBroker, "500", "ERR_PUBSUB_PUBLISH_MESSAGE", "DAPR_PUBSUB_PUBLISH_MESSAGE");
}

TEST(DaprHttpTest, BrokerErrorsCarryTopicAndError) {
  EXPECT_EQ(
      answer(publish_to("pubsub", "orders"), PublishFailure::kBroker, "disk full"),
      R"(500 {"errorCode":"ERR_PUBSUB_PUBLISH_MESSAGE",)"
      R"("message":"error when publishing to topic orders in pubsub pubsub: disk full","details":[)"
      R"({"@type":"type.googleapis.com/google.rpc.ResourceInfo","resource_type":"pubsub","resource_name":"pubsub","owner":"","description":""},)"
      R"({"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"DAPR_PUBSUB_PUBLISH_MESSAGE","domain":"dapr.io",)"
      R"("metadata":{"error":"disk full","topic":"orders"}}]})");
}

BulkPublish decode_bulk(std::string body, std::string_view query = {}) {
  const Field parameters[] = {{"pubsub", "pubsub"}, {"topic", "orders"}};
  Envelope envelope;
  envelope.kind = wire::Kind::Request;
  envelope.id = 1;
  envelope.app = "shop";
  envelope.query = query;
  envelope.parameters = parameters;
  return dapr_http::decode_bulk_publish(request_of(envelope, std::move(body)));
}

TEST(DaprHttpTest, BulkEventsBecomeTheBytesOfTheirContentType) {
  const BulkPublish bulk = decode_bulk(R"([
      {"entryId":"1","event":"aGk=","contentType":"application/octet-stream"},
      {"entryID":"2","Event":"text","CONTENTTYPE":"Text/Plain; charset=utf-8"},
      {"entryId":"3","event":"<a/>","contentType":"application/xml"},
      {"entryId":"4","event":{"b":"<","a":1.0},"contentType":"application/json"},
      {"entryId":"5","event":"word","contentType":"application/json"},
      {"entryId":"6","event":{"id":"x"},"contentType":"application/cloudevents+json"}])");

  EXPECT_EQ(bulk.unreadable.failure, PublishFailure::kNone) << bulk.unreadable.reason;
  ASSERT_EQ(bulk.entries.size(), 6U);
  std::vector<std::string> data;
  for (const BulkEntry& entry : bulk.entries) data.push_back(entry.id + " " + entry.data);
  EXPECT_EQ(data, (std::vector<std::string>{"1 hi", "2 text", "3 <a/>", R"(4 {"a":1.0,"b":"\u003c"})", R"(5 "word")",
                                            R"(6 {"id":"x"})"}));
  EXPECT_EQ(bulk.common.topic, "orders");
}

TEST(DaprHttpTest, BulkEventsThatDoNotFitTheirContentTypeAreNamed) {
  for (const char* const entry :
       {R"("event":1,"contentType":"text/plain")", R"("event":"%","contentType":"application/octet-stream")",
        R"("event":"x")", R"("event":"x","contentType":"image/png")", R"("contentType":"text/plain")"}) {
    const BulkPublish bulk = decode_bulk(std::string(R"([{"entryId":"7",)") + entry + "}]");
    EXPECT_EQ(bulk.unreadable.failure, PublishFailure::kEntriesEvent) << entry;
    EXPECT_NE(bulk.unreadable.reason.find("'7'"), std::string::npos);
  }
}

TEST(DaprHttpTest, ABulkBodyThatIsNoListOfEntriesIsRefused) {
  for (const char* const body : {"", "{}", "[1]", "[{]", R"([{"entryId":1}])", R"([{"contentType":true}])",
                                 R"([{"entryId":"1","metadata":[]}])", R"([{"entryId":"1","metadata":{"a":1}}])"}) {
    EXPECT_EQ(decode_bulk(body).unreadable.failure, PublishFailure::kEntriesText) << body;
  }
  EXPECT_EQ(decode_bulk("[]").unreadable.failure, PublishFailure::kNone);
  EXPECT_EQ(decode_bulk("null").unreadable.failure, PublishFailure::kNone);
}

TEST(DaprHttpTest, QuirkTheQuerysMetadataCountsOnlyForEntriesThatHaveSome) {
  const BulkPublish bulk = decode_bulk(R"([{"entryId":"1","event":"a","contentType":"text/plain"},
      {"entryId":"2","event":"a","contentType":"text/plain","metadata":null},
      {"entryId":"3","event":"a","contentType":"text/plain","metadata":{}},
      {"entryId":"4","event":"a","contentType":"text/plain","metadata":{"key":"own"}}])",
                                       "metadata.key=common");

  ASSERT_EQ(bulk.entries.size(), 4U);
  EXPECT_TRUE(bulk.entries[0].metadata.empty());
  EXPECT_TRUE(bulk.entries[1].metadata.empty());
  EXPECT_EQ(bulk.entries[2].metadata.at("key"), "common");
  EXPECT_EQ(bulk.entries[3].metadata.at("key"), "own");
}

TEST(DaprHttpTest, EntriesThatFailAreListedInBodyAndHeader) {
  const Publish publish = publish_to("pubsub", "orders");
  BulkPublishResult result;
  EXPECT_EQ(dapr_http::encode(publish, result).status, 204);
  result.whole = {PublishFailure::kBroker, "disk\nfull"};
  result.failed = {{"1", "disk full"}, {"2", ""}};

  const sdk::Response response = dapr_http::encode(publish, result);

  const std::string body =
      R"({"failedEntries":[{"entryId":"1","error":"disk full"},{"entryId":"2"}],"errorCode":"ERR_PUBSUB_PUBLISH_MESSAGE"})";
  EXPECT_EQ(response.status, 500);
  EXPECT_EQ(response.body.to_string(), body);
  std::map<std::string, std::string> headers(response.headers.begin(), response.headers.end());
  EXPECT_EQ(headers["metadata.responseData"], body);
  EXPECT_EQ(headers["metadata.error"], "error when publishing to topic orders in pubsub pubsub: disk full");
}

TEST(DaprHttpTest, AListThatIsTooLongForAHeaderStandsInTheBodyAlone) {
  BulkPublishResult result;
  result.whole = {PublishFailure::kBroker, "no"};
  for (int i = 0; i < 1000; ++i) result.failed.push_back({std::to_string(i), "no"});

  const sdk::Response response = dapr_http::encode(publish_to("pubsub", "orders"), result);

  for (const auto& [name, value] : response.headers) EXPECT_NE(name, "metadata.responseData");
}

TEST(DaprHttpTest, BulkFailuresOfTheWholeHaveTheOrdinaryForm) {
  BulkPublishResult result;
  result.whole = {PublishFailure::kEntriesId, "why"};
  const sdk::Response response = dapr_http::encode(publish_to("pubsub", "orders"), result);

  EXPECT_EQ(response.status, 400);
  EXPECT_NE(response.body.to_string().find("\"errorCode\":\"ERR_PUBSUB_EVENTS_SER\""), std::string::npos);
}

TEST(DaprHttpTest, ABodyOverTheLimitIsAnsweredAsTheApiDoes) {
  const Route route = dapr_http::publish_route();

  EXPECT_EQ(route.path, "/v1.0/publish/{pubsub}/{topic...}");
  EXPECT_EQ(route.selector, "pubsub");
  EXPECT_EQ(route.too_large.status, 500);
  EXPECT_EQ(route.too_large.code, "ERR_PUBSUB_PUBLISH_MESSAGE");
}

}  // namespace
}  // namespace caisson::pubsub
