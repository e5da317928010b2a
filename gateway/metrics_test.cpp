#include "gateway/metrics.hpp"

#include <gtest/gtest.h>
#include <simdjson.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "bus/testing/fake_clock.hpp"
#include "gateway/testing/fake_facts.hpp"
#include "sdk/counters.hpp"

namespace caisson::gateway {
namespace {

using testing::FakeFacts;

class NobodyWatches final : public AppObserver {
 public:
  void app_changed(const AppChannel&) override {}
  void app_answered(const AppChannel&, const std::string&, std::uint16_t, const std::string&) override {}
};

class MetricsTest : public ::testing::Test {
 protected:
  MetricsTest() {
    std::string pattern = std::filesystem::temp_directory_path() / "metrics_test.XXXXXX";
    directory_ = ::mkdtemp(pattern.data());
  }
  ~MetricsTest() override { std::filesystem::remove_all(directory_); }

  std::filesystem::path directory_;
  FakeFacts facts_;
  GatewayCounters counters_;
};

bool has_line(const std::string& text, const std::string& line) {
  return ("\n" + text).find("\n" + line + "\n") != std::string::npos;
}

TEST_F(MetricsTest, GatewaysOwnCountersAreThere) {
  counters_.requests = 7;
  counters_.connections_open = 2;

  const std::string text = render_metrics(facts_, counters_);

  EXPECT_TRUE(has_line(text, "# TYPE caisson_gateway_requests_total counter")) << text;
  EXPECT_TRUE(has_line(text, "caisson_gateway_requests_total 7")) << text;
  EXPECT_TRUE(has_line(text, "# TYPE caisson_gateway_connections_open gauge")) << text;
}

TEST_F(MetricsTest, GatewaysThatShareThePortsAreToldApart) {
  GatewayCounters others;
  others.requests = 5;
  others.connections_open = 1;
  std::filesystem::create_directories(directory_ / "gateways" / "2");
  sdk::Counters table;
  ASSERT_TRUE(table.open(directory_ / "gateways" / "2" / kGatewayCounters));
  publish(others, table);
  others.requests = 6;
  publish(others, table);
  counters_.requests = 7;

  const std::string text = render_metrics(facts_, counters_, directory_);

  EXPECT_TRUE(has_line(text, "caisson_gateway_requests_total{gateway=\"gateway\"} 7")) << text;
  EXPECT_TRUE(has_line(text, "caisson_gateway_requests_total{gateway=\"gateway-2\"} 6")) << text;
  EXPECT_TRUE(has_line(text, "caisson_gateway_connections_open{gateway=\"gateway-2\"} 1")) << text;
}

TEST_F(MetricsTest, TablesOfAllInstancesAreThereOfTheDeadOnesToo) {
  const std::string path = directory_ / "books-1.counters";
  {
    sdk::Counters table;
    ASSERT_TRUE(table.open(path));
    table.counter("pages_total", "store=\"a\"").add(5);
    table.counter("pages_total", "store=\"b\"").add(6);
    table.gauge("open_pages").set(3);
  }
  InstanceFacts& dead = facts_.add("books", "{}").instances[0];
  dead.linked = false;
  dead.counters_path = path;

  const std::string text = render_metrics(facts_, counters_);

  EXPECT_TRUE(has_line(text, R"(caisson_pages_total{capability="books",instance="books-1",store="a"} 5)")) << text;
  EXPECT_TRUE(has_line(text, R"(caisson_pages_total{capability="books",instance="books-1",store="b"} 6)")) << text;
  EXPECT_TRUE(has_line(text, R"(caisson_open_pages{capability="books",instance="books-1"} 3)")) << text;
  EXPECT_TRUE(has_line(text, R"(caisson_instance_linked{capability="books",instance="books-1"} 0)")) << text;
}

TEST_F(MetricsTest, LanesOfLinkedInstancesAreThere) {
  InstanceFacts& books = facts_.add("books", "{}").instances[0];
  books.lane.frames_in = 8;
  books.lane.rings = 3;
  books.lane.mapped_bytes = 65536;

  std::string text = render_metrics(facts_, counters_);

  EXPECT_TRUE(has_line(text, R"(caisson_lane_frames_in_total{capability="books",instance="books-1"} 8)")) << text;
  EXPECT_TRUE(has_line(text, R"(caisson_lane_rings_total{capability="books",instance="books-1"} 3)")) << text;
  EXPECT_TRUE(has_line(text, R"(caisson_lane_mapped_bytes{capability="books",instance="books-1"} 65536)")) << text;
  EXPECT_TRUE(has_line(text, "# TYPE caisson_lane_mapped_bytes gauge")) << text;

  books.linked = false;
  text = render_metrics(facts_, counters_);
  EXPECT_EQ(text.find("caisson_lane"), std::string::npos) << "a lane that is gone has nothing to say";
}

TEST_F(MetricsTest, OneFamilyHasOneTypeLineAndNoSeriesTwice) {
  const std::string path = directory_ / "table";
  sdk::Counters table;
  ASSERT_TRUE(table.open(path));
  table.counter("pages_total").add(1);
  for (const char* name : {"books", "shelves"}) {
    facts_.add(name, "{}").instances[0].counters_path = path;
  }
  facts_.list.push_back(facts_.list[0]);  // the same instance, told twice

  const std::string text = render_metrics(facts_, counters_);

  const std::string type = "# TYPE caisson_pages_total counter";
  EXPECT_NE(text.find(type), std::string::npos);
  EXPECT_EQ(text.find(type), text.rfind(type));
  const std::string series = R"(caisson_pages_total{capability="books",instance="books-1"} 1)";
  EXPECT_NE(text.find(series), std::string::npos);
  EXPECT_EQ(text.find(series), text.rfind(series));
}

TEST_F(MetricsTest, LabelsThatPretendToBeAnotherInstanceAreNotBelieved) {
  const std::string path = directory_ / "table";
  sdk::Counters table;
  ASSERT_TRUE(table.open(path));
  table.counter("pages_total", "instance=\"other\"").add(1);
  table.counter("broken_total", "no quotes").add(1);
  facts_.add("books", "{}").instances[0].counters_path = path;

  const std::string text = render_metrics(facts_, counters_);

  EXPECT_TRUE(has_line(text, R"(caisson_pages_total{capability="books",instance="books-1"} 1)")) << text;
  EXPECT_EQ(text.find("broken_total"), std::string::npos);
}

TEST_F(MetricsTest, StatusSaysWhatRuns) {
  caisson::testing::FakeClock clock;
  EventLoop loop(clock);
  NobodyWatches observer;
  AppConfig config;
  config.id = "shop";
  config.http_port = 3501;
  config.app_port = 8080;
  const AppChannel channel(loop, config, observer);
  facts_.channels = {&channel};
  CapabilityFacts& books =
      facts_.add("books", R"({"components":[{"name":"a","type":"t","version":"v1","state":"DOWN","reason":"away"}]})");
  books.parked = 4;
  InstanceFacts& instance = books.instances[0];
  instance.pid = 42;
  instance.version = "1";
  instance.in_flight = 3;
  instance.config_term = 5;
  instance.config_sequence = 6;
  instance.since = std::chrono::seconds(100);

  const std::string json = render_status(facts_, std::chrono::seconds(110), std::chrono::seconds(50));

  const std::string pid = std::to_string(::getpid());
  EXPECT_EQ(
      json,
      std::string(R"({"version":")") + CAISSON_VERSION + R"(","pid":)" + pid + R"(,"uptimeSeconds":60,)" +
          R"("apps":[{"id":"shop","httpPort":3501,"grpcPort":50001,"port":8080,"reachable":false,"healthy":false,"incarnation":0}],)" +
          R"("capabilities":[{"name":"books","configured":true,"parked":4,"instances":[{"instance":"books-1",)" +
          R"("pid":42,"version":"1","linked":true,"draining":false,"sinceSeconds":10,"inFlight":3,)" +
          R"("config":{"term":5,"sequence":6},"components":[{"name":"a","type":"t","version":"v1",)" +
          R"("state":"DOWN","reason":"away"}],"configured":true}]}]})");
}

}  // namespace
}  // namespace caisson::gateway
