#include "capabilities/config/yaml_documents.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace caisson::config {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;

template <class T>
T only(std::string_view text) {
  ParsedFile parsed = parse_resources(text, "f.yaml");
  EXPECT_THAT(parsed.problems, IsEmpty()) << (parsed.problems.empty() ? "" : parsed.problems[0].message);
  if (parsed.documents.size() != 1 || !std::holds_alternative<T>(parsed.documents[0].content)) {
    ADD_FAILURE() << "not one document of the kind";
    return {};
  }
  return std::get<T>(parsed.documents[0].content);
}

Problem problem_of(std::string_view text) {
  const ParsedFile parsed = parse_resources(text, "f.yaml");
  EXPECT_THAT(parsed.problems, SizeIs(1));
  return parsed.problems.empty() ? Problem{} : parsed.problems[0];
}

std::string component_with(std::string_view spec) {
  return "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: cart\nspec:\n  type: state.redis\n" +
         std::string(spec);
}

/// The text a component gets for `value: WRITTEN`.
std::string value_of(std::string_view written) {
  const auto component =
      only<Component>(component_with("  metadata:\n  - name: x\n    value: " + std::string(written) + "\n"));
  return component.metadata.empty() ? "none" : component.metadata[0].value;
}

TEST(YamlComponentTest, ACompartmentThatCannotBeADirectorysNameIsRefusedWithItsLine) {
  for (const char* name : {"a/b", "..", "Fast", "aaaaaaaaaaaaaaaaaaaaaaaaa"}) {
    const Problem problem = problem_of(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: cart\n"
        "  annotations:\n    caisson.io/compartment: " +
        std::string(name) + "\nspec:\n  type: state.redis\n");

    EXPECT_THAT(problem.message, HasSubstr("metadata.annotations.caisson.io/compartment must be 1 to 24")) << name;
    EXPECT_EQ(problem.origin.line, 6U);
  }
}

TEST(YamlComponentTest, EveryFieldIsRead) {
  const auto component = only<Component>(R"(apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: cart
  namespace: shop
  annotations:
    caisson.io/compartment: fast
spec:
  type: State.Redis
  version: v2
  ignoreErrors: true
  initTimeout: 1m30s
  metadata:
  - name: redisHost
    value: localhost:6379
  - name: redisPassword
    secretKeyRef:
      name: redis
      key: password
  - name: other
    secretKeyRef:
      name: only
  - name: user
    envRef: REDIS_USER
auth:
  secretStore: vault
scopes:
- shop
- till
)");

  EXPECT_EQ(component.name, "cart");
  EXPECT_EQ(component.type, "state.redis");
  EXPECT_EQ(component.version, "v2");
  EXPECT_TRUE(component.ignore_errors);
  EXPECT_EQ(component.init_timeout, 90s);
  EXPECT_EQ(component.compartment, "fast");
  EXPECT_EQ(component.secret_store, "vault");
  EXPECT_THAT(component.scopes, ElementsAre("shop", "till"));
  EXPECT_EQ(component.origin.file, "f.yaml");
  EXPECT_EQ(component.origin.line, 1U);
  ASSERT_THAT(component.metadata, SizeIs(4));
  EXPECT_EQ(component.metadata[0].value, "localhost:6379");
  EXPECT_EQ(component.metadata[1].secret_name, "redis");
  EXPECT_EQ(component.metadata[1].secret_key, "password");
  EXPECT_EQ(component.metadata[2].secret_key, "only");
  EXPECT_EQ(component.metadata[3].env, "REDIS_USER");
}

TEST(YamlComponentTest, WhatIsNotSaidHasDaprsDefault) {
  const auto component = only<Component>(component_with("  initTimeout: soon\n"));

  EXPECT_EQ(component.version, "v1");
  EXPECT_EQ(component.init_timeout, 5s);
  EXPECT_FALSE(component.ignore_errors);
  EXPECT_THAT(component.metadata, IsEmpty());
  EXPECT_THAT(component.scopes, IsEmpty());
}

TEST(YamlComponentTest, ScalarsBecomeTheirJsonForm) {
  EXPECT_EQ(value_of("true"), "true");
  EXPECT_EQ(value_of("True"), "true");
  EXPECT_EQ(value_of("yes"), "true");
  EXPECT_EQ(value_of("off"), "false");
  EXPECT_EQ(value_of("15"), "15");
  EXPECT_EQ(value_of("1_000"), "1000");
  EXPECT_EQ(value_of("0x1F"), "31");
  EXPECT_EQ(value_of("017"), "15");
  EXPECT_EQ(value_of("08"), "8");
  EXPECT_EQ(value_of("-3"), "-3");
  EXPECT_EQ(value_of("1.50"), "1.5");
  EXPECT_EQ(value_of("1e3"), "1000");
  EXPECT_EQ(value_of("1e-9"), "1e-9");
  EXPECT_EQ(value_of("1e21"), "1e+21");
  EXPECT_EQ(value_of("18446744073709551615"), "18446744073709551615");
  EXPECT_EQ(value_of("2024-01-02"), "2024-01-02");
  EXPECT_EQ(value_of("10.0.0.1"), "10.0.0.1");
  EXPECT_EQ(value_of("5s"), "5s");
  EXPECT_EQ(value_of("~"), "");
  EXPECT_EQ(value_of(""), "");
}

TEST(YamlComponentTest, QuotedScalarsAreTextsAsTheyStand) {
  EXPECT_EQ(value_of("\"yes\""), "yes");
  EXPECT_EQ(value_of("'0x1F'"), "0x1F");
  EXPECT_EQ(value_of("\"\""), "");
  EXPECT_EQ(value_of("\"a\\tb\""), "a\tb");
  EXPECT_EQ(value_of("!!str 15"), "15");
  EXPECT_EQ(value_of("|\n      line 1\n      line 2"), "line 1\nline 2\n");
}

TEST(YamlComponentTest, ObjectsAndListsBecomeJsonText) {
  EXPECT_EQ(value_of("{b: 1, a: [x, true, \"2\", ~]}"), R"({"a":["x",true,"2",null],"b":1})");
  EXPECT_EQ(value_of("[]"), "[]");
  EXPECT_EQ(value_of("{\"q\": \"a<b\"}"), R"({"q":"a\u003cb"})");
}

TEST(YamlComponentTest, JsonIsReadAsYaml) {
  const auto component =
      only<Component>(R"({"apiVersion":"dapr.io/v1alpha1","kind":"Component","metadata":{"name":"cart"},)"
                      R"("spec":{"type":"state.in-memory","version":"v1","metadata":[{"name":"n","value":3}]}})");

  EXPECT_EQ(component.type, "state.in-memory");
  EXPECT_EQ(component.metadata.at(0).value, "3");
}

TEST(YamlComponentTest, AliasesAndMergeKeysAreResolved) {
  const auto component = only<Component>(component_with(
      "  metadata:\n  - &first\n    name: a\n    value: one\n  - <<: *first\n    name: b\n  - *first\n"));

  ASSERT_THAT(component.metadata, SizeIs(3));
  EXPECT_EQ(component.metadata[1].name, "b");
  EXPECT_EQ(component.metadata[1].value, "one");
  EXPECT_EQ(component.metadata[2].name, "a");
}

TEST(YamlComponentTest, NamesThatCannotStandInAPathAreRefused) {
  for (const std::string name : {"a/b", "50%", "'.'", "..", "''"}) {
    const std::string text =
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: " + name + "\nspec:\n  type: state.redis\n";
    EXPECT_THAT(problem_of(text).message, HasSubstr("metadata.name")) << name;
  }
}

TEST(YamlSubscriptionTest, V1RouteIsTheDefaultPath) {
  const auto subscription = only<Subscription>(R"(apiVersion: dapr.io/v1alpha1
kind: Subscription
metadata:
  name: orders
spec:
  topic: 7
  pubsubname: pubsub
  route: /orders
  deadLetterTopic: dead
  metadata:
    rawPayload: true
  bulkSubscribe:
    enabled: true
    maxMessagesCount: 50
    maxAwaitDurationMs: 200
scopes: [shop]
)");

  EXPECT_EQ(subscription.topic, "7");
  EXPECT_EQ(subscription.pubsub, "pubsub");
  EXPECT_EQ(subscription.default_path, "/orders");
  EXPECT_THAT(subscription.rules, IsEmpty());
  EXPECT_EQ(subscription.dead_letter_topic, "dead");
  EXPECT_EQ(subscription.metadata.at("rawPayload"), "true");
  EXPECT_TRUE(subscription.bulk);
  EXPECT_EQ(subscription.bulk_max_messages, 50U);
  EXPECT_EQ(subscription.bulk_max_await, 200ms);
  EXPECT_THAT(subscription.scopes, ElementsAre("shop"));
}

TEST(YamlSubscriptionTest, V2HasRulesInOrderAndADefault) {
  const auto subscription = only<Subscription>(R"(apiVersion: dapr.io/v2alpha1
kind: Subscription
metadata:
  name: orders
spec:
  topic: orders
  pubsubname: pubsub
  routes:
    rules:
    - match: event.type == "big"
      path: /big
    - match: event.type == "small"
      path: /small
    default: /rest
)");

  ASSERT_THAT(subscription.rules, SizeIs(2));
  EXPECT_EQ(subscription.rules[0].match, "event.type == \"big\"");
  EXPECT_EQ(subscription.rules[1].path, "/small");
  EXPECT_EQ(subscription.default_path, "/rest");
}

TEST(YamlSubscriptionTest, WhatIsRequiredIsNamedWhenItIsMissing) {
  const std::string head = "apiVersion: dapr.io/v1alpha1\nkind: Subscription\nmetadata:\n  name: s\nspec:\n";

  EXPECT_THAT(problem_of(head + "  pubsubname: p\n  route: /r\n").message, HasSubstr("spec.topic is missing"));
  EXPECT_THAT(problem_of(head + "  topic: t\n  route: /r\n").message, HasSubstr("spec.pubsubname is missing"));
  EXPECT_THAT(problem_of(head + "  topic: t\n  pubsubname: p\n").message, HasSubstr("spec.route is missing"));
}

constexpr std::string_view kResiliency = R"(apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata:
  name: patience
spec:
  policies:
    timeouts:
      short: 300ms
      bare: 40
    retries:
      plain: {}
      often:
        policy: exponential
        maxInterval: 15s
        maxRetries: 9
        matching:
          httpStatusCodes: 429, 500-599
          gRPCStatusCodes: "14"
    circuitBreakers:
      default: {}
      fuse:
        maxRequests: 3
        interval: 8s
        timeout: 45s
        trip: consecutiveFailures >= 2
  targets:
    apps:
      till:
        timeout: short
        retry: often
        circuitBreaker: fuse
        circuitBreakerCacheSize: 7
    components:
      cart:
        outbound:
          timeout: bare
      orders:
        inbound:
          retry: plain
)";

TEST(YamlResiliencyTest, PoliciesAndTargetsAreReadWithDefaults) {
  const auto resiliency = only<Resiliency>(kResiliency);

  EXPECT_EQ(resiliency.timeouts.at("short"), 300ms);
  EXPECT_EQ(resiliency.timeouts.at("bare"), 40ms);
  const RetryPolicy& plain = resiliency.retries.at("plain");
  EXPECT_FALSE(plain.exponential);
  EXPECT_EQ(plain.duration, 5s);
  EXPECT_EQ(plain.max_interval, 60s);
  EXPECT_EQ(plain.max_retries, -1);
  const RetryPolicy& often = resiliency.retries.at("often");
  EXPECT_TRUE(often.exponential);
  EXPECT_EQ(often.max_interval, 15s);
  EXPECT_EQ(often.max_retries, 9);
  EXPECT_EQ(often.http_codes, "429, 500-599");
  EXPECT_EQ(often.grpc_codes, "14");
  const CircuitBreakerPolicy& usual = resiliency.circuit_breakers.at("default");
  EXPECT_EQ(usual.max_requests, 1U);
  EXPECT_EQ(usual.interval, 0s);
  EXPECT_EQ(usual.timeout, 60s);
  EXPECT_EQ(usual.trip, "consecutiveFailures > 5");
  EXPECT_EQ(resiliency.circuit_breakers.at("fuse").trip, "consecutiveFailures >= 2");
  EXPECT_EQ(resiliency.apps.at("till").circuit_breaker, "fuse");
  EXPECT_EQ(resiliency.apps.at("till").circuit_breaker_cache_size, 7U);
  EXPECT_EQ(resiliency.component_outbound.at("cart").timeout, "bare");
  EXPECT_EQ(resiliency.component_inbound.at("orders").retry, "plain");
}

TEST(YamlResiliencyTest, WrongValuesAreNamedWithTheirLine) {
  const auto wrong = [](std::string_view from, std::string_view to) {
    std::string text(kResiliency);
    text.replace(text.find(from), from.size(), to);
    return problem_of(text);
  };

  const Problem duration = wrong("300ms", "soon");
  EXPECT_EQ(duration.origin.line, 8U);
  EXPECT_THAT(duration.message, HasSubstr("Resiliency 'patience': spec.policies.timeouts.short must be a duration"));
  EXPECT_EQ(wrong("exponential", "wild").origin.line, 13U);
  EXPECT_EQ(wrong("maxRetries: 9", "maxRetries: many").origin.line, 15U);
  EXPECT_EQ(wrong("429, 500-599", "700").origin.line, 17U);
}

TEST(YamlHttpEndpointTest, HeadersAndTlsAreRead) {
  const auto endpoint = only<HttpEndpoint>(R"(apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata:
  name: weather
spec:
  baseUrl: https://example.org
  headers:
  - name: key
    secretKeyRef: {name: weather, key: key}
  clientTLS:
    rootCA:
      secretKeyRef: {name: ca, key: pem}
    renegotiation: Never
auth: {secretStore: vault}
)");

  EXPECT_EQ(endpoint.base_url, "https://example.org");
  EXPECT_EQ(endpoint.headers.at(0).secret_name, "weather");
  EXPECT_EQ(endpoint.client_tls.at(0).name, "rootCA");
  EXPECT_EQ(endpoint.client_tls.at(0).secret_key, "pem");
  EXPECT_EQ(endpoint.renegotiation, "Never");
  EXPECT_EQ(endpoint.secret_store, "vault");
}

TEST(YamlFileTest, DocumentsAreReadOneByOneAndOtherKindsArePassedOver) {
  const std::string text =
      "# nothing yet\n---\n" + component_with("") + "--- # rest of the line\n" +
      "apiVersion: v1\nkind: ConfigMap\n---\n" + "apiVersion: dapr.io/v1alpha1\nkind: Configuration\n---\n" +
      "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: b}\nspec: {type: pubsub.x}\n";

  const ParsedFile parsed = parse_resources(text, "f.yaml");

  EXPECT_THAT(parsed.problems, IsEmpty());
  ASSERT_THAT(parsed.documents, SizeIs(2));
  EXPECT_EQ(parsed.documents[0].origin.line, 3U);
  EXPECT_EQ(parsed.documents[1].name, "b");
  EXPECT_EQ(parsed.documents[1].origin.line, 16U);
}

TEST(YamlFileTest, ABrokenDocumentHidesNoOtherAndIsFoundByItsLineInTheFile) {
  const std::string text =
      component_with("") + "---\nkind: Component\nspec: [1,\n  2\nx: }\n---\n" +
      "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: b}\nspec: {type: pubsub.x}\n";

  const ParsedFile parsed = parse_resources(text, "f.yaml");

  EXPECT_THAT(parsed.documents, SizeIs(2));
  ASSERT_THAT(parsed.problems, SizeIs(1));
  EXPECT_EQ(parsed.problems[0].origin.file, "f.yaml");
  EXPECT_GE(parsed.problems[0].origin.line, 9U);
  EXPECT_LE(parsed.problems[0].origin.line, 12U);
}

TEST(YamlFileTest, AWrongFieldIsFoundByItsLineInTheFile) {
  const std::string text = component_with("") + "---\n" + component_with("  ignoreErrors: perhaps\n");

  const Problem problem = problem_of(text);

  EXPECT_EQ(problem.origin.line, 14U);
  EXPECT_EQ(problem.message, "Component 'cart': spec.ignoreErrors must be true or false, without quotes");
}

TEST(YamlFileTest, WindowsLineEndsAreRead) {
  const ParsedFile parsed = parse_resources(
      "---\r\napiVersion: dapr.io/v1alpha1\r\nkind: Component\r\nmetadata:\r\n  name: a\r\nspec:\r\n  type: "
      "state.x\r\n---\r\n",
      "f.yaml");

  EXPECT_THAT(parsed.problems, IsEmpty());
  ASSERT_THAT(parsed.documents, SizeIs(1));
  EXPECT_EQ(parsed.documents[0].name, "a");
}

TEST(YamlFileTest, AnUnknownVersionOfOurOwnKindsIsAProblem) {
  EXPECT_THAT(problem_of("apiVersion: dapr.io/v1aplha1\nkind: Component\n").message, HasSubstr("apiVersion"));
}

TEST(YamlFileTest, MessagesNeverHoldMetadataValues) {
  const std::string text =
      component_with("  metadata:\n  - name: p\n    value: hunter2\n  - hunter2\n  ignoreErrors: hunter2\n");

  EXPECT_THAT(problem_of(text).message, ::testing::Not(HasSubstr("hunter2")));
}

TEST(YamlBombTest, AliasesThatMultiplyAreStopped) {
  std::string text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 12; ++i) {
    const std::string before = "*a" + std::to_string(i - 1);
    text += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 10; ++j) text += (j == 0 ? "" : ", ") + before;
    text += "]\n";
  }

  EXPECT_THAT(problem_of(text).message, HasSubstr("more than"));
}

TEST(YamlBombTest, DeepNestingIsStopped) {
  EXPECT_THAT(problem_of(std::string(100'000, '[')).message, HasSubstr("nested deeper"));
  EXPECT_THAT(problem_of("a: " + std::string(500, '{')).message, HasSubstr("nested deeper"));
}

TEST(YamlBombTest, HugeFilesAreNotParsed) {
  EXPECT_THAT(problem_of(std::string(kMaxFile + 1, ' ')).message, HasSubstr("larger"));
}

TEST(YamlBombTest, TooManyDocumentsAreNotParsed) {
  std::string text;
  for (std::size_t i = 0; i < kMaxDocuments + 2; ++i) text += "a: 1\n---\n";

  EXPECT_THAT(problem_of(text).message, HasSubstr("documents"));
}

TEST(YamlConfigurationTest, EveryPartIsRead) {
  Configuration merged;

  const auto problems = parse_configuration(R"(apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata:
  name: appconfig
spec:
  tracing:
    samplingRate: "0.5"
  features:
  - name: HotReload
    enabled: false
  secrets:
    scopes:
    - storeName: vault
      defaultAccess: deny
      allowedSecrets: [a, b]
    - storeName: other
      deniedSecrets: [root]
  api:
    allowed:
    - {name: state, version: v1.0, protocol: http}
    denied:
    - {name: invoke, version: v1.0}
  components:
    deny: [bindings.smtp, state.redis/v1]
  accessControl:
    defaultAction: deny
    trustDomain: public
    policies:
    - appId: till
      trustDomain: public
      namespace: default
      defaultAction: allow
      operations:
      - name: /pay/*
        httpVerb: [POST]
        action: deny
)",
                                            "c.yaml", merged);

  EXPECT_THAT(problems, IsEmpty());
  EXPECT_EQ(merged.name, "appconfig");
  EXPECT_EQ(merged.sampling_rate, 0.5);
  EXPECT_FALSE(merged.features.at("HotReload"));
  ASSERT_THAT(merged.secret_scopes, SizeIs(2));
  EXPECT_FALSE(merged.secret_scopes[0].allow_by_default);
  EXPECT_THAT(merged.secret_scopes[0].allowed, ElementsAre("a", "b"));
  EXPECT_TRUE(merged.secret_scopes[1].allow_by_default);
  EXPECT_EQ(merged.api_allowed.at(0).protocol, "http");
  EXPECT_EQ(merged.api_denied.at(0).name, "invoke");
  EXPECT_THAT(merged.denied_component_types, ElementsAre("bindings.smtp", "state.redis/v1"));
  EXPECT_EQ(merged.access_default_action, "deny");
  EXPECT_EQ(merged.access_policies.at(0).operations.at(0).name, "/pay/*");
  EXPECT_FALSE(merged.access_policies.at(0).operations.at(0).allow);
}

TEST(YamlConfigurationTest, AnApiRuleForAnUnknownProtocolIsAProblem) {
  Configuration merged;
  const std::string head = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec:\n";

  const auto problems = parse_configuration(head + "  api: {denied: [{name: state, protocol: htpp}]}\n", "a", merged);

  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_THAT(problems.front().message, HasSubstr("spec.api.denied[].protocol must be http or grpc"));
  EXPECT_THAT(parse_configuration(head + "  api: {denied: [{name: state, protocol: gRPC}]}\n", "a", merged), IsEmpty());
}

TEST(YamlConfigurationTest, ALaterFileIsLaidOverAnEarlierOne) {
  Configuration merged;
  const std::string head = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {name: c}\nspec:\n";

  ASSERT_THAT(
      parse_configuration(head + "  tracing: {samplingRate: \"1\"}\n  api: {denied: [{name: state}]}\n", "a", merged),
      IsEmpty());
  ASSERT_THAT(parse_configuration(head + "  api: {denied: [{name: invoke}, {name: publish}]}\n", "b", merged),
              IsEmpty());

  EXPECT_EQ(merged.sampling_rate, 1);
  ASSERT_THAT(merged.api_denied, SizeIs(2));
  EXPECT_EQ(merged.api_denied[0].name, "invoke");
}

TEST(YamlConfigurationTest, ABadSamplingRateIsTheDefault) {
  Configuration merged;

  ASSERT_THAT(parse_configuration("kind: Configuration\nspec: {tracing: {samplingRate: lots}}\n", "a", merged),
              IsEmpty());

  EXPECT_EQ(merged.sampling_rate, 0.0001);
}

TEST(YamlConfigurationTest, AnAccessPolicyWithoutNamespaceIsAProblem) {
  Configuration merged;

  const auto problems = parse_configuration(
      "kind: Configuration\nspec:\n  accessControl:\n    policies:\n    - appId: a\n      trustDomain: t\n", "c",
      merged);

  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_EQ(problems[0].origin.line, 5U);
  EXPECT_THAT(problems[0].message, HasSubstr("namespace"));
}

TEST(YamlConfigurationTest, VariablesAreReplacedByTheEnvironment) {
  ::setenv("CONFIG_TEST_RATE", "0.75", 1);
  ::unsetenv("CONFIG_TEST_NONE");

  EXPECT_EQ(expand_environment("a ${CONFIG_TEST_RATE}/$CONFIG_TEST_RATE. $CONFIG_TEST_NONE|"), "a 0.75/0.75. |");
  EXPECT_EQ(expand_environment("5 $ and ${ and $"), "5 $ and  and $");
  Configuration merged;
  ASSERT_THAT(
      parse_configuration("kind: Configuration\nspec: {tracing: {samplingRate: \"$CONFIG_TEST_RATE\"}}\n", "a", merged),
      IsEmpty());
  EXPECT_EQ(merged.sampling_rate, 0.75);
}

}  // namespace
}  // namespace caisson::config
