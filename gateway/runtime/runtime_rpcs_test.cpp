#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "dapr/proto/runtime/v1/metadata.pb.h"
#include "gateway/runtime/descriptors.hpp"
#include "gateway/runtime/metadata_message.hpp"
#include "gateway/runtime/runtime_capability.hpp"
#include "gateway/testing/fake_facts.hpp"
#include "grpc/reflection/v1/reflection.pb.h"
#include "proto/caisson_descriptors.hpp"
#include "sdk/rpc.hpp"
#include "sdk/testing/rpc_client.hpp"

namespace caisson::gateway {
namespace {

namespace rpc = ::dapr::proto::runtime::v1;
namespace reflection = ::grpc::reflection::v1;
using caisson::testing::Answer;
using caisson::testing::Ask;
using caisson::testing::call_rpc;
using caisson::testing::rpc_answer;
using caisson::testing::RpcAnswer;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::SizeIs;

/// The runtime capability as the gateway's process has it, asked over gRPC.
class RuntimeRpcsTest : public ::testing::Test {
 protected:
  RuntimeRpcsTest() { gateway_.set_app("shop"); }

  /// Asks on one stream; the answers in order.
  std::vector<reflection::ServerReflectionResponse> reflect(
      const std::vector<reflection::ServerReflectionRequest>& questions, const std::string& version = "v1") {
    Ask ask;
    ask.method = "POST";
    ask.path = "/grpc.reflection." + version + ".ServerReflection/ServerReflectionInfo";
    for (const auto& question : questions) ask.body += sdk::rpc_frame(question.SerializeAsString());
    const Answer answer = gateway_.ask(ask);
    EXPECT_TRUE(rpc_answer(answer).ok()) << answer.message;
    std::vector<reflection::ServerReflectionResponse> answers;
    for (std::string_view rest = answer.body; rest.size() >= 5;) {
      const auto* const size = reinterpret_cast<const unsigned char*>(rest.data()) + 1;
      const std::size_t length = static_cast<std::size_t>(size[0]) << 24 | size[1] << 16 | size[2] << 8 | size[3];
      EXPECT_TRUE(answers.emplace_back().ParseFromString(std::string(rest.substr(5, length))));
      rest.remove_prefix(5 + length);
    }
    EXPECT_EQ(answers.size(), questions.size());
    return answers;
  }
  static reflection::ServerReflectionRequest symbol(const std::string& name) {
    reflection::ServerReflectionRequest question;
    question.set_file_containing_symbol(name);
    return question;
  }
  static std::vector<std::string> names_of(const reflection::ServerReflectionResponse& answer) {
    std::vector<std::string> names;
    for (const std::string& file : answer.file_descriptor_response().file_descriptor_proto()) {
      names.emplace_back(file.substr(2, static_cast<unsigned char>(file[1])));
    }
    return names;
  }

  rpc::GetMetadataResponse metadata() {
    rpc::GetMetadataResponse response;
    EXPECT_TRUE(call_rpc(gateway_, "GetMetadata", rpc::GetMetadataRequest(), &response).ok());
    return response;
  }
  RpcAnswer set_metadata(const std::string& key, const std::string& value) {
    rpc::SetMetadataRequest message;
    message.set_key(key);
    message.set_value(value);
    return call_rpc(gateway_, "SetMetadata", message);
  }

  testing::FakeFacts facts_;
  caisson::testing::FakeClock clock_;
  EventLoop loop_{clock_};
  caisson::testing::FakeGateway gateway_{
      loop_, "runtime", [this](sdk::Context& context) { return std::make_unique<RuntimeCapability>(context, facts_); }};
};

// --- metadata, shutdown ---

TEST_F(RuntimeRpcsTest, MetadataSaysWhatHttpSays) {
  facts_.add("state", R"({"components":[{"name":"cart","type":"state.sqlite","version":"v1","state":"UP",)"
                      R"("capabilities":["ETAG","TRANSACTIONAL"]}]})");
  facts_.add("pubsub",
             R"({"components":[],"metadata":{"subscriptions":[{"pubsubname":"p","topic":"t","metadata":{"a":"b"},)"
             R"("rules":[{"match":"m","path":"/x"},{"path":"/y"}],"deadLetterTopic":"dead","type":"PROGRAMMATIC"},)"
             R"({"pubsubname":"q","topic":"u","type":"DECLARATIVE","appId":"other"}]}})");

  const rpc::GetMetadataResponse message = metadata();

  EXPECT_EQ(message.id(), "shop");
  EXPECT_EQ(message.runtime_version(), CAISSON_VERSION);
  EXPECT_EQ(message.extended_metadata().at("daprRuntimeVersion"), CAISSON_VERSION);
  ASSERT_EQ(message.registered_components_size(), 1);
  EXPECT_EQ(message.registered_components(0).name(), "cart");
  EXPECT_EQ(message.registered_components(0).type(), "state.sqlite");
  EXPECT_THAT(message.registered_components(0).capabilities(), ElementsAre("ETAG", "TRANSACTIONAL", "ACTOR"));
  ASSERT_EQ(message.subscriptions_size(), 1) << "another app's are not shown";
  const auto& subscription = message.subscriptions(0);
  EXPECT_EQ(subscription.pubsub_name(), "p");
  EXPECT_EQ(subscription.topic(), "t");
  EXPECT_EQ(subscription.metadata().at("a"), "b");
  EXPECT_EQ(subscription.dead_letter_topic(), "dead");
  EXPECT_EQ(subscription.type(), rpc::PROGRAMMATIC);
  ASSERT_EQ(subscription.rules().rules_size(), 2);
  EXPECT_EQ(subscription.rules().rules(0).match(), "m");
  EXPECT_EQ(subscription.rules().rules(1).path(), "/y");
  EXPECT_EQ(message.actor_runtime().runtime_status(), rpc::ActorRuntime::DISABLED);
}

TEST_F(RuntimeRpcsTest, TheConnectionToTheAppIsTakenOver) {
  const auto message = metadata_message(
      R"({"appConnectionProperties":{"port":8080,"protocol":"http","channelAddress":"127.0.0.1","maxConcurrency":3,)"
      R"("health":{"healthCheckPath":"/h","healthProbeInterval":"5s","healthProbeTimeout":"500ms","healthThreshold":2}}})");

  ASSERT_TRUE(message);
  const auto& connection = message->app_connection_properties();
  EXPECT_EQ(connection.port(), 8080);
  EXPECT_EQ(connection.protocol(), "http");
  EXPECT_EQ(connection.channel_address(), "127.0.0.1");
  EXPECT_EQ(connection.max_concurrency(), 3);
  EXPECT_EQ(connection.health().health_check_path(), "/h");
  EXPECT_EQ(connection.health().health_probe_interval(), "5s");
  EXPECT_EQ(connection.health().health_probe_timeout(), "500ms");
  EXPECT_EQ(connection.health().health_threshold(), 2);
}

TEST_F(RuntimeRpcsTest, MembersOfAnotherKindAreLeftOut) {
  const auto message = metadata_message(
      R"({"id":5,"components":{"a":1},"subscriptions":[7,{"topic":[],"type":"STRANGE","rules":"x"}],"extended":[]})");

  ASSERT_TRUE(message);
  EXPECT_EQ(message->id(), "");
  EXPECT_EQ(message->subscriptions_size(), 1);
  EXPECT_EQ(metadata_message("[]").error().code, Errc::kInternal);
}

TEST_F(RuntimeRpcsTest, AnAttributeIsKeptAndAnEmptyKeyIsPassedOver) {
  EXPECT_TRUE(set_metadata("cliPID", "12").ok());
  EXPECT_TRUE(set_metadata("", "nothing").ok());

  EXPECT_EQ(metadata().extended_metadata().at("cliPID"), "12");
  EXPECT_EQ(metadata().extended_metadata().count(""), 0U);
  EXPECT_EQ(set_metadata("big", std::string(Attributes::kMaxBytes, 'x')).code, Errc::kResourceExhausted);
  EXPECT_EQ(call_rpc(gateway_, "SetMetadata", std::string("\x0a\xff")).code, Errc::kInternal);
}

TEST_F(RuntimeRpcsTest, ShutdownAnswersAndThenEndsTheRuntime) {
  EXPECT_TRUE(call_rpc(gateway_, "Shutdown", std::string()).ok());
  EXPECT_EQ(facts_.shutdowns, "");

  clock_.advance(std::chrono::milliseconds(100));
  loop_.turn(Nanos::zero());

  EXPECT_EQ(facts_.shutdowns, "graceful ");
}

// --- reflection ---

TEST_F(RuntimeRpcsTest, ReflectionListsTheServicesOfThePort) {
  reflection::ServerReflectionRequest question;
  question.set_host("h");
  question.set_list_services("");
  for (const char* version : {"v1", "v1alpha"}) {
    const auto answers = reflect({question}, version);
    ASSERT_THAT(answers, SizeIs(1));
    EXPECT_EQ(answers[0].valid_host(), "h");
    EXPECT_EQ(answers[0].original_request().message_request_case(), question.message_request_case());
    std::vector<std::string> names;
    for (const auto& service : answers[0].list_services_response().service()) names.push_back(service.name());
    EXPECT_THAT(names,
                ::testing::UnorderedElementsAre("dapr.proto.runtime.v1.Dapr", "grpc.reflection.v1.ServerReflection",
                                                "grpc.reflection.v1alpha.ServerReflection"));
  }
}

TEST_F(RuntimeRpcsTest, ReflectionGivesTheFileOfASymbolAndWhatItImports) {
  const std::string dapr = "dapr/proto/runtime/v1/dapr.proto";
  for (const char* name : {"dapr.proto.runtime.v1.Dapr", "dapr.proto.runtime.v1.Dapr.GetState"}) {
    const auto answers = reflect({symbol(name)});
    const auto files = names_of(answers.at(0));
    ASSERT_FALSE(files.empty()) << name;
    EXPECT_EQ(files[0], dapr);
    EXPECT_THAT(files, Contains("dapr/proto/common/v1/common.proto"));
    EXPECT_THAT(files, Contains("google/protobuf/any.proto"));
  }
  for (const auto& [name, file] : {std::pair("dapr.proto.common.v1.StateOptions.StateConcurrency", "common"),
                                   std::pair("dapr.proto.runtime.v1.GetStateRequest.store_name", "state")}) {
    EXPECT_THAT(names_of(reflect({symbol(name)}).at(0)).at(0), HasSubstr(file));
  }
}

TEST_F(RuntimeRpcsTest, ReflectionGivesAnImportOncePerStream) {
  reflection::ServerReflectionRequest by_name;
  by_name.set_file_by_filename("dapr/proto/runtime/v1/state.proto");
  const auto answers = reflect({by_name, by_name});

  EXPECT_THAT(names_of(answers.at(0)), Contains("dapr/proto/common/v1/common.proto"));
  EXPECT_THAT(names_of(answers.at(1)), ElementsAre("dapr/proto/runtime/v1/state.proto"));
}

TEST_F(RuntimeRpcsTest, ReflectionSaysWhatIsNotKnown) {
  std::vector<reflection::ServerReflectionRequest> questions(5);
  questions[0].set_file_containing_symbol("no.such.Thing");
  questions[1].set_file_by_filename("none.proto");
  questions[2].mutable_file_containing_extension()->set_containing_type("dapr.proto.runtime.v1.Dapr");
  questions[3].set_all_extension_numbers_of_type("no.such.Thing");

  const auto answers = reflect(questions);

  ASSERT_THAT(answers, SizeIs(5));
  for (std::size_t i = 0; i < 4; ++i) EXPECT_EQ(answers[i].error_response().error_code(), 5) << i;
  EXPECT_EQ(answers[4].error_response().error_code(), 3);
}

TEST_F(RuntimeRpcsTest, ReflectionEndsWithAnErrorAfterAQuestionThatIsNone) {
  Ask ask;
  ask.method = "POST";
  ask.path = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
  ask.body = sdk::rpc_frame("\x1a\xff");
  EXPECT_EQ(rpc_answer(gateway_.ask(ask)).code, Errc::kInternal);
  ask.body = sdk::rpc_frame(std::string(70000, 'x'));
  EXPECT_EQ(rpc_answer(gateway_.ask(ask)).code, Errc::kResourceExhausted);
}

TEST(DescriptorsTest, BytesThatAreNoSetAreRefused) {
  EXPECT_TRUE(Descriptors::read(""));
  EXPECT_TRUE(Descriptors::read(caisson_descriptors()));
  for (const std::string& bytes : {std::string(caisson_descriptors().substr(0, 1000)), std::string("\x0a\x7f"),
                                   std::string("\x0b"), std::string("\x00", 1), std::string(11, '\xff')}) {
    EXPECT_FALSE(Descriptors::read(bytes));
  }
}

// --- what is not here ---

TEST_F(RuntimeRpcsTest, EveryMethodOfDaprThatNobodyElseServesIsAnsweredByName) {
  // Those of other capabilities' manifests.
  const std::set<std::string> elsewhere = {"InvokeService",
                                           "GetState",
                                           "GetBulkState",
                                           "SaveState",
                                           "QueryStateAlpha1",
                                           "DeleteState",
                                           "DeleteBulkState",
                                           "ExecuteStateTransaction",
                                           "PublishEvent",
                                           "BulkPublishEventAlpha1",
                                           "BulkPublishEvent",
                                           "SubscribeTopicEventsAlpha1",
                                           "GetSecret",
                                           "GetBulkSecret",
                                           "GetConfigurationAlpha1",
                                           "GetConfiguration",
                                           "SubscribeConfigurationAlpha1",
                                           "SubscribeConfiguration",
                                           "UnsubscribeConfigurationAlpha1",
                                           "UnsubscribeConfiguration",
                                           "TryLockAlpha1",
                                           "UnlockAlpha1"};
  std::set<std::string> served;
  const std::string prefix = "/dapr.proto.runtime.v1.Dapr/";
  for (const Route& route : gateway_.process().manifest().routes) {
    if (route.path.starts_with(prefix)) served.insert(route.path.substr(prefix.size()));
  }

  const auto descriptors = Descriptors::read(caisson_descriptors());
  ASSERT_TRUE(descriptors);
  std::set<std::string> methods;
  const std::string_view file = descriptors->with_imports("dapr/proto/runtime/v1/dapr.proto").at(0);
  ASSERT_TRUE(each_bytes_field(file, [&](int number, std::string_view service) -> Result<void> {
    if (number != 6) return ok();
    return each_bytes_field(service, [&](int field, std::string_view method) -> Result<void> {
      if (field == 2) methods.emplace(method.substr(2, static_cast<unsigned char>(method[1])));
      return ok();
    });
  }));

  EXPECT_GT(methods.size(), 60U);
  for (const std::string& method : methods) {
    EXPECT_EQ(served.count(method) + elsewhere.count(method), 1U) << method;
  }
}

TEST_F(RuntimeRpcsTest, MissingBlocksAnswerAsDaprDoesUnconfigured) {
  const std::string named = "\x0a\x04mail";
  const RpcAnswer binding = call_rpc(gateway_, "InvokeBinding", named);
  EXPECT_EQ(binding.code, Errc::kInternal);
  EXPECT_EQ(binding.reason, "ERR_INVOKE_OUTPUT_BINDING");
  EXPECT_EQ(binding.message, "error invoking output binding mail: couldn't find output binding mail");

  const RpcAnswer actor = call_rpc(gateway_, "InvokeActor", named);
  EXPECT_EQ(actor.code, Errc::kInternal);
  EXPECT_THAT(actor.message, HasSubstr("not configured to use the actor runtime"));
  EXPECT_THAT(actor.details, ElementsAre());

  EXPECT_EQ(call_rpc(gateway_, "ScheduleJob", named).reason, "DAPR_SCHEDULER_SCHEDULE_JOB");
  EXPECT_EQ(call_rpc(gateway_, "EncryptAlpha1", named).message, "crypto providers not configured");
  EXPECT_EQ(call_rpc(gateway_, "SubtleSignAlpha1", named).code, Errc::kUnimplemented);
  const RpcAnswer conversation = call_rpc(gateway_, "ConverseAlpha1", named);
  EXPECT_EQ(conversation.code, Errc::kInvalidArgument);
  EXPECT_EQ(conversation.message, "failed finding conversation component mail");
  EXPECT_EQ(call_rpc(gateway_, "InvokeBinding", std::string("\xff\xff\xff")).code, Errc::kInternal);
}

TEST_F(RuntimeRpcsTest, MissingBlocksAnswerOverHttpToo) {
  struct Case {
    std::string method;
    std::string path;
    int status;
    std::string code;
  };
  for (const Case& one :
       std::vector<Case>{{"POST", "/v1.0/bindings/mail", 500, "ERR_INVOKE_OUTPUT_BINDING"},
                         {"PUT", "/v1.0/actors/cat/1/state", 500, "ERR_ACTOR_RUNTIME_NOT_FOUND"},
                         {"GET", "/v1.0/actors/cat/1/method/meow", 500, "ERR_ACTOR_RUNTIME_NOT_FOUND"},
                         {"POST", "/v1.0-beta1/workflows/dapr/order/start", 500, "ERR_START_WORKFLOW"},
                         {"GET", "/v1.0/workflows/dapr/1", 500, "ERR_GET_WORKFLOW"},
                         {"POST", "/v1.0-alpha1/jobs/nightly", 500, "DAPR_SCHEDULER_SCHEDULE_JOB"},
                         {"DELETE", "/v1.0/jobs/nightly", 500, "DAPR_SCHEDULER_DELETE_JOB"},
                         {"PUT", "/v1.0-alpha1/crypto/vault/encrypt", 500, "ERR_CRYPTO_PROVIDERS_NOT_CONFIGURED"},
                         {"POST", "/v1.0-alpha2/conversation/bot/converse", 400, "ERR_CONVERSATION_NOT_FOUND"}}) {
    Ask ask;
    ask.method = one.method;
    ask.path = one.path;
    const Answer answer = gateway_.ask(ask);
    EXPECT_EQ(answer.status, one.status) << one.path;
    EXPECT_THAT(answer.body, HasSubstr("\"errorCode\":\"" + one.code + "\"")) << one.path;
  }
}

}  // namespace
}  // namespace caisson::gateway
