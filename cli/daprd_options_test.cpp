#include "cli/daprd_options.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

namespace caisson::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

Parsed parse(std::vector<const char*> words, const Environment& environment = {}) {
  words.insert(words.begin(), "daprd");
  return parse_daprd_command_line(static_cast<int>(words.size()), words.data(), environment);
}

TEST(DaprdOptionsTest, AnAppIdIsEnoughAndTheRestIsDaprdsDefaults) {
  const Parsed parsed = parse({"--app-id", "shop"});

  ASSERT_TRUE(parsed.proceed) << parsed.text;
  const UpOptions& up = parsed.options.up;
  EXPECT_TRUE(up.as_daprd);
  EXPECT_EQ(up.app.id, "shop");
  EXPECT_EQ(up.app.http_port, 3500);
  EXPECT_EQ(up.app.grpc_port, 50001);
  EXPECT_EQ(up.app.app_port, 0);
  EXPECT_EQ(up.app.app_max_concurrency, -1);
  EXPECT_EQ(up.admin_port, 9090);
  EXPECT_EQ(up.admin_address, "0.0.0.0");
  EXPECT_EQ(up.graceful_shutdown_seconds, 5U);
  EXPECT_TRUE(up.resources_paths.empty());
}

TEST(DaprdOptionsTest, WhatTheDaprCliAlwaysPassesIsTaken) {
  const Parsed parsed = parse({"--config",
                               "/c.yaml",
                               "--app-protocol",
                               "http",
                               "--log-level",
                               "info",
                               "--app-max-concurrency",
                               "-1",
                               "--placement-host-address",
                               "localhost:50005",
                               "--components-path",
                               "/components",
                               "--max-body-size",
                               "4Mi",
                               "--read-buffer-size",
                               "4Ki",
                               "--scheduler-host-address",
                               "localhost:50006",
                               "--app-id",
                               "shop",
                               "--app-port",
                               "8080",
                               "--dapr-http-port",
                               "3501",
                               "--dapr-grpc-port",
                               "50002",
                               "--profile-port",
                               "-1",
                               "--metrics-port",
                               "9091",
                               "--dapr-internal-grpc-port",
                               "50003"});

  ASSERT_TRUE(parsed.proceed) << parsed.text;
  const UpOptions& up = parsed.options.up;
  EXPECT_THAT(up.configs, ElementsAre("/c.yaml"));
  EXPECT_THAT(up.resources_paths, ElementsAre("/components"));
  EXPECT_EQ(up.app.app_port, 8080);
  EXPECT_EQ(up.app.http_port, 3501);
  EXPECT_EQ(up.app.max_body_size, 4 << 20);
  EXPECT_EQ(up.admin_port, 9091);
}

TEST(DaprdOptionsTest, EveryFlagOfDaprdIsAccepted) {
  const std::vector<std::vector<const char*>> all = {
      {"-mode", "standalone"},
      {"-app-channel-address", "app.local"},
      {"--app-ssl"},
      {"--dapr-listen-addresses", "127.0.0.1,[::1]"},
      {"--dapr-public-port", "3600"},
      {"--dapr-public-listen-address", "127.0.0.1"},
      {"--dapr-internal-grpc-listen-address", "127.0.0.1"},
      {"--enable-profiling", "--profile-port", "7777"},
      {"--scheduler-job-streams", "3"},
      {"--actors-service", "placement:localhost:1"},
      {"--reminders-service", "default"},
      {"--control-plane-address", "x:1"},
      {"--control-plane-trust-domain", "localhost"},
      {"--control-plane-namespace", "default"},
      {"--sentry-address", "localhost:50001"},
      {"--sentry-request-jwt-audiences", "a"},
      {"--enable-mtls=false"},
      {"--allowed-origins", "*"},
      {"--dapr-http-max-request-size", "8"},
      {"--dapr-http-read-buffer-size", "8"},
      {"--unix-domain-socket", "/tmp/u"},
      {"--dapr-graceful-shutdown-seconds", "-1"},
      {"--dapr-block-shutdown-duration", "1m30s"},
      {"--enable-api-logging"},
      {"--disable-builtin-k8s-secret-store"},
      {"--enable-app-health-check", "--app-health-check-path", "/h", "--app-health-probe-interval", "3",
       "--app-health-probe-timeout", "300", "--app-health-threshold", "2"},
      {"--disable-init-endpoints", "config,subscribe"},
      {"--actors-disseminate-timeout", "30s"},
      {"--app-binding-options-timeout", "3s"},
      {"--hot-reload-reconcile-interval", "60s"},
      {"--enable-metrics=false"},
      {"--metrics-listen-address", "127.0.0.1"},
      {"--log-as-json"},
      {"--log-file", "/tmp/daprd.log"}};
  for (auto words : all) {
    const char* const first = words.front();
    words.insert(words.end(), {"--app-id", "shop"});
    EXPECT_TRUE(parse(words).proceed) << first << ": " << parse(words).text;
  }
}

TEST(DaprdOptionsTest, OneDashTwoDashesAndAnEqualsSignMeanTheSame) {
  for (const auto& words : std::vector<std::vector<const char*>>{{"-app-id", "shop", "-log-as-json"},
                                                                 {"--app-id=shop", "--log-as-json=true"},
                                                                 {"-app-id=shop", "-log-as-json=1"}}) {
    const Parsed parsed = parse(words);
    ASSERT_TRUE(parsed.proceed) << parsed.text;
    EXPECT_EQ(parsed.options.up.app.id, "shop");
    EXPECT_TRUE(parsed.options.up.log_as_json);
  }
  EXPECT_FALSE(parse({"--app-id", "a", "--log-as-json=false"}).options.up.log_as_json);
}

TEST(DaprdOptionsTest, RepeatedAndListedValuesAddUp) {
  const Parsed parsed =
      parse({"--app-id", "a", "--resources-path", "/r", "--resources-path", "/s", "--config", "/c,/d", "--config=/e"});

  ASSERT_TRUE(parsed.proceed) << parsed.text;
  EXPECT_THAT(parsed.options.up.resources_paths, ElementsAre("/r", "/s"));
  EXPECT_THAT(parsed.options.up.configs, ElementsAre("/c", "/d", "/e"));
}

TEST(DaprdOptionsTest, DeprecatedSizesAreInTheirUnits) {
  const Parsed parsed =
      parse({"--app-id", "a", "--dapr-http-max-request-size", "8", "--dapr-http-read-buffer-size", "16"});

  ASSERT_TRUE(parsed.proceed) << parsed.text;
  EXPECT_EQ(parsed.options.up.app.max_body_size, 8 << 20);
  EXPECT_EQ(parsed.options.up.app.read_buffer_size, 16 << 10);
}

TEST(DaprdOptionsTest, WhatDaprdTakesLooselyIsTakenSo) {
  const Parsed parsed = parse({"--app-id", "a", "--app-protocol", "GRPC", "--log-level", "DEBUG",
                               "--app-max-concurrency", "0", "--dapr-graceful-shutdown-seconds", "-1"});

  ASSERT_TRUE(parsed.proceed) << parsed.text;
  EXPECT_EQ(parsed.options.up.app.app_protocol, "grpc");
  EXPECT_EQ(parsed.options.up.log_level, "debug");
  EXPECT_EQ(parsed.options.up.app.app_max_concurrency, -1);
  EXPECT_EQ(parsed.options.up.graceful_shutdown_seconds, 5U);
}

TEST(DaprdOptionsTest, AppSslChoosesTheEncryptedProtocol) {
  EXPECT_EQ(parse({"--app-id", "a", "--app-ssl"}).options.up.app.app_protocol, "https");
  EXPECT_EQ(parse({"--app-id", "a", "--app-ssl", "--app-protocol", "grpc"}).options.up.app.app_protocol, "grpcs");
}

TEST(DaprdOptionsTest, VersionAndBuildInfoArePrintedAndNothingElse) {
  const Parsed version = parse({"--version"});
  const Parsed build = parse({"-build-info"});

  EXPECT_FALSE(version.proceed);
  EXPECT_EQ(version.exit_code, 0);
  EXPECT_EQ(version.text, std::string(CAISSON_VERSION) + "\n");
  EXPECT_EQ(std::count(build.text.begin(), build.text.end(), '\n'), 3);
  EXPECT_THAT(build.text, HasSubstr("Git Commit: "));
}

TEST(DaprdOptionsTest, HelpListsTheFlags) {
  const Parsed help = parse({"--help"});

  EXPECT_FALSE(help.proceed);
  EXPECT_EQ(help.exit_code, 0);
  EXPECT_THAT(help.text, HasSubstr("--app-id VALUE\n"));
  EXPECT_THAT(help.text, HasSubstr("--enable-mtls\n"));
}

TEST(DaprdOptionsTest, WaitKnowsThePortAndNeedsNoApp) {
  const Parsed parsed = parse({"--wait", "--dapr-http-port", "3700"});

  ASSERT_TRUE(parsed.proceed) << parsed.text;
  EXPECT_EQ(parsed.options.command, Command::kWait);
  EXPECT_EQ(parsed.options.health_port, 3700);
}

TEST(DaprdOptionsTest, AWrongFlagIsOneLineThatNamesIt) {
  const std::vector<std::pair<std::vector<const char*>, const char*>> wrong = {
      {{}, "app-id parameter cannot be empty"},
      {{"--app-id", ""}, "app-id parameter cannot be empty"},
      {{"--app-id", "a", "--colour", "red"}, "unknown flag: --colour"},
      {{"--app-id"}, "flag needs an argument: --app-id"},
      {{"--app-id", "a", "stray"}, "'stray' is not a flag"},
      {{"--app-id", "a", "--app-port", "many"}, "--app-port: 'many'"},
      {{"--app-id", "a", "--dapr-http-port", "70000"}, "--dapr-http-port: '70000'"},
      {{"--app-id", "a", "--enable-metrics=maybe"}, "--enable-metrics: 'maybe'"},
      {{"--app-id", "a", "--max-body-size", "4Q"}, "--max-body-size: '4Q'"},
      {{"--app-id", "a", "--dapr-http-max-request-size", "9223372036854"}, "--dapr-http-max-request-size"},
      {{"--app-id", "a", "--app-protocol", "smtp"}, "--app-protocol: 'smtp'"},
      {{"--app-id", "a", "--log-level", "loud"}, "--log-level: 'loud'"},
      {{"--app-id", "a", "--dapr-block-shutdown-duration", "5"}, "--dapr-block-shutdown-duration: '5'"},
      {{"--app-id", "a", "--profile-port", "x"}, "--profile-port: 'x'"},
      {{"--app-id", "a", "--enable-app-health-check", "--app-health-probe-timeout", "6000"}, "health-probe-timeout"},
      {{"--app-id", "a", "--disable-init-endpoints", "actors"}, "--disable-init-endpoints: 'actors'"},
      {{"--app-id", "a", "--mode", "kubernetes"}, "--mode kubernetes"}};
  for (const auto& [words, text] : wrong) {
    const Parsed parsed = parse(words);
    EXPECT_FALSE(parsed.proceed) << text;
    EXPECT_EQ(parsed.exit_code, 1) << text;
    EXPECT_THAT(parsed.text, testing::StartsWith("daprd: "));
    EXPECT_THAT(parsed.text, HasSubstr(text));
    EXPECT_EQ(std::count(parsed.text.begin(), parsed.text.end(), '\n'), 1) << parsed.text;
  }
}

TEST(DaprdOptionsTest, NoTwoDaprdsOfOneHostShareAFolder) {
  const auto folders = [](std::vector<const char*> words) {
    words.insert(words.end(), {"--app-id", "shop"});
    const Parsed parsed = parse(words, {{"HOME", "/tmp"}});
    EXPECT_TRUE(parsed.proceed) << parsed.text;
    return std::pair(parsed.options.up.run_dir, parsed.options.up.data_dir);
  };
  const auto usual = folders({});
  EXPECT_EQ(folders({"--log-level", "debug"}), usual);  // the next one on that port takes its place
  for (const auto& other : std::vector<std::vector<const char*>>{{"--dapr-http-port", "3501"},
                                                                 {"--dapr-http-port", "0"},
                                                                 {"--dapr-listen-addresses", "127.0.0.2"},
                                                                 {"--unix-domain-socket", "/tmp/u"}}) {
    EXPECT_NE(folders(other).first, usual.first);
    EXPECT_NE(folders(other).second, usual.second);
    EXPECT_LE(folders(other).first.size(), 65U);
  }
  // Ports that the system chooses are known to nobody: only the process tells such daprds apart.
  EXPECT_THAT(folders({"--dapr-http-port", "0"}).first, HasSubstr(std::to_string(::getpid())));
  EXPECT_EQ(folders({"--resources-path", "/r"}).first, usual.first);
  EXPECT_NE(folders({"--resources-path", "/r"}).second, usual.second);
}

TEST(DaprdOptionsTest, WithoutAHomeDataLieBesideTheSockets) {
  const Parsed parsed = parse({"--app-id", "shop"}, {{"HOME", "/nonexistent"}});

  ASSERT_TRUE(parsed.proceed) << parsed.text;
  EXPECT_TRUE(parsed.options.up.data_dir.starts_with(parsed.options.up.run_dir + "/data/"));
}

TEST(DaprdOptionsTest, WithoutMetricsTheAdminPortIsForThisHostAlone) {
  const Parsed parsed = parse({"--app-id", "shop", "--enable-metrics=false", "--metrics-port", "9090"});

  EXPECT_EQ(parsed.options.up.admin_port, 0);
  EXPECT_EQ(parsed.options.up.admin_address, "127.0.0.1");
}

}  // namespace
}  // namespace caisson::cli
