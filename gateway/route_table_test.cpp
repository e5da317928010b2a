#include "gateway/route_table.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caisson::gateway {
namespace {

using ::testing::HasSubstr;

Route route(std::uint16_t number, std::string method, std::string path) {
  Route made;
  made.number = number;
  made.method = std::move(method);
  made.path = std::move(path);
  made.fallback = made.path.empty();
  return made;
}

std::shared_ptr<const Manifest> manifest(std::string name, std::vector<Route> routes) {
  auto made = std::make_shared<Manifest>();
  made->capability = std::move(name);
  made->routes = std::move(routes);
  return made;
}

/// "number name=value …", or "none".
std::string find(const RouteTable& table, std::string_view method, std::string_view path) {
  RouteMatch match;
  const Result<void> found = table.find(method, path, match);
  if (!found) return found.error().message;
  if (match.entry() == nullptr) return "none";
  std::string text = std::to_string(match.entry()->route->number);
  for (const Field& field : match.parameters()) {
    text += " " + std::string(field.name) + "=" + std::string(field.value);
  }
  return text;
}

class RouteTableTest : public ::testing::Test {
 protected:
  std::shared_ptr<const RouteTable> table_ = *RouteTable::make(
      {manifest("a", {route(1, "GET", "/v1/things/{box}/{key}"), route(2, "POST,PUT", "/v1/things/{box}"),
                      route(3, "POST", "/v1/things/{box}/bulk")}),
       manifest("b", {route(4, "POST", "/v1/send/{box}/{topic...}"), route(5, "POST", "/v1/send/bulk/{box}/{topic...}"),
                      route(6, "*", "/v1/any")}),
       manifest("c", {route(9, "*", "")})},
      {});
};

TEST_F(RouteTableTest, ALiteralWinsOverAParameterAndAParameterOverTheFallback) {
  EXPECT_EQ(find(*table_, "POST", "/v1/things/x/bulk"), "3 box=x");
  EXPECT_EQ(find(*table_, "GET", "/v1/things/x/bulk"), "1 box=x key=bulk");
  EXPECT_EQ(find(*table_, "POST", "/v1/send/bulk/x/t"), "5 box=x topic=t");
  EXPECT_EQ(find(*table_, "POST", "/v1/send/x/t/u"), "4 box=x topic=t/u");
  EXPECT_EQ(find(*table_, "BREW", "/v1/any"), "6");
}

TEST_F(RouteTableTest, AWrongMethodGoesToTheFallbackLikeAnUnknownPath) {
  EXPECT_EQ(find(*table_, "DELETE", "/v1/things/x"), "9");
  EXPECT_EQ(find(*table_, "GET", "/elsewhere"), "9");
}

TEST_F(RouteTableTest, ParametersAreDecodedWithQueryRulesAndKeepAnEscapedSlash) {
  EXPECT_EQ(find(*table_, "GET", "/v1/things/a+b/c%2Fd%20e"), "1 box=a b key=c/d e");
  EXPECT_EQ(find(*table_, "POST", "/v1/send/x/a%2Bb+c"), "4 box=x topic=a+b c");
}

TEST_F(RouteTableTest, ABrokenEscapeIsAnErrorThatShowsIt) {
  EXPECT_THAT(find(*table_, "GET", "/v1/things/x/%zz"), HasSubstr("%zz"));
  EXPECT_THAT(find(*table_, "GET", "/v1/things/x/%4"), HasSubstr("%4"));
}

TEST_F(RouteTableTest, ThePathIsCleaned) {
  EXPECT_EQ(find(*table_, "GET", "//v1/./things//x/../y/k"), "1 box=y key=k");
  EXPECT_EQ(find(*table_, "GET", "/../../v1/things/x/k"), "1 box=x key=k");
}

TEST_F(RouteTableTest, ATrailingSlashIsAnEmptyTailOrNothing) {
  EXPECT_EQ(find(*table_, "POST", "/v1/things/x/"), "2 box=x");
  EXPECT_EQ(find(*table_, "POST", "/v1/send/x/"), "4 box=x topic=");
  EXPECT_EQ(find(*table_, "POST", "/v1/send/x/t/"), "4 box=x topic=t/");
  EXPECT_EQ(find(*table_, "POST", "/v1/send/x"), "9");
}

TEST_F(RouteTableTest, AHostilePathOfManySegmentsGoesToTheFallback) {
  std::string deep;
  for (int i = 0; i < 3000; ++i) deep += "/a";
  EXPECT_EQ(find(*table_, "GET", deep), "9");
}

TEST(RouteTableErrors, OverlappingRoutesNameBothManifests) {
  const auto made = RouteTable::make(
      {manifest("one", {route(1, "GET,POST", "/v1/{a}/x")}), manifest("two", {route(1, "POST", "/v1/{b}/x")})}, {});
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr("'one'"));
  EXPECT_THAT(made.error().message, HasSubstr("'two'"));
}

TEST(RouteTableErrors, TwoFallbacksNameBothManifests) {
  const auto made = RouteTable::make({manifest("one", {route(1, "*", "")}), manifest("two", {route(1, "*", "")})}, {});
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr("'one'"));
  EXPECT_THAT(made.error().message, HasSubstr("'two'"));
}

Route rpc(std::uint16_t number, std::string path) {
  Route method = route(number, "POST", std::move(path));
  method.rpc = Rpc::kUnary;
  method.selector = "1";
  return method;
}

std::string find_rpc(const RouteTable& table, std::string_view path) {
  RouteMatch match;
  table.find_rpc(path, match);
  return match.entry() == nullptr ? "none" : std::to_string(match.entry()->route->number);
}

TEST(RouteTableOfGrpc, GrpcMethodsAndPathsDoNotMix) {
  Route fallback = rpc(3, "");
  fallback.fallback = true;
  Route http_fallback = route(4, "*", "");
  http_fallback.fallback = true;
  const auto table =
      *RouteTable::make({manifest("one", {rpc(1, "/box.v1.Boxes/Get"), route(2, "POST", "/{a}/{b}")})}, {});
  const auto open = *RouteTable::make({manifest("one", {rpc(1, "/box.v1.Boxes/Get"), fallback, http_fallback})}, {});

  EXPECT_EQ(find_rpc(*table, "/box.v1.Boxes/Get"), "1");
  EXPECT_EQ(find_rpc(*table, "/box.v1.Boxes/Put"), "none");
  EXPECT_EQ(find(*table, "POST", "/box.v1.Boxes/Get"), "2 a=box.v1.Boxes b=Get");
  EXPECT_EQ(find_rpc(*open, "/other.Service/Any"), "3");
  EXPECT_EQ(find(*open, "POST", "/box.v1.Boxes/Get"), "4");
}

TEST(RouteTableErrors, AGrpcMethodServedTwiceIsAnOverlap) {
  const auto made = RouteTable::make({manifest("one", {rpc(1, "/a.B/C")}), manifest("two", {rpc(1, "/a.B/C")})}, {});
  ASSERT_FALSE(made);
  EXPECT_EQ(made.error().code, Errc::kAlreadyExists);
}

TEST(ManifestTest, AGrpcMethodComesBackAsItWasWritten) {
  Manifest written = *manifest("one", {rpc(1, "/box.v1.Boxes/Get"), rpc(2, "/box.v1.Boxes/Watch")});
  written.routes[0].key = "2";
  written.routes[1].selector = "1.2";
  written.app_rpc_queries = {"/box.v1.Owner/List"};
  const auto read = parse_manifest(to_json(written));

  ASSERT_TRUE(read) << read.error().message;
  const Route& method = read->routes.at(0);
  EXPECT_EQ(method.rpc, Rpc::kUnary);
  EXPECT_EQ(method.path, "/box.v1.Boxes/Get");
  EXPECT_EQ(method.selector, "1");
  EXPECT_EQ(method.key, "2");
  EXPECT_EQ(read->routes.at(1).selector, "1.2");
  EXPECT_EQ(read->app_rpc_queries, written.app_rpc_queries);
}

TEST(ManifestErrors, WhatIsNoGrpcMethodIsNamed) {
  const std::pair<std::string_view, std::string_view> wrong[] = {
      {R"("path": "/v1.0")", "'routes.path'"},
      {R"("path": "/a.B/C/D")", "'routes.path'"},
      {R"("path": "a.B/C")", "'routes.path'"},
      {R"("path": "/a.B/C", "selector": "store")", "'routes.selector'"},
      {R"("path": "/a.B/C", "selector": "0")", "'routes.selector'"},
      {R"("path": "/a.B/C", "selector": "1.")", "'routes.selector'"},
      {R"("path": "/a.B/C", "selector": "1.1.1")", "'routes.selector'"},
      {R"("path": "/a.B/C", "key": "name")", "'routes.key'"},
      {R"("path": "/a.B/C", "key": 2)", "'key'"},
  };
  for (const auto& [fields, named] : wrong) {
    const std::string text =
        R"({"capability": "x", "routes": [{"number": 1, "rpc": "unary", )" + std::string(fields) + "}]}";
    const auto read = parse_manifest(text);
    ASSERT_FALSE(read) << text;
    EXPECT_THAT(read.error().message, HasSubstr(std::string(named)));
  }
}

TEST(ManifestErrors, AStreamHasNoKey) {
  const auto read = parse_manifest(
      R"({"capability": "x", "routes": [{"number": 1, "rpc": "stream", "path": "/a.B/C", "key": "1"}]})");

  ASSERT_FALSE(read);
  EXPECT_THAT(read.error().message, HasSubstr("'routes.key' is for unary methods only"));
}

TEST(RouteTableErrors, ASelectorMustBeAParameterOfThePath) {
  Route wrong = route(1, "GET", "/v1/{a}");
  wrong.selector = "b";
  EXPECT_FALSE(RouteTable::make({manifest("one", {wrong})}, {}));
}

TEST(RouteTableErrors, AKeyMustBeAParameterOfThePath) {
  Route wrong = route(1, "GET", "/v1/{a}");
  wrong.key = "b";
  EXPECT_FALSE(RouteTable::make({manifest("one", {wrong})}, {}));
}

TEST(RouteTableKeys, TheKeyIsTheParameterThatTheRouteNames) {
  Route keyed = route(1, "GET", "/v1/{box}/{key}");
  keyed.key = "key";
  const auto table = *RouteTable::make({manifest("one", {keyed, route(2, "POST", "/v1/{box}/{key}")})}, {});
  RouteMatch match;

  ASSERT_TRUE(table->find("GET", "/v1/b/a%20b", match));
  EXPECT_EQ(match.key(), "a b");
  ASSERT_TRUE(table->find("POST", "/v1/b/k", match));
  EXPECT_EQ(match.key(), "");
}

TEST(RouteRulesTest, ADeniedGroupIsNotThereAndAnOpenRouteAlwaysIs) {
  Route things = route(1, "GET", "/things");
  things.group = "things";
  things.version = "v1";
  Route health = route(2, "GET", "/health");
  health.group = "health";
  health.version = "v1";
  health.open = true;
  const auto m = manifest("one", {things, health});

  const auto of_any_version = *RouteTable::make({m}, {{}, {{"things", ""}}});
  EXPECT_EQ(find(*of_any_version, "GET", "/things"), "none");
  const auto denied = *RouteTable::make({m}, {{}, {{"things", "v1"}, {"health", "v1"}}});
  EXPECT_EQ(find(*denied, "GET", "/things"), "none");
  EXPECT_EQ(find(*denied, "GET", "/health"), "2");
  const auto allowed = *RouteTable::make({m}, {{{"things", "v1"}}, {}});
  EXPECT_EQ(find(*allowed, "GET", "/things"), "1");
  const auto other_version = *RouteTable::make({m}, {{{"things", "v2"}}, {}});
  EXPECT_EQ(find(*other_version, "GET", "/things"), "none");
}

}  // namespace
}  // namespace caisson::gateway
