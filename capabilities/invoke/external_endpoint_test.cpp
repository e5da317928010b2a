#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "capabilities/invoke/testing/invoke_rig.hpp"
#include "dapr/proto/common/v1/common.pb.h"
#include "dapr/proto/runtime/v1/invoke.pb.h"
#include "net/testing/http_server.hpp"
#include "net/testing/tls_front.hpp"

namespace caisson::invoke {
namespace {

using caisson::testing::Answer;
using caisson::testing::Ask;
using net::testing::HttpServer;
using net::testing::reply_text;
using net::testing::SeenRequest;
using net::testing::TlsFront;
using ::testing::HasSubstr;

class ExternalEndpointTest : public InvokeRig {
 protected:
  ExternalEndpointTest() : server_(loop_, HttpServer::Answer([this](const SeenRequest&) { return answer_; })) {}

  std::string url(const std::string& path = {}) const {
    return "http://127.0.0.1:" + std::to_string(server_.port()) + path;
  }
  static config::HttpEndpoint endpoint(std::string base_url) {
    config::HttpEndpoint endpoint;
    endpoint.name = "partner";
    endpoint.base_url = std::move(base_url);
    return endpoint;
  }
  void configure(config::HttpEndpoint document) {
    config::Generation generation;
    generation.http_endpoints.push_back(std::move(document));
    ASSERT_EQ(gateway_.configure(generation), "");
  }

  std::string answer_ = reply_text(200, "from outside", "X-Own: back\r\nContent-Type: text/x-own\r\n");
  HttpServer server_;
};

TEST_F(ExternalEndpointTest, AUrlInAnAppIdsPlaceIsCalled) {
  Ask ask = post("/v1.0/invoke/" + url() + "/method/orders/1", "two apples");
  ask.query = "a=1";
  ask.headers = {{"X-Mine", "1"}, {"dapr-api-token", "secret"}, {"Content-Type", "text/plain"}};

  const Answer answer = gateway_.ask(ask);

  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, "from outside");
  EXPECT_EQ(answer.header("x-own"), "back");
  EXPECT_EQ(answer.header("content-type"), "text/x-own");
  ASSERT_EQ(server_.requests.size(), 1u);
  const SeenRequest& seen = server_.requests[0];
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.target, "/orders/1?a=1");
  EXPECT_EQ(seen.body, "two apples");
  EXPECT_EQ(seen.header("host"), "127.0.0.1:" + std::to_string(server_.port()));
  EXPECT_EQ(seen.header("x-mine"), "1");
  EXPECT_EQ(seen.header("content-type"), "text/plain");
  EXPECT_FALSE(seen.has("dapr-api-token"));
  EXPECT_FALSE(seen.has("dapr-caller-app-id")) << "names of this runtime are no business of others";
  EXPECT_TRUE(seen_.empty());
}

TEST_F(ExternalEndpointTest, TheHeaderMayNameAUrlWithAPath) {
  Ask ask = post("/orders");
  ask.headers = {{"dapr-app-id", url("/api/v1/")}};

  EXPECT_EQ(gateway_.ask(ask).status, 200);
  ASSERT_EQ(server_.requests.size(), 1u);
  EXPECT_EQ(server_.requests[0].target, "/api/v1/orders");
}

TEST_F(ExternalEndpointTest, ADocumentIsCalledByNameWithItsHeaders) {
  auto document = endpoint(url("/api"));
  document.headers = {{"X-Key", "given", "", "", ""}};
  configure(document);

  EXPECT_EQ(gateway_.ask(post("/v1.0/invoke/partner/method/orders")).status, 200);
  ASSERT_EQ(server_.requests.size(), 1u);
  EXPECT_EQ(server_.requests[0].target, "/api/orders");
  EXPECT_EQ(server_.requests[0].header("x-key"), "given");
}

TEST_F(ExternalEndpointTest, AHeaderMayComeFromTheEnvironment) {
  ::setenv("INVOKE_TEST_KEY", "of the environment", 1);
  auto document = endpoint(url());
  document.headers = {{"X-Key", "", "", "", "INVOKE_TEST_KEY"}};
  configure(document);

  EXPECT_EQ(gateway_.ask(post("/v1.0/invoke/partner/method/x")).status, 200);
  EXPECT_EQ(server_.requests[0].header("x-key"), "of the environment");
}

TEST_F(ExternalEndpointTest, ASecretThatIsNotToBeHadIsSaidWithoutItsValueAndNothingIsSent) {
  auto document = endpoint(url());
  document.secret_store = "vault";
  document.headers = {{"X-Key", "", "partner-key", "", ""}};
  configure(document);
  script_ = {error(Errc::kNotFound, "no such secret")};

  const Answer answer = gateway_.ask(post("/v1.0/invoke/partner/method/x"));

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("partner-key"));
  EXPECT_TRUE(server_.requests.empty());
}

TEST_F(ExternalEndpointTest, ScopesHideADocumentFromOtherApps) {
  auto document = endpoint(url());
  document.scopes = {"cart"};
  configure(document);

  EXPECT_EQ(gateway_.ask(post("/v1.0/invoke/partner/method/x")).status, 500);
  Ask by_cart = post("/v1.0/invoke/partner/method/x");
  by_cart.app = "cart";
  EXPECT_EQ(gateway_.ask(by_cart).status, 200);
}

TEST_F(ExternalEndpointTest, ADocumentThatIsGoneIsUnknownAndOneThatStayedKeepsItsConnections) {
  configure(endpoint(url()));
  ASSERT_EQ(gateway_.ask(post("/v1.0/invoke/partner/method/x")).status, 200);
  configure(endpoint(url()));
  ASSERT_EQ(gateway_.ask(post("/v1.0/invoke/partner/method/x")).status, 200);
  EXPECT_EQ(server_.accepted, 1u);

  ASSERT_EQ(gateway_.configure({}), "");

  EXPECT_THAT(gateway_.ask(post("/v1.0/invoke/partner/method/x")).body, HasSubstr("couldn't find app id partner"));
}

TEST_F(ExternalEndpointTest, BadUrlsAreNamedAndNothingIsCalled) {
  for (const char* id : {"http:%2F%2Fhost:99999", "http:%2F%2Fuser:word@host", "https:%2F%2F"}) {
    const Answer answer = gateway_.ask(post(std::string("/v1.0/invoke/") + id + "/method/x"));
    EXPECT_EQ(answer.status, 500) << id;
    EXPECT_THAT(answer.body, HasSubstr("URL")) << id;
  }
  auto document = endpoint("ftp://host");
  configure(document);
  EXPECT_THAT(gateway_.ask(post("/v1.0/invoke/partner/method/x")).body, HasSubstr("couldn't find app id"));
}

TEST_F(ExternalEndpointTest, AServerThatIsNotThereIs500WithoutBuiltInRetries) {
  const std::string gone = url();
  server_.stop();

  const Answer answer = gateway_.ask(post("/v1.0/invoke/" + gone + "/method/x"));

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("ERR_DIRECT_INVOKE"));
}

TEST_F(ExternalEndpointTest, PoliciesAreThoseOfTheDocumentsName) {
  config::Generation generation;
  generation.http_endpoints.push_back(endpoint(url()));
  config::Resiliency& policies = generation.resiliencies.emplace_back();
  policies.circuit_breakers["touchy"].trip = "consecutiveFailures >= 2";
  policies.apps["partner"].circuit_breaker = "touchy";
  ASSERT_EQ(gateway_.configure(generation), "");
  answer_ = reply_text(500, "no");
  gateway_.ask(post("/v1.0/invoke/partner/method/x"));
  gateway_.ask(post("/v1.0/invoke/partner/method/x"));

  EXPECT_THAT(gateway_.ask(post("/v1.0/invoke/partner/method/x")).body, HasSubstr("circuit breaker is open"));
  EXPECT_EQ(server_.requests.size(), 2u);
}

TEST_F(ExternalEndpointTest, AStreamedBodyIsStreamed) {
  auto open = gateway_.open(post("/v1.0/invoke/" + url() + "/method/upload"), "first ");
  ASSERT_TRUE(open);
  const std::string piece(300'000, 'x');
  ASSERT_TRUE(testing::run(loop_, open->body.write(Buffer::copy_of(piece), Deadline::never())));
  ASSERT_TRUE(testing::run(loop_, open->body.finish(Deadline::never())));
  const auto reply = testing::run(loop_, open->reply(Deadline::never()));

  ASSERT_TRUE(reply);
  EXPECT_EQ(reply->head->status(), 200);
  ASSERT_EQ(server_.requests.size(), 1u);
  EXPECT_EQ(server_.requests[0].body.size(), 6 + piece.size());
}

TEST_F(ExternalEndpointTest, GrpcCallersReachItThroughInvokeService) {
  answer_ = reply_text(404, "nothing there");
  ::dapr::proto::runtime::v1::InvokeServiceRequest request;
  request.set_id(url());
  request.mutable_message()->set_method("x");
  request.mutable_message()->mutable_http_extension()->set_verb(::dapr::proto::common::v1::HTTPExtension::GET);

  const Answer answer = gateway_.ask(post("/dapr.proto.runtime.v1.Dapr/InvokeService", request.SerializeAsString()));

  EXPECT_EQ(answer.status, static_cast<std::uint16_t>(Errc::kNotFound));
  EXPECT_EQ(answer.header("dapr-http-status"), "404");
}

TEST_F(ExternalEndpointTest, HttpsIsVerifiedWithTheDocumentsRoot) {
  const TlsFront front(server_.port(), {.name = "localhost", .protocol = "http/1.1"});
  auto document = endpoint("https://localhost:" + std::to_string(front.port()));
  document.client_tls = {{"rootCA", front.certificate(), "", "", ""}};
  configure(document);

  const Answer answer = gateway_.ask(post("/v1.0/invoke/partner/method/x"));

  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_EQ(answer.body, "from outside");
}

TEST_F(ExternalEndpointTest, HttpsOfAnUnknownRootIsRefused) {
  const TlsFront front(server_.port(), {.name = "localhost", .protocol = ""});
  configure(endpoint("https://localhost:" + std::to_string(front.port())));

  const Answer answer = gateway_.ask(post("/v1.0/invoke/partner/method/x"));

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("certificate"));
  EXPECT_TRUE(server_.requests.empty());
}

TEST_F(ExternalEndpointTest, APrivateKeyThatIsNoneIsNamedButNotShown) {
  auto document = endpoint("https://localhost:1");
  document.client_tls = {{"certificate", "no-certificate-at-all", "", "", ""}, {"privateKey", "canary", "", "", ""}};
  configure(document);

  const Answer answer = gateway_.ask(post("/v1.0/invoke/partner/method/x"));

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("spec.clientTLS."));
  EXPECT_THAT(answer.body, ::testing::Not(HasSubstr("canary")));
}

}  // namespace
}  // namespace caisson::invoke
