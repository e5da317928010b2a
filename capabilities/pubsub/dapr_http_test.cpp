#include "capabilities/pubsub/dapr_http.hpp"

#include <gtest/gtest.h>

#include "capabilities/pubsub/testing/fake_context.hpp"

namespace caisson::pubsub {
namespace {

sdk::Request request_of(const Envelope& envelope, std::string body) {
  return sdk::Request(Incoming(testing::FrameMemory::make(envelope, std::move(body)), nullptr, Deadline::never()));
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

TEST(DaprHttpTest, ABodyOverTheLimitIsAnsweredAsTheApiDoes) {
  const Route route = dapr_http::publish_route();

  EXPECT_EQ(route.path, "/v1.0/publish/{pubsub}/{topic...}");
  EXPECT_EQ(route.selector, "pubsub");
  EXPECT_EQ(route.too_large.status, 500);
  EXPECT_EQ(route.too_large.code, "ERR_PUBSUB_PUBLISH_MESSAGE");
}

}  // namespace
}  // namespace caisson::pubsub
