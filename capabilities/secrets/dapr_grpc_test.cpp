#include "capabilities/secrets/dapr_grpc.hpp"

#include <gmock/gmock.h>

#include <cstdlib>

#include "capabilities/secrets/testing/secrets_rig.hpp"
#include "dapr/proto/runtime/v1/secret.pb.h"
#include "sdk/testing/rpc_client.hpp"

namespace caisson::secrets {
namespace {

namespace rpc = ::dapr::proto::runtime::v1;
using caisson::testing::call_rpc;
using caisson::testing::RpcAnswer;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class DaprGrpcTest : public testing::SecretsRig {
 protected:
  RpcAnswer get_secret(const std::string& store, const std::string& key, rpc::GetSecretResponse* response = nullptr) {
    rpc::GetSecretRequest message;
    message.set_store_name(store);
    message.set_key(key);
    return call_rpc(gateway_, "GetSecret", message, response);
  }
  RpcAnswer get_bulk(const std::string& store, rpc::GetBulkSecretResponse* response = nullptr) {
    rpc::GetBulkSecretRequest message;
    message.set_store_name(store);
    return call_rpc(gateway_, "GetBulkSecret", message, response);
  }
};

TEST_F(DaprGrpcTest, ASecretIsAMapOfItsKeys) {
  configure();
  rpc::GetSecretResponse response;

  ASSERT_TRUE(get_secret("vault", "db:password", &response).ok());

  ASSERT_EQ(response.data().size(), 1U);
  EXPECT_EQ(response.data().at("db:password"), "canary-7f3a");
}

TEST_F(DaprGrpcTest, BulkIsAMapOfAllSecrets) {
  configure();
  rpc::GetBulkSecretResponse response;

  ASSERT_TRUE(get_bulk("vault", &response).ok());

  ASSERT_EQ(response.data().size(), 2U);
  EXPECT_EQ(response.data().at("db:password").secrets().at("db:password"), "canary-7f3a");
  EXPECT_EQ(response.data().at("plain").secrets().at("plain"), "p");
}

TEST_F(DaprGrpcTest, AnEmptyStoreIsAnEmptyMap) {
  write("{}");
  configure();
  rpc::GetBulkSecretResponse response;

  ASSERT_TRUE(get_bulk("vault", &response).ok());

  EXPECT_TRUE(response.data().empty());
}

TEST_F(DaprGrpcTest, WithoutAnyStoreThatIsSaidWithoutDetails) {
  generation_.components.clear();
  configure();

  for (const RpcAnswer& answer : {get_secret("vault", "plain"), get_bulk("vault")}) {
    EXPECT_EQ(answer.code, Errc::kFailedPrecondition);
    EXPECT_EQ(answer.message, "secret store is not configured");
    EXPECT_THAT(answer.details, ElementsAre());
  }
}

TEST_F(DaprGrpcTest, AnUnknownStoreIsAnInvalidArgument) {
  configure();

  for (const RpcAnswer& answer : {get_secret("other", "plain"), get_bulk("other")}) {
    EXPECT_EQ(answer.code, Errc::kInvalidArgument);
    EXPECT_EQ(answer.message, "failed finding secret store with key other");
  }
}

TEST_F(DaprGrpcTest, AMissingSecretIsInternalAndNamed) {
  configure();

  const RpcAnswer answer = get_secret("vault", "missing");

  EXPECT_EQ(answer.code, Errc::kInternal);
  EXPECT_THAT(answer.message, HasSubstr("failed getting secret with key missing from secret store vault"));
  EXPECT_THAT(answer.message, Not(HasSubstr("canary")));
}

TEST_F(DaprGrpcTest, WhatTheScopesDenyIsDeniedAndLeftOut) {
  config::SecretScope scope;
  scope.store = "vault";
  scope.denied = {"plain"};
  generation_.configuration.secret_scopes = {scope};
  configure();
  rpc::GetBulkSecretResponse response;

  EXPECT_EQ(get_secret("vault", "plain").code, Errc::kPermissionDenied);
  ASSERT_TRUE(get_bulk("vault", &response).ok());
  EXPECT_EQ(response.data().count("plain"), 0U);
  EXPECT_EQ(response.data().count("db:password"), 1U);
}

TEST_F(DaprGrpcTest, BytesThatAreNoMessageAreInternal) {
  configure();
  for (const char* method : {"GetSecret", "GetBulkSecret"}) {
    EXPECT_EQ(call_rpc(gateway_, method, std::string("\x0a\xff")).code, Errc::kInternal);
  }
}

TEST_F(DaprGrpcTest, ItsMethodsMayBeSentAgainAndAreOfTheirOwnGroup) {
  int methods = 0;
  for (const Route& route : gateway_.process().manifest().routes) {
    if (route.rpc == Rpc::kNone) continue;
    ++methods;
    EXPECT_TRUE(route.safe);
    EXPECT_EQ(route.selector, "1");
    EXPECT_EQ(route.group, "secrets");
    EXPECT_EQ(route.version, "v1");
  }
  EXPECT_EQ(methods, 2);
}

}  // namespace
}  // namespace caisson::secrets
