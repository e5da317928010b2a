#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <deque>
#include <filesystem>

#include "bus/inproc_lane.hpp"
#include "bus/testing/run.hpp"
#include "capabilities/state/capability.hpp"
#include "config-cache/generation.hpp"
#include "sdk/process.hpp"
#include "sdk/status.hpp"

namespace caisson::state {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

/// What a client would see, as the gateway gets it.
struct Answer {
  std::uint16_t status = 0;
  std::string body;
  std::string etag;
  std::string content_type;
  std::string expires;
};

/// The state capability behind a link whose other end the test holds as the gateway, with the
/// stores "mem" (in-memory), "disk" (sqlite), "named" (own key prefix), "private" (for the app
/// "bank" only), "odd" (a type that does not exist).
class DaprHttpTest : public ::testing::Test {
 protected:
  DaprHttpTest() {
    char name[] = "/tmp/caisson-state-http-XXXXXX";
    directory_ = ::mkdtemp(name);
    process_ = std::make_unique<sdk::Process>(loop_, sdk::Process::Options{"state", "state-1", directory_, {}, {}},
                                              make_state);
    EXPECT_TRUE(process_->start());
    auto [ours, theirs] = make_inproc_lanes(loop_);
    Link::Handlers handlers;
    handlers.control = [this](Frame frame) {
      if (frame->kind() == wire::Kind::Status) status_ = std::string(frame.payload());
    };
    handlers.serve = [](Incoming call) { return refuse(std::move(call)); };
    gateway_ = std::make_unique<Link>(loop_, std::move(ours), Side::kGateway, Link::Options{}, std::move(handlers));
    gateway_->start("gateway", "{}");
    process_->adopt(std::move(theirs));
    testing::run_until(loop_, [this] { return gateway_->ready(); });
    for (const char* app : {"shop", "bank"}) announce(app);
    configure({component("mem", "state.in-memory"), component("disk", "state.sqlite"),
               component("named", "state.in-memory", {{"keyPrefix", "Shared"}}),
               component("private", "state.in-memory", {}, {"bank"}), component("odd", "state.nothing")});
  }
  ~DaprHttpTest() override {
    gateway_.reset();
    process_.reset();
    std::filesystem::remove_all(directory_);
  }

  static Task<void> refuse(Incoming call) {
    [[maybe_unused]] const auto sent = co_await call.reply_error({Errc::kUnimplemented, "no"});
  }

  static config::Component component(std::string name, std::string type,
                                     std::vector<std::pair<std::string, std::string>> metadata = {},
                                     std::vector<std::string> scopes = {}) {
    config::Component out;
    out.name = std::move(name);
    out.type = std::move(type);
    out.version = "v1";
    out.scopes = std::move(scopes);
    for (auto& [key, value] : metadata) {
      config::MetadataItem item;
      item.name = key;
      item.value = value;
      out.metadata.push_back(std::move(item));
    }
    return out;
  }

  void announce(std::string_view app) {
    const Field headers[] = {{"reachable", "true"}, {"incarnation", "1"}, {"protocol", "http"}};
    Envelope envelope;
    envelope.kind = wire::Kind::App;
    envelope.app = app;
    envelope.headers = headers;
    Buffer nothing;
    EXPECT_TRUE(gateway_->send(envelope, nothing));
  }

  void configure(std::vector<config::Component> components) {
    const std::size_t wanted = components.size();
    send_configuration(std::move(components));
    testing::run_until(loop_, [&] {
      const auto status = sdk::parse_status(status_);
      return status && status->components.size() == wanted &&
             std::ranges::none_of(status->components,
                                  [](const auto& c) { return c.state == sdk::ComponentState::kInit; });
    });
  }

  void send_configuration(std::vector<config::Component> components) {
    config::Generation generation;
    generation.audience = "state";
    generation.term = 1;
    generation.sequence = ++sequence_;
    generation.components = std::move(components);
    Envelope envelope;
    envelope.kind = wire::Kind::Config;
    envelope.target = "state";
    Buffer payload(config::encode(generation));
    EXPECT_TRUE(gateway_->send(envelope, payload));
  }

  /// Calls the route as the gateway would, having matched the method and the pattern.
  Answer ask(std::string_view method, std::string_view pattern, std::vector<Field> parameters, std::string body = {},
             std::string_view query = {}, std::vector<Field> headers = {}, std::string_view app = "shop",
             RequestId request = {}) {
    Envelope envelope;
    for (const Route& route : process_->manifest().routes) {
      if (route.path == pattern &&
          ("," + route.method + ",").find("," + std::string(method) + ",") != std::string::npos) {
        envelope.route = route.number;
      }
    }
    EXPECT_NE(envelope.route, 0) << method << " " << pattern;
    envelope.app = app;
    envelope.method = method;
    envelope.query = query;
    envelope.parameters = parameters;
    envelope.headers = headers;
    envelope.request = request;
    Buffer payload(std::move(body));
    auto reply = testing::run(loop_, gateway_->call(envelope, payload, loop_.deadline_in(20s)));
    if (!reply) return {0, reply.error().message, {}, {}, {}};
    const Fields fields = reply->head.headers();
    return {reply->head->status(), std::string(reply->head.payload()), std::string(fields.get("etag")),
            std::string(fields.get("content-type")), std::string(fields.get("metadata.ttlExpireTime"))};
  }
  Answer get(std::string_view store, std::string_view key, std::string_view query = {}, std::string_view app = "shop") {
    return ask("GET", "/v1.0/state/{store}/{key}", {{"store", store}, {"key", key}}, {}, query, {}, app);
  }
  Answer set(std::string_view store, std::string body, std::string_view query = {}, RequestId request = {}) {
    return ask("POST", "/v1.0/state/{store}", {{"store", store}}, std::move(body), query, {}, "shop", request);
  }
  Answer remove(std::string_view store, std::string_view key, std::string_view query = {},
                std::string_view if_match = {}) {
    return ask("DELETE", "/v1.0/state/{store}/{key}", {{"store", store}, {"key", key}}, {}, query,
               {{"If-Match", if_match}});
  }
  Answer get_many(std::string_view store, std::string body) {
    return ask("POST", "/v1.0/state/{store}/bulk", {{"store", store}}, std::move(body));
  }
  Answer transact(std::string_view store, std::string body, std::string_view query = {}) {
    return ask("POST", "/v1.0/state/{store}/transaction", {{"store", store}}, std::move(body), query);
  }

  SystemClock clock_;
  EventLoop loop_{clock_};
  std::string directory_;
  std::string status_;
  std::uint64_t sequence_ = 0;
  std::unique_ptr<sdk::Process> process_;
  std::unique_ptr<Link> gateway_;
};

TEST_F(DaprHttpTest, AValueIsSetAndReadBack) {
  for (const char* store : {"mem", "disk"}) {
    EXPECT_EQ(set(store, R"([{"key":"cart","value":{"b":1.0,"a":"<x>"}}])").status, 204);

    const Answer answer = get(store, "cart");

    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.body, R"({"a":"\u003cx\u003e","b":1})");
    EXPECT_EQ(answer.content_type, "application/json");
    EXPECT_EQ(answer.etag.size(), 36U);
    EXPECT_EQ(answer.expires, "");
  }
}

TEST_F(DaprHttpTest, AMissingKeyIsNoContentWithoutEtag) {
  const Answer answer = get("disk", "nothing");

  EXPECT_EQ(answer.status, 204);
  EXPECT_EQ(answer.body, "");
  EXPECT_EQ(answer.etag, "");
  EXPECT_EQ(remove("disk", "nothing").status, 204);
}

TEST_F(DaprHttpTest, PutIsPostAndManifestSaysWhatMayBeSentAgain) {
  EXPECT_EQ(ask("PUT", "/v1.0/state/{store}", {{"store", "mem"}}, R"([{"key":"k","value":1}])").status, 204);

  for (const Route& route : process_->manifest().routes) {
    if (route.rpc != Rpc::kNone) continue;
    EXPECT_EQ(route.selector, "store");
    EXPECT_EQ(route.key, route.path.ends_with("{key}") ? "key" : "");
    EXPECT_EQ(route.group, "state");
    EXPECT_EQ(route.too_large.status, 400);
    EXPECT_EQ(route.too_large.code, "ERR_MALFORMED_REQUEST");
    EXPECT_NE(route.safe, route.ledgered) << route.path;
  }
}

TEST_F(DaprHttpTest, AppsAndStoresDoNotSeeEachOthersKeys) {
  set("mem", R"([{"key":"k","value":"shop's"}])");

  EXPECT_EQ(get("mem", "k", {}, "bank").status, 204);
  EXPECT_EQ(get("disk", "k").status, 204);
}

TEST_F(DaprHttpTest, AStoreWithALiteralPrefixIsSharedByApps) {
  set("named", R"([{"key":"k","value":1}])");

  EXPECT_EQ(get("named", "k", {}, "bank").body, "1");
}

TEST_F(DaprHttpTest, UnknownAndUnreadyStoresAreAnsweredInTheApisWords) {
  const Answer unknown = get("none", "k");
  EXPECT_EQ(unknown.status, 400);
  EXPECT_EQ(unknown.body,
            R"({"errorCode":"ERR_STATE_STORE_NOT_FOUND","message":"state store none is not found","details":[)"
            R"({"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"DAPR_STATE_NOT_FOUND","domain":"dapr.io",)"
            R"("metadata":{"appID":"shop"}}]})");
  EXPECT_EQ(get("private", "k").status, 400) << "another app's store is unknown";
  EXPECT_EQ(set("private", "[").status, 400);
  EXPECT_THAT(set("private", "[").body, HasSubstr("ERR_STATE_STORE_NOT_FOUND"))
      << "the store is looked at before the body";

  const Answer unready = get("odd", "k");
  EXPECT_EQ(unready.status, 500);
  EXPECT_THAT(unready.body, AllOf(HasSubstr("ERR_STATE_STORE_NOT_CONFIGURED"),
                                  HasSubstr("state store odd is not ready"), HasSubstr("state.nothing")));
}

TEST_F(DaprHttpTest, WithoutAnyStoreTheAnswerIsNotConfigured) {
  configure({});

  const Answer answer = get("mem", "k");

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, AllOf(HasSubstr("ERR_STATE_STORE_NOT_CONFIGURED"), HasSubstr("DAPR_STATE_NOT_CONFIGURED")));
}

TEST_F(DaprHttpTest, KeysWithTheSeparatorAreRefusedWithDetails) {
  const std::string message = "input key/keyPrefix 'a||b' can't contain '||'";
  for (const Answer& answer :
       {get("mem", "a||b"), set("mem", R"([{"key":"a||b","value":1}])"), remove("mem", "a||b"),
        get_many("mem", R"({"keys":["a||b"]})"),
        transact("mem", R"({"operations":[{"operation":"delete","request":{"key":"a||b"}}]})")}) {
    EXPECT_EQ(answer.status, 400);
    EXPECT_EQ(
        answer.body,
        R"({"errorCode":"ERR_MALFORMED_REQUEST","message":")" + message + R"(","details":[)" +
            R"({"@type":"type.googleapis.com/google.rpc.BadRequest","field_violations":[{"field":"a||b","description":")" +
            message + R"("}]},{"@type":"type.googleapis.com/google.rpc.ResourceInfo","resource_type":"state",)" +
            R"("resource_name":"mem","owner":"","description":""},)" +
            R"({"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"DAPR_STATE_ILLEGAL_KEY","domain":"dapr.io","metadata":null}]})");
  }
}

TEST_F(DaprHttpTest, BodiesThatCannotBeReadAreMalformed) {
  for (const char* body :
       {"", "{}", "[", "[1]", R"([{"key":5}])", R"([{"key":"k","etag":1}])", R"([{"key":"k","metadata":{"a":1}}])",
        R"([{"key":"k","value":}])", R"([{"key":"k"}] x)", R"([{"value":1}])", R"([{"key":"","value":1}])", "\xff"}) {
    const Answer answer = set("mem", body);
    EXPECT_EQ(answer.status, 400) << body;
    EXPECT_THAT(answer.body, HasSubstr("ERR_MALFORMED_REQUEST")) << body;
    EXPECT_EQ(answer.body.find("details"), std::string::npos) << body;
  }
  for (const char* body : {"", "[]", R"({"keys":5})", R"({"keys":[1]})"})
    EXPECT_EQ(get_many("mem", body).status, 400) << body;
  for (const char* body : {"", "[]", R"({"operations":5})", R"({"operations":[1]})"})
    EXPECT_EQ(transact("mem", body).status, 400) << body;
  EXPECT_EQ(get("mem", "k").status, 204) << "nothing was written";
}

TEST_F(DaprHttpTest, MemberNamesAreFoundWithoutRegardToCase) {
  EXPECT_EQ(set("mem", R"([{"KEY":"k","Value":7,"Options":{"Concurrency":"first-write"},"extra":[{}]}])").status, 204);

  EXPECT_EQ(get("mem", "k").body, "7");
}

TEST_F(DaprHttpTest, AnAbsentValueIsNull) {
  EXPECT_EQ(set("mem", R"([{"key":"k"}])").status, 204);

  EXPECT_EQ(get("mem", "k").body, "null");
}

TEST_F(DaprHttpTest, AnEmptyArrayIsNoContent) { EXPECT_EQ(set("mem", "[]").status, 204); }

TEST_F(DaprHttpTest, AStaleEtagIsAConflict) {
  set("disk", R"([{"key":"k","value":1}])");
  const std::string etag = get("disk", "k").etag;
  EXPECT_EQ(set("disk", R"([{"key":"k","value":2,"etag":")" + etag + R"("}])").status, 204);

  const Answer answer = set("disk", R"([{"key":"k","value":3,"etag":")" + etag + R"("}])");

  EXPECT_EQ(answer.status, 409);
  EXPECT_EQ(
      answer.body,
      R"({"errorCode":"ERR_STATE_SAVE","message":"failed saving state in state store disk: possible etag mismatch. error from state store"})");
  EXPECT_EQ(get("disk", "k").body, "2");
  EXPECT_EQ(remove("disk", "k", {}, etag).status, 409);
  EXPECT_THAT(remove("disk", "k", {}, etag).body,
              AllOf(HasSubstr("ERR_STATE_DELETE"), HasSubstr("failed deleting state with key k")));
  EXPECT_EQ(remove("disk", "k", {}, get("disk", "k").etag).status, 204);
}

TEST_F(DaprHttpTest, OneStaleEtagAmongSeveralItemsDecidesTheCodeAndTheOthersAreWritten) {
  const Answer answer = set(
      "disk",
      R"([{"key":"a","value":1},{"key":"b","value":1,"etag":"x"},{"key":"c","value":1,"options":{"consistency":"odd"}}])");

  EXPECT_EQ(answer.status, 409);
  EXPECT_THAT(answer.body, HasSubstr("unrecognized consistency model odd"));
  EXPECT_EQ(get("disk", "a").body, "1");
  EXPECT_EQ(get("disk", "c").status, 204);
}

TEST_F(DaprHttpTest, UnknownOptionsAndTimesAreErrorsOfTheStore) {
  const Answer concurrency = set("mem", R"([{"key":"k","value":1,"options":{"concurrency":"odd"}}])");
  EXPECT_EQ(concurrency.status, 500);
  EXPECT_THAT(concurrency.body, AllOf(HasSubstr("ERR_STATE_SAVE"), HasSubstr("unrecognized concurrency model odd")));
  EXPECT_EQ(set("mem", R"([{"key":"k","value":1,"metadata":{"ttlInSeconds":"soon"}}])").status, 500);
  EXPECT_EQ(remove("mem", "k", "concurrency=odd").status, 500);
  EXPECT_THAT(remove("mem", "k", "consistency=odd").body, HasSubstr("ERR_STATE_DELETE"));
  EXPECT_THAT(get("mem", "k", "consistency=odd").body, HasSubstr("ERR_STATE_GET"));
  EXPECT_EQ(get("mem", "k", "consistency=strong").status, 204);
}

TEST_F(DaprHttpTest, FirstWriteDoesNotOverwrite) {
  const std::string body = R"([{"key":"k","value":1,"options":{"concurrency":"first-write"}}])";

  EXPECT_EQ(set("disk", body).status, 204);
  EXPECT_EQ(set("disk", body).status, 409);
}

TEST_F(DaprHttpTest, QueryMetadataOverridesTheItems) {
  EXPECT_EQ(
      set("disk", R"([{"key":"k","value":1,"metadata":{"ttlInSeconds":"soon"}}])", "metadata.ttlInSeconds=100").status,
      204);

  EXPECT_THAT(get("disk", "k").expires, MatchesRegex("....-..-..T..:..:..Z"));
}

TEST_F(DaprHttpTest, BulkGetAnswersInOrderWithWhatIsKnown) {
  set("disk", R"([{"key":"a","value":{"x":1}},{"key":"c","value":"s","metadata":{"ttlInSeconds":"100"}}])");
  const std::string a = get("disk", "a").etag;
  const Answer c = get("disk", "c");

  const Answer answer = get_many("disk", R"({"keys":["a","b","c"],"parallelism":10})");

  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body, R"([{"key":"a","data":{"x":1},"etag":")" + a +
                             R"("},{"key":"b"},{"key":"c","data":"s","etag":")" + c.etag +
                             R"(","metadata":{"ttlExpireTime":")" + c.expires + R"("}}])");
  EXPECT_EQ(get_many("disk", R"({"keys":[]})").body, "[]");
  EXPECT_EQ(get_many("disk", "{}").body, "[]");
}

TEST_F(DaprHttpTest, ABulkGetLargerThanAnAnswerMayBeIsAClearError) {
  set("mem", R"([{"key":"k","value":")" + std::string(3'000'000, 'x') + R"("}])");

  const Answer answer = get_many("mem", R"({"keys":["k","k","k","k","k","k"]})");

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("ERR_STATE_BULK_GET"));
}

TEST_F(DaprHttpTest, ATransactionIsAllOrNothing) {
  set("disk", R"([{"key":"old","value":1}])");
  EXPECT_EQ(
      transact(
          "disk",
          R"({"operations":[{"operation":"upsert","request":{"key":"a","value":1}},{"operation":"delete","request":{"key":"old"}}]})")
          .status,
      204);
  EXPECT_EQ(get("disk", "a").body, "1");
  EXPECT_EQ(get("disk", "old").status, 204);

  const Answer refused = transact(
      "disk",
      R"({"operations":[{"operation":"upsert","request":{"key":"b","value":1}},{"operation":"upsert","request":{"key":"a","value":2,"etag":"wrong"}}]})");

  EXPECT_EQ(refused.status, 500);
  EXPECT_EQ(
      refused.body,
      R"({"errorCode":"ERR_STATE_TRANSACTION","message":"error while executing state transaction: possible etag mismatch. error from state store"})");
  EXPECT_EQ(get("disk", "b").status, 204);
  EXPECT_EQ(get("disk", "a").body, "1");
}

TEST_F(DaprHttpTest, TransactionsWithUnknownOperationsAreRefused) {
  const Answer answer = transact(
      "disk",
      R"({"operations":[{"operation":"upsert","request":{"key":"a","value":1}},{"operation":"merge","request":{"key":"a"}}]})");

  EXPECT_EQ(answer.status, 400);
  EXPECT_EQ(answer.body,
            R"({"errorCode":"ERR_NOT_SUPPORTED_STATE_OPERATION","message":"operation type merge not supported"})");
  EXPECT_EQ(get("disk", "a").status, 204);
  EXPECT_EQ(transact("disk", R"({"operations":[]})").status, 204);
}

TEST_F(DaprHttpTest, QueriesAreUnsupported) {
  const Answer answer = ask("POST", "/v1.0-alpha1/state/{store}/query", {{"store", "disk"}}, "{}");

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body,
              AllOf(HasSubstr("ERR_STATE_STORE_NOT_SUPPORTED"), HasSubstr("DAPR_STATE_QUERYING_NOT_SUPPORTED")));
}

TEST_F(DaprHttpTest, ARequestThatIsSentAgainIsExecutedOnce) {
  const RequestId request{9, 4, 1};
  const std::string body = R"([{"key":"k","value":1,"options":{"concurrency":"first-write"}}])";

  EXPECT_EQ(set("disk", body, {}, request).status, 204);
  EXPECT_EQ(set("disk", body, {}, request).status, 204) << "its own success must not look like a conflict";
  EXPECT_EQ(set("disk", body, {}, {9, 5, 1}).status, 409);
  EXPECT_EQ(set("disk", R"([{"key":"k","value":"late"}])", {}, {9, 3, 1}).status, 500);

  EXPECT_EQ(get("disk", "k").body, "1");
}

TEST_F(DaprHttpTest, ComponentsReportWhatTheyAreAndWhyTheyAreNot) {
  const auto status = sdk::parse_status(status_);
  ASSERT_TRUE(status);
  for (const sdk::ComponentStatus& component : status->components) {
    if (component.name == "odd") {
      EXPECT_EQ(component.state, sdk::ComponentState::kDown);
      EXPECT_THAT(component.reason, HasSubstr("state.nothing"));
    } else {
      EXPECT_EQ(component.state, sdk::ComponentState::kUp);
      EXPECT_THAT(component.capabilities, ::testing::Contains("ETAG"));
    }
  }
}

TEST_F(DaprHttpTest, AComponentThatAsksForEncryptionIsNotServedWithoutIt) {
  configure({component("secret", "state.in-memory", {{"primaryEncryptionKey", "00112233445566778899aabbccddeeff"}})});

  const Answer answer = set("secret", R"([{"key":"k","value":1}])");

  EXPECT_EQ(answer.status, 500);
  EXPECT_THAT(answer.body, HasSubstr("metadata 'primaryEncryptionKey' is not supported"));
}

TEST_F(DaprHttpTest, RequestsWaitWhileAChangedSqliteComponentIsReopenedWithItsData) {
  set("disk", R"([{"key":"k","value":1}])");

  for (const char* interval : {"5m", "6m", "7m"}) {
    send_configuration({component("disk", "state.sqlite", {{"cleanupInterval", interval}})});
    for (int i = 0; i < 20; ++i) {
      const Answer answer = get("disk", "k");
      EXPECT_EQ(answer.status, 200) << answer.body;
      EXPECT_EQ(answer.body, "1");
    }
  }
}

}  // namespace
}  // namespace caisson::state
