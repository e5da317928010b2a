#include "capabilities/pubsub/subscriptions.hpp"

#include <gtest/gtest.h>

#include <cstdlib>

#include "capabilities/pubsub/routing.hpp"
#include "capabilities/pubsub/topic_rules.hpp"

namespace caisson::pubsub {
namespace {

config::Subscription subscription(std::string pubsub, std::string topic, std::string path) {
  config::Subscription one;
  one.pubsub = std::move(pubsub);
  one.topic = std::move(topic);
  one.default_path = std::move(path);
  return one;
}

std::vector<config::Subscription> parsed(std::string_view json) {
  auto list = parse_subscribe_list(json);
  EXPECT_TRUE(list) << json;
  return list ? *std::move(list) : std::vector<config::Subscription>();
}

sdk::Metadata metadata_of(std::string name, std::string value) {
  std::vector<std::pair<std::string, std::string>> items;
  items.emplace_back(std::move(name), std::move(value));
  return sdk::Metadata(std::move(items));
}

TEST(SubscriptionsTest, BothShapesAreReadWithKeysInAnyCase) {
  const auto list = parsed(R"([
    {"pubsubname":"p","topic":"a","route":"/a","metadata":{"rawPayload":"true"}},
    {"PubsubName":"p","Topic":"b","Routes":{"Rules":[{"Match":"event.type == \"x\"","Path":"/x"}],"Default":"/b"},
     "deadlettertopic":"dead"}])");

  ASSERT_EQ(list.size(), 2U);
  EXPECT_EQ(list[0].default_path, "/a");
  EXPECT_TRUE(wants_raw(list[0]));
  ASSERT_EQ(list[1].rules.size(), 1U);
  EXPECT_EQ(list[1].rules[0].match, "event.type == \"x\"");
  EXPECT_EQ(list[1].default_path, "/b");
  EXPECT_EQ(list[1].dead_letter_topic, "dead");
}

TEST(SubscriptionsTest, TheDefaultOfRoutesBeatsTheFlatRoute) {
  const auto list = parsed(R"([{"pubsubname":"p","topic":"a","route":"/flat","routes":{"default":"/shaped"}}])");

  ASSERT_EQ(list.size(), 1U);
  EXPECT_EQ(list[0].default_path, "/shaped");
}

TEST(SubscriptionsTest, EntriesWithoutRouteTopicOrComponentAreLeftOut) {
  EXPECT_TRUE(
      parsed(R"([{"pubsubname":"p","topic":"a"},{"topic":"a","route":"/a"},{"pubsubname":"p","route":"/a"}])").empty());
  EXPECT_TRUE(parsed("null").empty());
}

TEST(SubscriptionsTest, WhatIsNoListIsRefused) {
  for (const char* const wrong : {"", "{}", "[1]", "[{]", "\"x\""}) EXPECT_FALSE(parse_subscribe_list(wrong)) << wrong;
}

TEST(SubscriptionsTest, AProgrammaticEntryReplacesADeclarativeOneOfTheSameTopic) {
  auto scoped = subscription("p", "c", "/c");
  scoped.scopes = {"other"};
  const auto all = subscriptions_of("shop", Paths::kRequired,
                                    {subscription("p", "a", "/declared"), subscription("p", "b", "/first"),
                                     subscription("p", "b", "/second"), scoped},
                                    {subscription("p", "a", "/programmed")});

  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].document.default_path, "/programmed");
  EXPECT_EQ(all[0].source, Source::kProgrammatic);
  EXPECT_EQ(all[1].document.default_path, "/first");
  EXPECT_EQ(all[1].source, Source::kDeclarative);
}

TEST(SubscriptionsTest, ARuleThatCannotBeUnderstoodIsReportedAndTheDefaultTaken) {
  auto document = subscription("p", "a", "/default");
  document.rules = {{"event.type ===", "/never"}};
  const auto all = subscriptions_of("shop", Paths::kRequired, {document}, {});
  ASSERT_EQ(all.size(), 1U);

  EXPECT_NE(all[0].problem.find("event.type ==="), std::string::npos);
  EXPECT_FALSE(all[0].unusable);
  EXPECT_EQ(Router(document).route(JsonValue::object()), "/default");
}

TEST(SubscriptionsTest, WithoutAnyUsableRouteNothingIsFetched) {
  auto document = subscription("p", "a", "");
  document.rules = {{"((", "/never"}};

  EXPECT_TRUE(subscriptions_of("shop", Paths::kRequired, {document}, {})[0].unusable);
}

TEST(SubscriptionsTest, MetadataListsRulesWithTheDefaultLast) {
  auto document = subscription("p", "a", "/default");
  document.rules = {{"event.type == \"x\"", "/x"}};
  JsonWriter json;

  write_metadata(json, "shop", examine(document, Source::kProgrammatic, Paths::kRequired));

  EXPECT_EQ(
      json.text(),
      R"({"appId":"shop","pubsubname":"p","topic":"a","rules":[{"match":"event.type == \"x\"","path":"/x"},{"path":"/default"}],)"
      R"("deadLetterTopic":"","type":"PROGRAMMATIC"})");
}

TEST(RoutingTest, TheFirstRuleThatHoldsWins) {
  auto document = subscription("p", "a", "/default");
  document.rules = {{"event.type == \"order\" && event.data.total > 100", "/big"},
                    {"event.type == \"order\"", "/order"}};
  const Router router(document);
  const auto route = [&](std::string_view json) { return router.route(*parse_json(json)).value_or("none"); };

  EXPECT_EQ(router.problem(), "");
  EXPECT_EQ(route(R"({"type":"order","data":{"total":101}})"), "/big");
  EXPECT_EQ(route(R"({"type":"order","data":{"total":7.5}})"), "/order");
  EXPECT_EQ(route(R"({"type":"order"})"), "/order");
  EXPECT_EQ(route(R"({"type":"return"})"), "/default");
}

TEST(RoutingTest, WithoutADefaultAnEventMayHaveNoRoute) {
  auto document = subscription("p", "a", "");
  document.rules = {{"event.type == \"order\"", "/order"}};

  EXPECT_FALSE(Router(document).route(*parse_json(R"({"type":"return"})")));
}

TEST(TopicRulesTest, ScopesProtectedAndAllowedTopicsHold) {
  const TopicRules rules(sdk::Metadata(sdk::Metadata::Items{{"allowedTopics", "a, b ,c"},
                                                            {"protectedTopics", "c"},
                                                            {"publishingScopes", "shop=a,c; mute="},
                                                            {"subscriptionScopes", "shop=b"}}));

  EXPECT_TRUE(rules.may_publish("shop", "a"));
  EXPECT_TRUE(rules.may_publish("shop", "c"));
  EXPECT_FALSE(rules.may_publish("shop", "b"));
  EXPECT_FALSE(rules.may_publish("mute", "a"));
  EXPECT_TRUE(rules.may_publish("other", "b"));
  EXPECT_FALSE(rules.may_publish("other", "c"));
  EXPECT_FALSE(rules.may_publish("other", "d"));
  EXPECT_TRUE(rules.may_subscribe("shop", "b"));
  EXPECT_FALSE(rules.may_subscribe("shop", "a"));
}

TEST(TopicRulesTest, TheConsumerGroupIsTheAppUnlessConfigured) {
  EXPECT_EQ(TopicRules().group_of("shop"), "shop");
  EXPECT_EQ(TopicRules(metadata_of("consumerID", "g-{appID}")).group_of("shop"), "g-shop");
}

TEST(TopicRulesTest, ANamespacedComponentPrefixesItsTopics) {
  ::setenv("NAMESPACE", "prod-", 1);
  const TopicRules rules(metadata_of("consumerID", "{namespace}x"));
  ::unsetenv("NAMESPACE");

  EXPECT_EQ(rules.broker_topic("orders"), "prod-orders");
  EXPECT_EQ(rules.group_of("shop"), "prod-x");
  EXPECT_EQ(TopicRules().broker_topic("orders"), "orders");
}

}  // namespace
}  // namespace caisson::pubsub
