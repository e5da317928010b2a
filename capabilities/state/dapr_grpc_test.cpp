#include "capabilities/state/dapr_grpc.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "bus/testing/temporary_directory.hpp"
#include "capabilities/state/capability.hpp"
#include "capabilities/state/dapr_messages.hpp"
#include "sdk/testing/rpc_client.hpp"

namespace caisson::state {
namespace {

using caisson::testing::call_rpc;
using caisson::testing::RpcAnswer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Common = ::dapr::proto::common::v1::StateOptions;

/// The capability behind a gateway that the test plays, with the stores "mem" (in-memory), "disk"
/// (sqlite) and "private" (for the app "bank" only).
class DaprGrpcTest : public ::testing::Test {
 protected:
  DaprGrpcTest() {
    for (const char* app : {"shop", "bank"}) gateway_.set_app(app);
    add("mem", "state.in-memory");
    add("disk", "state.sqlite");
    add("private", "state.in-memory", {"bank"});
    EXPECT_EQ(gateway_.configure(generation_), "");
  }

  void add(const std::string& name, const std::string& type, std::vector<std::string> scopes = {}) {
    config::Component component;
    component.name = name;
    component.type = type;
    component.version = "v1";
    component.scopes = std::move(scopes);
    generation_.components.push_back(std::move(component));
  }

  static rpc::SaveStateRequest save_of(const std::string& store, const std::string& key, const std::string& value,
                                       const std::string& etag = {}) {
    rpc::SaveStateRequest message;
    message.set_store_name(store);
    auto* const item = message.add_states();
    item->set_key(key);
    item->set_value(value);
    if (!etag.empty()) item->mutable_etag()->set_value(etag);
    return message;
  }
  RpcAnswer save(const std::string& store, const std::string& key, const std::string& value,
                 const std::string& etag = {}) {
    return call_rpc(gateway_, "SaveState", save_of(store, key, value, etag));
  }

  rpc::GetStateResponse get(const std::string& store, const std::string& key) {
    rpc::GetStateRequest message;
    message.set_store_name(store);
    message.set_key(key);
    rpc::GetStateResponse response;
    const RpcAnswer answer = call_rpc(gateway_, "GetState", message, &response);
    EXPECT_TRUE(answer.ok()) << answer.message;
    return response;
  }
  RpcAnswer get_refused(const std::string& store, const std::string& key, const std::string& app = "shop") {
    rpc::GetStateRequest message;
    message.set_store_name(store);
    message.set_key(key);
    return call_rpc(gateway_, "GetState", message, nullptr, app);
  }

  RpcAnswer remove(const std::string& store, const std::string& key, const std::string& etag = {}) {
    rpc::DeleteStateRequest message;
    message.set_store_name(store);
    message.set_key(key);
    if (!etag.empty()) message.mutable_etag()->set_value(etag);
    return call_rpc(gateway_, "DeleteState", message);
  }

  struct Operation {
    std::string type;
    std::string key;
    std::string value;
    std::string etag;
  };
  RpcAnswer transact(const std::string& store, const std::vector<Operation>& operations) {
    rpc::ExecuteStateTransactionRequest message;
    message.set_storename(store);
    for (const Operation& one : operations) {
      auto* const operation = message.add_operations();
      operation->set_operationtype(one.type);
      operation->mutable_request()->set_key(one.key);
      operation->mutable_request()->set_value(one.value);
      if (!one.etag.empty()) operation->mutable_request()->mutable_etag()->set_value(one.etag);
    }
    return call_rpc(gateway_, "ExecuteStateTransaction", message);
  }

  caisson::testing::TemporaryDirectory directory_;
  SystemClock clock_;
  EventLoop loop_{clock_};
  caisson::testing::FakeGateway gateway_{loop_, "state", make_state, directory_.path().string()};
  config::Generation generation_;
};

TEST_F(DaprGrpcTest, BytesAreKeptAsTheyAre) {
  const std::string bytes("\x00\xff{\"b\": 1.0}", 12);
  for (const char* store : {"mem", "disk"}) {
    ASSERT_TRUE(save(store, "cart", bytes).ok());

    const rpc::GetStateResponse found = get(store, "cart");

    EXPECT_EQ(found.data(), bytes) << store;
    EXPECT_EQ(found.etag().size(), 36U);
    EXPECT_TRUE(found.metadata().empty());
  }
}

TEST_F(DaprGrpcTest, AMissingKeyIsAnEmptyAnswer) {
  const rpc::GetStateResponse found = get("disk", "nothing");

  EXPECT_EQ(found.data(), "");
  EXPECT_EQ(found.etag(), "");
  EXPECT_TRUE(remove("disk", "nothing").ok());
}

TEST_F(DaprGrpcTest, QuirkOnlyTheExactJsonContentTypeIsParsedAndWrittenAnew) {
  for (const auto& [type, kept] : {std::pair("application/json", R"({"a":1})"),
                                   std::pair("application/json; charset=utf-8", R"({ "a" : 1.0 })")}) {
    auto message = save_of("disk", "doc", R"({ "a" : 1.0 })");
    (*message.mutable_states(0)->mutable_metadata())["contentType"] = type;
    ASSERT_TRUE(call_rpc(gateway_, "SaveState", message).ok());
    EXPECT_EQ(get("disk", "doc").data(), kept);
  }
}

TEST_F(DaprGrpcTest, QuirkAValueThatIsNotTheJsonItSaysIsUnknownWithoutDetails) {
  auto message = save_of("mem", "doc", "{");
  (*message.mutable_states(0)->mutable_metadata())["contentType"] = "application/json";

  const RpcAnswer answer = call_rpc(gateway_, "SaveState", message);

  EXPECT_EQ(answer.code, Errc::kUnknown);
  EXPECT_NE(answer.message, "");
  EXPECT_THAT(answer.details, ElementsAre());
  EXPECT_EQ(get("mem", "doc").etag(), "");
}

TEST_F(DaprGrpcTest, AStaleEtagAbortsSaveAndDelete) {
  ASSERT_TRUE(save("disk", "k", "1").ok());
  const std::string etag = get("disk", "k").etag();
  ASSERT_TRUE(save("disk", "k", "2", etag).ok());

  const RpcAnswer saved = save("disk", "k", "3", etag);
  const RpcAnswer removed = remove("disk", "k", etag);

  EXPECT_EQ(saved.code, Errc::kAborted);
  EXPECT_EQ(saved.reason, "ERR_STATE_SAVE");
  EXPECT_EQ(saved.domain, "dapr.io");
  EXPECT_THAT(saved.message, HasSubstr("failed saving state in state store disk: possible etag mismatch"));
  EXPECT_EQ(removed.code, Errc::kAborted);
  EXPECT_EQ(removed.reason, "ERR_STATE_DELETE");
  EXPECT_THAT(removed.message, HasSubstr("failed deleting state with key k: "));
  EXPECT_EQ(get("disk", "k").data(), "2");
}

TEST_F(DaprGrpcTest, FirstWriteOfAKeyThatIsThereIsAborted) {
  auto message = save_of("mem", "k", "1");
  message.mutable_states(0)->mutable_options()->set_concurrency(Common::CONCURRENCY_FIRST_WRITE);
  ASSERT_TRUE(call_rpc(gateway_, "SaveState", message).ok());

  EXPECT_EQ(call_rpc(gateway_, "SaveState", message).code, Errc::kAborted);
  message.mutable_states(0)->mutable_options()->set_concurrency(Common::CONCURRENCY_LAST_WRITE);
  EXPECT_TRUE(call_rpc(gateway_, "SaveState", message).ok());
}

TEST_F(DaprGrpcTest, AStoreTakesOnlyItsOwnEtags) {
  ASSERT_TRUE(save("mem", "k", "1").ok());
  const RpcAnswer answer = save("mem", "k", "2", "none of ours");
  EXPECT_TRUE(answer.code == Errc::kAborted || answer.code == Errc::kInvalidArgument);
  EXPECT_EQ(answer.reason, "ERR_STATE_SAVE");
}

TEST_F(DaprGrpcTest, ATimeToLiveIsTakenAndTold) {
  auto message = save_of("mem", "k", "1");
  (*message.mutable_states(0)->mutable_metadata())["ttlInSeconds"] = "60";
  ASSERT_TRUE(call_rpc(gateway_, "SaveState", message).ok());
  EXPECT_EQ(get("mem", "k").metadata().count("ttlExpireTime"), 1U);
  rpc::GetBulkStateRequest many;
  many.set_store_name("mem");
  many.add_keys("k");
  rpc::GetBulkStateResponse found;
  ASSERT_TRUE(call_rpc(gateway_, "GetBulkState", many, &found).ok());
  EXPECT_EQ(found.items(0).metadata().count("ttlExpireTime"), 1U);

  (*message.mutable_states(0)->mutable_metadata())["ttlInSeconds"] = "soon";
  const RpcAnswer answer = call_rpc(gateway_, "SaveState", message);
  EXPECT_EQ(answer.code, Errc::kInternal);
  EXPECT_EQ(answer.reason, "ERR_STATE_SAVE");
}

TEST_F(DaprGrpcTest, SavingNothingIsOkAndAnEmptyKeyIsNot) {
  rpc::SaveStateRequest nothing;
  nothing.set_store_name("mem");
  EXPECT_TRUE(call_rpc(gateway_, "SaveState", nothing).ok());

  const RpcAnswer answer = save("mem", "", "1");
  EXPECT_EQ(answer.code, Errc::kInvalidArgument);
  EXPECT_EQ(answer.reason, "ERR_STATE_SAVE");
}

TEST_F(DaprGrpcTest, AKeyWithTheSeparatorIsIllegalEverywhere) {
  rpc::GetBulkStateRequest many;
  many.set_store_name("mem");
  many.add_keys("a||b");
  rpc::DeleteBulkStateRequest removed;
  removed.set_store_name("mem");
  removed.add_states()->set_key("a||b");

  for (const RpcAnswer& answer :
       {get_refused("mem", "a||b"), save("mem", "a||b", "1"), remove("mem", "a||b"),
        call_rpc(gateway_, "GetBulkState", many), call_rpc(gateway_, "DeleteBulkState", removed),
        transact("mem", {{"upsert", "a||b", "1", {}}})}) {
    EXPECT_EQ(answer.code, Errc::kInvalidArgument);
    EXPECT_EQ(answer.reason, "DAPR_STATE_ILLEGAL_KEY");
    EXPECT_EQ(answer.message, "input key/keyPrefix 'a||b' can't contain '||'");
    EXPECT_THAT(answer.details, ElementsAre("BadRequest", "ResourceInfo", "ErrorInfo"));
  }
}

TEST_F(DaprGrpcTest, BulkGetAnswersInTheOrderOfTheKeys) {
  ASSERT_TRUE(save("disk", "b", "2").ok());
  ASSERT_TRUE(save("disk", "a", "not JSON").ok());
  rpc::GetBulkStateRequest message;
  message.set_store_name("disk");
  for (const char* key : {"b", "none", "a", "b"}) message.add_keys(key);
  rpc::GetBulkStateResponse response;

  ASSERT_TRUE(call_rpc(gateway_, "GetBulkState", message, &response).ok());

  ASSERT_EQ(response.items_size(), 4);
  EXPECT_EQ(response.items(0).data(), "2");
  EXPECT_EQ(response.items(0).etag(), get("disk", "b").etag());
  EXPECT_EQ(response.items(1).key(), "none");
  EXPECT_EQ(response.items(1).data(), "");
  EXPECT_EQ(response.items(1).etag(), "");
  EXPECT_EQ(response.items(2).data(), "not JSON");
  EXPECT_EQ(response.items(3).key(), "b");

  message.clear_keys();
  ASSERT_TRUE(call_rpc(gateway_, "GetBulkState", message, &response).ok());
  EXPECT_EQ(response.items_size(), 0);
}

TEST_F(DaprGrpcTest, AValueThatFitsIntoNoAnswerIsRefused) {
  const std::string value(kMostValueBytes + 1, 'x');
  ASSERT_TRUE(save("mem", "large", value).ok());

  const RpcAnswer answer = get_refused("mem", "large");

  EXPECT_THAT(answer.message, HasSubstr("the value is " + std::to_string(value.size()) + " bytes long"));
}

TEST(BulkMessageTest, AKeyThatCouldNotBeReadHasItsError) {
  std::vector<Found> found;
  found.emplace_back(Error{Errc::kInternal, "no luck"});

  const rpc::GetBulkStateResponse message = message_of({"k"}, std::move(found));

  ASSERT_EQ(message.items_size(), 1);
  EXPECT_EQ(message.items(0).key(), "k");
  EXPECT_EQ(message.items(0).error(), "no luck");
}

TEST_F(DaprGrpcTest, QuirkABulkGetThatFailsAsAWholeIsUnknownWithoutDetails) {
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(save("mem", std::to_string(i), std::string(7'000'000, 'x')).ok());
  rpc::GetBulkStateRequest message;
  message.set_store_name("mem");
  for (int i = 0; i < 3; ++i) message.add_keys(std::to_string(i));

  const RpcAnswer answer = call_rpc(gateway_, "GetBulkState", message);

  EXPECT_EQ(answer.code, Errc::kUnknown);
  EXPECT_THAT(answer.details, ElementsAre());
}

TEST_F(DaprGrpcTest, BulkDeleteDeletesWhatItMayAndSaysWhatItMayNot) {
  for (const char* key : {"a", "b"}) ASSERT_TRUE(save("disk", key, "1").ok());
  rpc::DeleteBulkStateRequest message;
  message.set_store_name("disk");
  EXPECT_TRUE(call_rpc(gateway_, "DeleteBulkState", message).ok());
  message.add_states()->set_key("a");
  auto* const stale = message.add_states();
  stale->set_key("b");
  stale->mutable_etag()->set_value("11111111-1111-4111-8111-111111111111");

  const RpcAnswer answer = call_rpc(gateway_, "DeleteBulkState", message);

  EXPECT_EQ(answer.code, Errc::kAborted);
  EXPECT_EQ(answer.reason, "ERR_STATE_BULK_DELETE");
  EXPECT_EQ(get("disk", "a").etag(), "");
  EXPECT_EQ(get("disk", "b").data(), "1");
}

TEST_F(DaprGrpcTest, ATransactionIsAllOrNothing) {
  ASSERT_TRUE(save("disk", "old", "1").ok());
  ASSERT_TRUE(transact("disk", {{"upsert", "new", "2", {}}, {"delete", "old", {}, {}}}).ok());
  EXPECT_EQ(get("disk", "new").data(), "2");
  EXPECT_EQ(get("disk", "old").etag(), "");
  EXPECT_TRUE(transact("disk", {}).ok());
}

TEST_F(DaprGrpcTest, QuirkATransactionKeepsBytesAsTheyAreWhateverTheirType) {
  rpc::ExecuteStateTransactionRequest message;
  message.set_storename("disk");
  auto* const operation = message.add_operations();
  operation->set_operationtype("upsert");
  operation->mutable_request()->set_key("doc");
  operation->mutable_request()->set_value(R"({ "a" : 1.0 })");
  (*operation->mutable_request()->mutable_metadata())["contentType"] = "application/json";

  ASSERT_TRUE(call_rpc(gateway_, "ExecuteStateTransaction", message).ok());

  EXPECT_EQ(get("disk", "doc").data(), R"({ "a" : 1.0 })");
}

TEST_F(DaprGrpcTest, QuirkAnEtagMismatchInATransactionIsInternal) {
  ASSERT_TRUE(save("disk", "k", "1").ok());

  const RpcAnswer answer =
      transact("disk", {{"upsert", "new", "2", {}}, {"upsert", "k", "2", "11111111-1111-4111-8111-111111111111"}});

  EXPECT_EQ(answer.code, Errc::kInternal);
  EXPECT_EQ(answer.reason, "ERR_STATE_TRANSACTION");
  EXPECT_THAT(answer.message, HasSubstr("error while executing state transaction: "));
  EXPECT_EQ(get("disk", "new").etag(), "");
  EXPECT_EQ(get("disk", "k").data(), "1");
}

TEST_F(DaprGrpcTest, AnUnknownOperationOfATransactionIsUnimplemented) {
  const RpcAnswer answer = transact("mem", {{"upsert", "k", "1", {}}, {"move", "k", {}, {}}});

  EXPECT_EQ(answer.code, Errc::kUnimplemented);
  EXPECT_EQ(answer.reason, "ERR_NOT_SUPPORTED_STATE_OPERATION");
  EXPECT_EQ(answer.message, "operation type move not supported");
  EXPECT_EQ(get("mem", "k").etag(), "");
}

TEST_F(DaprGrpcTest, QueriesAreNotSupported) {
  rpc::QueryStateRequest message;
  message.set_store_name("mem");
  message.set_query("{}");

  const RpcAnswer answer = call_rpc(gateway_, "QueryStateAlpha1", message);

  EXPECT_EQ(answer.code, Errc::kInternal);
  EXPECT_EQ(answer.reason, "DAPR_STATE_QUERYING_NOT_SUPPORTED");
}

TEST_F(DaprGrpcTest, AnUnknownStoreIsSaidByEveryMethod) {
  // Of every message, field 1 is the store's name.
  rpc::GetStateRequest any;
  any.set_store_name("other");
  for (const char* method : {"GetState", "GetBulkState", "SaveState", "DeleteState", "DeleteBulkState",
                             "ExecuteStateTransaction", "QueryStateAlpha1"}) {
    const RpcAnswer answer = call_rpc(gateway_, method, any);
    EXPECT_EQ(answer.code, Errc::kInvalidArgument) << method;
    EXPECT_EQ(answer.reason, "DAPR_STATE_NOT_FOUND") << method;
    EXPECT_EQ(answer.message, "state store other is not found") << method;
  }
  EXPECT_EQ(get_refused("private", "k").reason, "DAPR_STATE_NOT_FOUND");
  EXPECT_TRUE(get_refused("private", "k", "bank").ok());
}

TEST_F(DaprGrpcTest, WithoutAnyStoreThatIsSaid) {
  generation_.components.clear();
  ASSERT_EQ(gateway_.configure(generation_), "");

  const RpcAnswer answer = get_refused("mem", "k");

  EXPECT_EQ(answer.code, Errc::kFailedPrecondition);
  EXPECT_EQ(answer.reason, "DAPR_STATE_NOT_CONFIGURED");
}

TEST_F(DaprGrpcTest, AStoreThatCannotBeOpenedIsUnavailable) {
  add("odd", "state.nothing");
  ASSERT_EQ(gateway_.configure(generation_), "");

  const RpcAnswer answer = get_refused("odd", "k");

  EXPECT_EQ(answer.code, Errc::kUnavailable);
  EXPECT_THAT(answer.message, HasSubstr("state store odd is not ready"));
}

TEST_F(DaprGrpcTest, BytesThatAreNoMessageAreInternal) {
  for (const char* method : {"GetState", "GetBulkState", "SaveState", "DeleteState", "DeleteBulkState",
                             "ExecuteStateTransaction", "QueryStateAlpha1"}) {
    const RpcAnswer answer = call_rpc(gateway_, method, std::string("\x0a\xff"));
    EXPECT_EQ(answer.code, Errc::kInternal) << method;
    EXPECT_THAT(answer.message, HasSubstr("error unmarshalling request")) << method;
  }
}

TEST_F(DaprGrpcTest, TheManifestSaysWhatMayBeSentAgainAndWhereTheStoreStands) {
  int methods = 0;
  for (const Route& route : gateway_.process().manifest().routes) {
    if (route.rpc == Rpc::kNone) continue;
    ++methods;
    EXPECT_EQ(route.rpc, Rpc::kUnary);
    EXPECT_EQ(route.selector, "1");
    const bool is_of_one_key = route.path.ends_with("/GetState") || route.path.ends_with("/DeleteState");
    EXPECT_EQ(route.key, is_of_one_key ? "2" : "") << route.path;
    EXPECT_EQ(route.group, "state");
    EXPECT_EQ(route.version, route.path.ends_with("Alpha1") ? "v1alpha1" : "v1");
    EXPECT_EQ(route.errors, ErrorShape::kGrpc);
    const bool writes = route.path.find("/Save") != route.path.npos || route.path.find("/Delete") != route.path.npos ||
                        route.path.find("/Execute") != route.path.npos;
    EXPECT_EQ(route.ledgered, writes) << route.path;
    EXPECT_EQ(route.safe, !writes) << route.path;
  }
  EXPECT_EQ(methods, 7);
}

TEST_F(DaprGrpcTest, WhatOneProtocolWroteTheOtherReads) {
  caisson::testing::Ask ask;
  ask.method = "POST";
  ask.path = "/v1.0/state/disk";
  ask.body = R"([{"key":"k","value":{"a":1.0}}])";
  ASSERT_EQ(gateway_.ask(ask).status, 204);
  EXPECT_EQ(get("disk", "k").data(), R"({"a":1})");

  ASSERT_TRUE(save("disk", "k", "plain").ok());
  ask.method = "GET";
  ask.path = "/v1.0/state/disk/k";
  ask.body.clear();
  EXPECT_EQ(gateway_.ask(ask).body, "plain");
}

}  // namespace
}  // namespace caisson::state
