#include "cli/startup.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caisson::cli {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

std::string document(const std::string& components, const std::string& app = R"("port":0)", bool configured = true) {
  return fmt::format(R"({{"apps":[{{"id":"shop","httpPort":3500,{}}}],"capabilities":[)"
                     R"({{"name":"runtime","configured":true,"instances":[]}},)"
                     R"({{"name":"idle","configured":false,"instances":[]}},)"
                     R"({{"name":"state","configured":true,"instances":[{{"components":[{}],"configured":{}}}]}}]}})",
                     app, components, configured);
}

TEST(StartupViewTest, EverythingIsInitialisedWhenNothingIsUnderWay) {
  const auto view = parse_startup(document(R"({"name":"s","state":"UP"})"), "shop");

  ASSERT_TRUE(view);
  EXPECT_TRUE(view->initialised);
  EXPECT_TRUE(view->app_discovered);
  EXPECT_EQ(view->http_port, 3500);
  EXPECT_THAT(view->failed, IsEmpty());
}

TEST(StartupViewTest, AComponentThatIsUnderWayOrACapabilityWithoutItsConfigurationIsWaitedFor) {
  EXPECT_FALSE(parse_startup(document(R"({"name":"s","state":"INIT"})"), "shop")->initialised);
  EXPECT_FALSE(parse_startup(document("", R"("port":0)", false), "shop")->initialised);
}

TEST(StartupViewTest, AFailedComponentIsNamedUnlessItsErrorsAreIgnoredOrItIsAnothers) {
  const std::string failed =
      R"({"name":"s","type":"state.odd","version":"v1","state":"DOWN","reason":"no such type","initFailed":true)";
  EXPECT_THAT(parse_startup(document(failed + "}"), "shop")->failed, SizeIs(1));
  EXPECT_EQ(parse_startup(document(failed + "}"), "shop")->failed.front().reason, "no such type");
  EXPECT_THAT(parse_startup(document(failed + R"(,"scopes":["shop"]})"), "shop")->failed, SizeIs(1));
  EXPECT_THAT(parse_startup(document(failed + R"(,"scopes":["other"]})"), "shop")->failed, IsEmpty());
  EXPECT_THAT(parse_startup(document(failed + R"(,"ignoreErrors":true})"), "shop")->failed, IsEmpty());
}

TEST(StartupViewTest, AServerThatIsAwayIsNoFailureToInitialise) {
  EXPECT_THAT(parse_startup(document(R"({"name":"s","state":"DOWN","reason":"refused"})"), "shop")->failed, IsEmpty());
}

TEST(StartupViewTest, AnAppIsDiscoveredOnceItsPortWasOpen) {
  EXPECT_FALSE(parse_startup(document("", R"("port":8080,"incarnation":0)"), "shop")->app_discovered);
  const auto there = parse_startup(document("", R"("port":8080,"incarnation":1,"healthy":true)"), "shop");
  EXPECT_TRUE(there->app_discovered);
  EXPECT_TRUE(there->app_healthy);
}

TEST(StartupViewTest, AnythingElseIsAnError) {
  for (const char* text : {"", "[]", "{}", R"({"apps":[]})", R"({"apps":{},"capabilities":[]})"}) {
    EXPECT_FALSE(parse_startup(text, "shop")) << text;
  }
}

}  // namespace
}  // namespace caisson::cli
