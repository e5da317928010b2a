#include "capabilities/invoke/local_apps.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "capabilities/invoke/testing/invoke_rig.hpp"
#include "net/testing/http_server.hpp"

namespace caisson::invoke {
namespace {

using caisson::testing::Answer;
using caisson::testing::Ask;
using net::testing::HttpServer;
using net::testing::reply_text;
using net::testing::SeenRequest;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

/// "cart" is a real server, which the gateway says may be called directly.
class LocalAppsTest : public InvokeRig {
 protected:
  LocalAppsTest() : app_(loop_, HttpServer::Answer([this](const SeenRequest&) { return answer_; })) {
    gateway_.set_app("cart", true, 1, "http", app_.endpoint().text);
  }

  std::string answer_ = reply_text(201, "from next door", "X-Own: back\r\nConnection: x-hop\r\nX-Hop: 1\r\n");
  HttpServer app_;
};

TEST_F(LocalAppsTest, AnAppNextDoorIsCalledWithoutTheGateway) {
  Ask ask = post("/v1.0/invoke/cart/method/orders/1", "two apples");
  ask.query = "a=1&b=%20";
  ask.headers = {{"Content-Type", "text/plain"}, {"X-Own", "1"}, {"dapr-api-token", "secret"}};

  const Answer answer = gateway_.ask(ask);

  EXPECT_EQ(answer.status, 201);
  EXPECT_EQ(answer.body, "from next door");
  EXPECT_EQ(answer.header("x-own"), "back");
  EXPECT_EQ(answer.header("x-hop"), "");
  EXPECT_THAT(seen_, IsEmpty()) << "the gateway was not asked";
  ASSERT_THAT(app_.requests, SizeIs(1));
  const SeenRequest& seen = app_.requests[0];
  EXPECT_EQ(seen.method, "POST");
  EXPECT_EQ(seen.target, "/orders/1?a=1&b=%20");
  EXPECT_EQ(seen.body, "two apples");
  EXPECT_EQ(seen.header("host"), app_.endpoint().text);
  EXPECT_EQ(seen.header("content-type"), "text/plain");
  EXPECT_EQ(seen.header("x-own"), "1");
  EXPECT_FALSE(seen.has("dapr-api-token"));
  EXPECT_EQ(seen.header("dapr-caller-app-id"), "shop");
  EXPECT_EQ(seen.header("dapr-callee-app-id"), "cart");
}

TEST_F(LocalAppsTest, ItsConnectionIsKept) {
  for (int i = 0; i < 3; ++i) EXPECT_EQ(gateway_.ask(post("/v1.0/invoke/cart/method/x")).status, 201);

  EXPECT_THAT(app_.requests, SizeIs(3));
  EXPECT_EQ(app_.accepted, 1U);
}

TEST_F(LocalAppsTest, LongBodiesGoThroughBothWays) {
  const std::string body(std::size_t{3} << 20, 'b');
  answer_ = reply_text(200, std::string(std::size_t{2} << 20, 'a'));

  const Answer answer = gateway_.ask(post("/v1.0/invoke/cart/method/x", body));

  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body.size(), std::size_t{2} << 20);
  ASSERT_THAT(app_.requests, SizeIs(1));
  EXPECT_EQ(app_.requests[0].body.size(), body.size());
}

TEST_F(LocalAppsTest, AnAnswerWithoutABodyHasNone) {
  answer_ = "HTTP/1.1 204 No Content\r\n\r\n";

  const Answer answer = gateway_.ask(post("/v1.0/invoke/cart/method/x"));

  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer.body, "");
}

TEST_F(LocalAppsTest, WhereNobodyListensTheGatewayIsAsked) {
  app_.stop();

  const Answer answer = gateway_.ask(post("/v1.0/invoke/cart/method/x", "kept"));

  EXPECT_EQ(answer.body, "done");
  ASSERT_THAT(seen_, SizeIs(1));
  EXPECT_EQ(seen_[0].body, "kept");
}

TEST_F(LocalAppsTest, AnAppThatBreaksOffIsAnError) {
  answer_ = "";

  const Answer answer = gateway_.ask(post("/v1.0/invoke/cart/method/x"));

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("cart"));
  EXPECT_THAT(seen_, IsEmpty()) << "it may have been carried out: it is not sent again";
}

TEST_F(LocalAppsTest, OneThatIsNotWellIsTheGatewaysToRefuse) {
  gateway_.set_app("cart", false, 2, "http", app_.endpoint().text);

  gateway_.ask(post("/v1.0/invoke/cart/method/x"));

  EXPECT_THAT(app_.requests, IsEmpty());
  EXPECT_THAT(seen_, SizeIs(1));
}

TEST_F(LocalAppsTest, OneThatHasMovedIsCalledWhereItIsNow) {
  gateway_.ask(post("/v1.0/invoke/cart/method/x"));
  HttpServer other(loop_, HttpServer::Answer([](const SeenRequest&) { return reply_text(200, "elsewhere"); }));
  gateway_.set_app("cart", true, 2, "http", other.endpoint().text);

  EXPECT_EQ(gateway_.ask(post("/v1.0/invoke/cart/method/x")).body, "elsewhere");

  gateway_.remove_app("cart");
  gateway_.set_app("cart", true, 1);
  EXPECT_EQ(gateway_.ask(post("/v1.0/invoke/cart/method/x")).body, "done") << "through the gateway again";
}

TEST_F(LocalAppsTest, AnAddressThatIsNoneIsLeftAlone) {
  for (const char* const wrong : {"127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "host:80", ":80", "127.0.0.1:99999"}) {
    gateway_.set_app("cart", true, 1, "http", wrong);
    EXPECT_EQ(gateway_.ask(post("/v1.0/invoke/cart/method/x")).body, "done") << wrong;
  }
}

}  // namespace
}  // namespace caisson::invoke
