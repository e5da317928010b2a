#include "cli/options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace caisson::cli {
namespace {

using testing::HasSubstr;

Parsed parse(std::vector<const char*> words) {
  words.insert(words.begin(), "caisson");
  return parse_command_line(static_cast<int>(words.size()), words.data());
}

TEST(OptionsTest, UpHasDaprdsDefaults) {
  const Parsed parsed = parse({"up", "--data-dir", "/d"});

  ASSERT_TRUE(parsed.proceed) << parsed.text;
  EXPECT_EQ(parsed.options.command, Command::kUp);
  EXPECT_EQ(parsed.options.up.app.http_port, 3500);
  EXPECT_EQ(parsed.options.up.app.grpc_port, 50001);
  EXPECT_EQ(parsed.options.up.app.app_max_concurrency, -1);
  EXPECT_EQ(parsed.options.up.transport, "shm");
  EXPECT_TRUE(parsed.options.up.resources_paths.empty());
}

TEST(OptionsTest, GatewaysAreANumberFromOneOn) {
  EXPECT_EQ(parse({"up", "--data-dir", "/d"}).options.up.gateways, 0u);  // as suits the machine
  EXPECT_EQ(parse({"up", "--data-dir", "/d", "--gateways", "3"}).options.up.gateways, 3u);
  for (const char* wrong : {"0", "17", "-1", "x"}) {
    const Parsed parsed = parse({"up", "--data-dir", "/d", "--gateways", wrong});
    EXPECT_EQ(parsed.exit_code, 1) << wrong;
    EXPECT_THAT(parsed.text, HasSubstr("--gateways")) << wrong;
  }
  EXPECT_THAT(parse({"up", "--data-dir", "/d", "--in-process", "--gateways", "2"}).text, HasSubstr("excludes"));
}

TEST(OptionsTest, FlagsOfUpAreTakenAndPathsMadeAbsolute) {
  const Parsed parsed = parse({"up",
                               "--app-id",
                               "shop",
                               "--app-port=8080",
                               "--resources-path",
                               "/r/",
                               "--components-path",
                               "/s",
                               "--max-body-size",
                               "8Mi",
                               "--disable-init-endpoints",
                               "config,subscribe",
                               "--app-max-concurrency",
                               "-1",
                               "--enable-app-health-check",
                               "--app-health-probe-interval",
                               "2",
                               "--data-dir",
                               "x",
                               "--metrics-port",
                               "0"});

  ASSERT_TRUE(parsed.proceed) << parsed.text;
  const UpOptions& up = parsed.options.up;
  EXPECT_EQ(up.app.id, "shop");
  EXPECT_EQ(up.app.app_port, 8080);
  EXPECT_EQ(up.resources_paths, (std::vector<std::string>{"/r", "/s"}));
  EXPECT_EQ(up.app.max_body_size, 8 << 20);
  EXPECT_EQ(up.app.disabled_queries, (std::vector<std::string>{"config", "subscribe"}));
  EXPECT_TRUE(up.app.health_check);
  EXPECT_EQ(up.app.health_interval_ms, 2000);
  EXPECT_TRUE(up.data_dir.starts_with("/"));
  EXPECT_EQ(up.admin_port, 0);
}

TEST(OptionsTest, AWrongFlagIsOneClearLineAndExitCodeOne) {
  for (const auto& words : std::vector<std::vector<const char*>>{{"up", "--no-such-flag"},
                                                                 {"up", "--app-port", "many"},
                                                                 {"up", "--app-port", "70000"},
                                                                 {"up", "--max-body-size", "4Q"},
                                                                 {"up", "--app-protocol", "smtp"},
                                                                 {"up", "--log-level", "loud"},
                                                                 {"restart"},
                                                                 {"dance"},
                                                                 {}}) {
    const Parsed parsed = parse(words);
    EXPECT_FALSE(parsed.proceed);
    EXPECT_EQ(parsed.exit_code, 1);
    EXPECT_THAT(parsed.text, testing::StartsWith("caisson: "));
    EXPECT_EQ(std::count(parsed.text.begin(), parsed.text.end(), '\n'), 1) << parsed.text;
  }
}

TEST(OptionsTest, InProcessIsTakenAndHasNoTransport) {
  EXPECT_TRUE(parse({"up", "--in-process", "--data-dir", "/d"}).options.up.in_process);
  EXPECT_FALSE(parse({"up", "--data-dir", "/d"}).options.up.in_process);
  EXPECT_THAT(parse({"up", "--in-process", "--transport", "ipc", "--data-dir", "/d"}).text,
              HasSubstr("--transport excludes --in-process"));
}

TEST(OptionsTest, InstancesAreCountedByCapability) {
  const Parsed parsed = parse({"up", "--data-dir", "/d", "--instances", "state=2", "--instances", "pubsub=16"});

  ASSERT_TRUE(parsed.proceed) << parsed.text;
  EXPECT_EQ(parsed.options.up.instances, (Instances{{"state", 2}, {"pubsub", 16}}));
  for (const char* wrong : {"state", "state=", "=2", "state=0", "state=17", "state=2x", "state=-1"}) {
    const Parsed refused = parse({"up", "--data-dir", "/d", "--instances", wrong});
    EXPECT_FALSE(refused.proceed) << wrong;
    EXPECT_THAT(refused.text, HasSubstr("must be CAPABILITY=N with N from 1 to 16")) << wrong;
  }
  EXPECT_THAT(parse({"up", "--data-dir", "/d", "--instances", "config=2"}).text, HasSubstr("there is one config only"));
  EXPECT_FALSE(parse({"up", "--data-dir", "/d", "--instances", "state=2", "--in-process"}).proceed);
}

TEST(InstancesTest, ANameIsReadBackAsItsCapability) {
  EXPECT_EQ(instance_name("state", 1), "state");
  EXPECT_EQ(instance_name("state", 12), "state-12");
  EXPECT_EQ(without_number("state-12"), "state");
  for (const char* name : {"state", "in-process", "state-", "12", "-12", ""}) EXPECT_EQ(without_number(name), name);
}

TEST(OptionsTest, VersionAndHelpArePrintedWithExitCodeZero) {
  const Parsed version = parse({"--version"});
  const Parsed help = parse({"up", "--help"});

  EXPECT_EQ(version.text, std::string(CAISSON_VERSION) + "\n");
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_THAT(help.text, HasSubstr("--resources-path"));
  EXPECT_EQ(help.exit_code, 0);
}

TEST(OptionsTest, RestartTakesANameAndARunDir) {
  const Parsed parsed = parse({"restart", "pubsub", "--run-dir", "/r"});

  ASSERT_TRUE(parsed.proceed) << parsed.text;
  EXPECT_EQ(parsed.options.command, Command::kRestart);
  EXPECT_EQ(parsed.options.capability, "pubsub");
  EXPECT_EQ(parsed.options.run_dir, "/r");
}

TEST(OptionsTest, HealthTakesAPortAndAPath) {
  const Parsed parsed = parse({"health", "--port", "8080", "--path", "/healthz"});

  ASSERT_TRUE(parsed.proceed) << parsed.text;
  EXPECT_EQ(parsed.options.command, Command::kHealth);
  EXPECT_EQ(parsed.options.health_port, 8080);
  EXPECT_EQ(parsed.options.health_path, "/healthz");
  EXPECT_FALSE(parse({"health", "--path", "/a b"}).proceed);
  EXPECT_FALSE(parse({"health", "--path", "healthz"}).proceed);
}

TEST(QuantityTest, SizesAreReadWithTheirUnits) {
  EXPECT_EQ(*parse_quantity("1000"), 1000);
  EXPECT_EQ(*parse_quantity("4Ki"), 4096);
  EXPECT_EQ(*parse_quantity("4Mi"), 4 * 1024 * 1024);
  EXPECT_EQ(*parse_quantity("4M"), 4'000'000);
  EXPECT_EQ(*parse_quantity("-1"), -1);
  for (const char* text : {"", "Mi", "4 Mi", "-2", "-1Mi", "9223372036854775807Gi", "4mi"}) {
    EXPECT_FALSE(parse_quantity(text)) << text;
  }
}

}  // namespace
}  // namespace caisson::cli
