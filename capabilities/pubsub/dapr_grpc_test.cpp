#include "capabilities/pubsub/dapr_grpc.hpp"

#include <gtest/gtest.h>

#include "capabilities/pubsub/json_value.hpp"
#include "capabilities/pubsub/testing/fake_context.hpp"
#include "capabilities/pubsub/testing/subscriber_fixture.hpp"
#include "sdk/testing/rpc_client.hpp"

namespace caisson::pubsub {
namespace {

namespace rt = dapr::proto::runtime::v1;
using caisson::testing::call_rpc;
using caisson::testing::RpcAnswer;

/// An app that subscribes to everything and another that publishes by gRPC.
class DaprGrpcTest : public ::testing::Test, public testing::SubscriberFixture {
 protected:
  DaprGrpcTest()
      : SubscriberFixture({"Memory", "pubsub.in-memory",
                           [] {
                             return std::vector<std::pair<std::string, std::string>>{{"protectedTopics", "secret"}};
                           },
                           false}) {
    http_app_comes(R"([{"pubsubname":"pubsub","topic":"orders","route":"/orders"}])");
    gateway_.wait_for_status(
        [](const sdk::Status& status) { return status.metadata.find("/orders") != std::string::npos; });
  }

  static rt::PublishEventRequest event(const std::string& data, const std::string& type = {}) {
    rt::PublishEventRequest request;
    request.set_pubsub_name("pubsub");
    request.set_topic("orders");
    request.set_data(data);
    request.set_data_content_type(type);
    return request;
  }
  static rt::BulkPublishRequest bulk(const std::vector<std::pair<std::string, std::string>>& entries) {
    rt::BulkPublishRequest request;
    request.set_pubsub_name("pubsub");
    request.set_topic("orders");
    for (const auto& [id, data] : entries) {
      rt::BulkPublishRequestEntry* const entry = request.add_entries();
      entry->set_entry_id(id);
      entry->set_event(data);
      entry->set_content_type("text/plain");
    }
    return request;
  }
};

TEST_F(DaprGrpcTest, APublishedEventIsWrappedAsOverHttp) {
  const RpcAnswer answer = call_rpc(gateway_, "PublishEvent", event(R"({"total":7})", "application/json"));

  ASSERT_TRUE(answer.ok()) << answer.message;
  EXPECT_EQ(answer.body, "");
  wait_for_calls(1);
  const auto delivered = parse_json(calls_[0].body);
  ASSERT_TRUE(delivered);
  EXPECT_EQ(delivered->find("data")->find("total")->text, "7");
  EXPECT_EQ(delivered->text_of("source"), "shop");
  EXPECT_EQ(delivered->text_of("datacontenttype"), "application/json");
}

TEST_F(DaprGrpcTest, EachFailureHasItsCodeAndReason) {
  const auto expect = [&](const rt::PublishEventRequest& request, Errc code, std::string_view reason) {
    const RpcAnswer answer = call_rpc(gateway_, "PublishEvent", request);
    EXPECT_EQ(answer.code, code) << answer.message;
    EXPECT_EQ(answer.reason, "DAPR_PUBSUB_" + std::string(reason));
    EXPECT_EQ(answer.domain, "dapr.io");
  };
  rt::PublishEventRequest request = event("x");
  request.set_pubsub_name("");
  expect(request, Errc::kInvalidArgument, "NAME_EMPTY");
  request.set_pubsub_name("unknown");
  expect(request, Errc::kInvalidArgument, "NOT_FOUND");
  request = event("x");
  request.set_topic("");
  expect(request, Errc::kInvalidArgument, "TOPIC_NAME_EMPTY");
  request = event("x");
  (*request.mutable_metadata())["rawPayload"] = "maybe";
  expect(request, Errc::kInvalidArgument, "METADATA_DESERIALIZATION");
  expect(event("no json", "application/cloudevents+json"), Errc::kInvalidArgument, "CLOUD_EVENT_CREATION");
  request = event("x");
  request.set_topic("secret");
  expect(request, Errc::kPermissionDenied, "FORBIDDEN");
}

TEST_F(DaprGrpcTest, WithoutAnyComponentItIsAPrecondition) {
  generation_.components.clear();
  ASSERT_EQ(gateway_.configure(generation_), "");
  run_until([&] { return gateway_.status().components.empty(); });

  const RpcAnswer answer = call_rpc(gateway_, "PublishEvent", event("x"));

  EXPECT_EQ(answer.code, Errc::kFailedPrecondition);
  EXPECT_EQ(answer.reason, "DAPR_PUBSUB_NOT_CONFIGURED");
}

TEST_F(DaprGrpcTest, WhatIsNoMessageIsRefused) {
  EXPECT_EQ(call_rpc(gateway_, "PublishEvent", std::string("\xFF")).code, Errc::kInternal);
  EXPECT_EQ(call_rpc(gateway_, "BulkPublishEvent", std::string("\xFF")).code, Errc::kInternal);
}

TEST_F(DaprGrpcTest, RawDataTakesItsTraceContextAlongAsMetadata) {
  Envelope envelope;
  envelope.kind = wire::Kind::Request;
  envelope.id = 1;
  envelope.traceparent = "00-parent";
  envelope.tracestate = "state";
  const sdk::Request request(Incoming(testing::FrameMemory::make(envelope, {}), {}, Deadline::never()));
  rt::PublishEventRequest message = event("x");
  EXPECT_EQ(dapr_grpc::decode(request, message).metadata.count("traceid"), 0U);

  (*message.mutable_metadata())["rawPayload"] = "true";

  const Publish publish = dapr_grpc::decode(request, message);
  EXPECT_EQ(publish.metadata.at("traceid"), "00-parent");
  EXPECT_EQ(publish.metadata.at("tracestate"), "state");
}

TEST_F(DaprGrpcTest, ABulkIsPublishedEntryByEntry) {
  for (const char* const method : {"BulkPublishEvent", "BulkPublishEventAlpha1"}) {
    calls_.clear();
    rt::BulkPublishResponse response;
    const RpcAnswer answer = call_rpc(gateway_, method, bulk({{"1", "a"}, {"2", "b"}}), &response);

    ASSERT_TRUE(answer.ok()) << answer.message;
    EXPECT_EQ(response.failedentries_size(), 0);
    wait_for_calls(2);
    const auto first = parse_json(calls_[0].body);
    const auto second = parse_json(calls_[1].body);
    EXPECT_EQ(first->text_of("data"), "a");
    EXPECT_EQ(second->text_of("data"), "b");
    EXPECT_NE(first->text_of("id"), second->text_of("id"));
  }
}

TEST_F(DaprGrpcTest, EntriesNeedIdsOfTheirOwn) {
  for (const auto& entries : {bulk({{"1", "a"}, {"1", "b"}}), bulk({{"", "a"}})}) {
    const RpcAnswer answer = call_rpc(gateway_, "BulkPublishEvent", entries);

    EXPECT_EQ(answer.code, Errc::kInvalidArgument);
    EXPECT_EQ(answer.reason, "DAPR_PUBSUB_MARSHAL_EVENTS");
  }
  EXPECT_TRUE(calls_.empty());
}

TEST_F(DaprGrpcTest, ABulkRefusedByScopingIsRefusedAsAWhole) {
  rt::BulkPublishRequest request = bulk({{"1", "a"}});
  request.set_topic("secret");

  EXPECT_EQ(call_rpc(gateway_, "BulkPublishEvent", request).reason, "DAPR_PUBSUB_FORBIDDEN");
}

TEST_F(DaprGrpcTest, TheRequestsMetadataCountsForEveryEntryUnlessItHasItsOwn) {
  Envelope envelope;
  envelope.kind = wire::Kind::Request;
  envelope.id = 1;
  rt::BulkPublishRequest message = bulk({{"1", "a"}, {"2", "b"}});
  (*message.mutable_metadata())["key"] = "common";
  (*message.mutable_entries(0)->mutable_metadata())["key"] = "own";
  const sdk::Request request(
      Incoming(testing::FrameMemory::make(envelope, message.SerializeAsString()), {}, Deadline::never()));

  const auto decoded = dapr_grpc::decode_bulk_publish(request);

  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->entries[0].metadata.at("key"), "own");
  EXPECT_EQ(decoded->entries[1].metadata.at("key"), "common");
}

}  // namespace
}  // namespace caisson::pubsub
