#include "cli/plan.hpp"

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include "cli/gateways.hpp"
#include "cli/run_dir.hpp"
#include "cli/testing/test_dir.hpp"

namespace caisson::cli {
namespace {

using testing::Contains;
using testing::HasSubstr;

class PlanTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"gateway", "state", "pubsub", "config", "invoke", "secrets", "lock"}) {
      const std::string path = dir / ("caisson-" + std::string(name));
      ASSERT_TRUE(write_file(path, ""));
      ASSERT_EQ(::chmod(path.c_str(), 0700), 0);
    }
    options.run_dir = "/run/r";
    options.data_dir = "/var/d";
    options.resources_paths = {"/res"};
  }
  [[nodiscard]] Result<Plan> make(const Environment& environment = {}) const {
    return Plan::make(options, dir.path(), environment);
  }

  const TestDir dir;
  UpOptions options;
};

TEST_F(PlanTest, ACapabilityIsGivenItsSocketItsFolderAndItsName) {
  const auto plan = make();

  ASSERT_TRUE(plan) << plan.error().message;
  const ProcessSpec state = plan->capability("state");
  EXPECT_EQ(state.program, dir / "caisson-state");
  EXPECT_EQ(state.arguments, (std::vector<std::string>{"--connect", "shm:///run/r/state/bus.sock", "--run-dir",
                                                       "/run/r", "--data-dir", "/var/d/state", "--instance", "state",
                                                       "--log-level", "info", "--drain-seconds", "5"}));
}

TEST_F(PlanTest, OnlyConfigIsGivenTheResources) {
  const auto plan = make();

  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->capability("config").arguments, Contains("/res"));
  EXPECT_THAT(plan->capability("state").arguments, testing::Not(Contains("/res")));
}

TEST_F(PlanTest, ACompartmentIsGivenASocketAndANameOfItsOwnAndTheCapabilitysData) {
  const auto plan = make();

  ASSERT_TRUE(plan);
  const auto spec = plan->compartment({"state", "b", {"state.sqlite"}, {"cart"}});
  ASSERT_TRUE(spec) << spec.error().message;
  EXPECT_EQ(spec->name, "state.b");
  EXPECT_EQ(spec->program, dir / "caisson-state");
  EXPECT_EQ(spec->arguments,
            (std::vector<std::string>{"--connect", "shm:///run/r/state.b/bus.sock", "--run-dir", "/run/r", "--data-dir",
                                      "/var/d/state", "--instance", "state.b", "--log-level", "info", "--drain-seconds",
                                      "5", "--compartment=b"}));
}

TEST_F(PlanTest, ACompartmentRunsTheProgramThatItsTypesAsksForWhereThatIsInstalled) {
  const std::string own = dir / "caisson-pubsub-kafka";
  const auto plan = make();
  ASSERT_TRUE(plan);
  const auto program = [&](std::vector<std::string> types) {
    return plan->compartment({"pubsub", "x", std::move(types), {}})->program;
  };
  EXPECT_EQ(program({"pubsub.kafka"}), dir / "caisson-pubsub");

  ASSERT_TRUE(write_file(own, ""));
  ASSERT_EQ(::chmod(own.c_str(), 0700), 0);

  EXPECT_EQ(program({"pubsub.in-memory", "pubsub.kafka"}), own);
  EXPECT_EQ(program({"pubsub.redis", "pubsub", "pubsub.", "", "pubsub.../caisson-pubsub-kafka"}),
            dir / "caisson-pubsub");
}

TEST_F(PlanTest, InstancesShareSocketAndDataAndHaveNamesAndNumbersOfTheirOwn) {
  options.instances = {{"state", 2}};

  const auto plan = make();

  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->instances_of("state"), 2U);
  EXPECT_EQ(plan->instances_of("pubsub"), 1U);
  const ProcessSpec second = plan->capability("state", 2);
  EXPECT_EQ(second.name, "state-2");
  EXPECT_EQ(second.arguments,
            (std::vector<std::string>{"--connect", "shm:///run/r/state/bus.sock", "--run-dir", "/run/r", "--data-dir",
                                      "/var/d/state", "--instance", "state-2", "--log-level", "info", "--drain-seconds",
                                      "5", "--instance-number", "2", "--instances", "2"}));
  EXPECT_EQ(plan->capability("state").name, "state");
  EXPECT_THAT(plan->compartment({"state", "b", {}, {}})->arguments, testing::Not(Contains("--instances")));
}

TEST_F(PlanTest, EveryInstanceConnectsToEveryGateway) {
  options.instances = {{"state", 2}};
  options.gateways = 2;

  const auto plan = make();

  ASSERT_TRUE(plan) << plan.error().message;
  for (const unsigned number : {1U, 2U}) {
    const auto arguments = plan->capability("state", number).arguments;
    EXPECT_THAT(arguments, Contains("shm:///run/r/state/bus.sock"));
    EXPECT_THAT(arguments, Contains("shm:///run/r/gateways/2/state/bus.sock"));
  }
}

TEST_F(PlanTest, InstancesOfWhatIsNoCapabilityAreRefused) {
  options.instances = {{"stat", 2}};

  EXPECT_EQ(make().error().message, "--instances stat=2: no capability is called stat");
}

TEST_F(PlanTest, ConfigAndGatewayAreToldWhereTheCompartmentsAreListed) {
  const auto plan = make();

  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->capability("config").arguments, Contains("/run/r/config/compartments.json"));
  EXPECT_THAT(plan->gateway().arguments, Contains("/run/r/config/compartments.json"));
}

TEST_F(PlanTest, OverTcpGatewayAndCapabilityAreGivenTheSameAddress) {
  options.transport = "tcp";

  const auto plan = make();

  ASSERT_TRUE(plan) << plan.error().message;
  const std::string address = plan->capability("state").arguments[1];
  EXPECT_THAT(address, testing::MatchesRegex("tcp://127.0.0.1:[0-9]+"));
  EXPECT_THAT(plan->gateway().arguments, Contains("state=" + address));
  // A compartment comes when the ports are given out.
  EXPECT_EQ(plan->compartment({"state", "b", {"state.sqlite"}, {"cart"}})->arguments[1],
            "ipc:///run/r/state.b/bus.sock");
  EXPECT_THAT(plan->gateway().arguments, Contains("ipc"));
}

TEST_F(PlanTest, EveryGatewayHasItsOwnSocketOfACapabilityWhichIsGivenThemAll) {
  options.gateways = 2;
  for (const std::string transport : {"shm", "tcp"}) {
    options.transport = transport;

    const auto plan = make();

    ASSERT_TRUE(plan) << plan.error().message;
    const auto state = plan->capability("state").arguments;
    std::vector<std::string> addresses;
    for (std::size_t i = 0; i + 1 < state.size(); ++i) {
      if (state[i] == "--connect") addresses.push_back(state[i + 1]);
    }
    ASSERT_EQ(addresses.size(), 2u);
    EXPECT_NE(addresses[0], addresses[1]);
    if (transport == "tcp") {
      EXPECT_THAT(plan->gateway(1).arguments, Contains("state=" + addresses[0]));
      EXPECT_THAT(plan->gateway(2).arguments, Contains("state=" + addresses[1]));
    } else {
      EXPECT_EQ(addresses[1], "shm:///run/r/gateways/2/state/bus.sock");
    }
  }
}

TEST_F(PlanTest, TheOtherGatewaysFollowTheFirst) {
  options.gateways = 2;

  const auto plan = make();

  ASSERT_TRUE(plan) << plan.error().message;
  EXPECT_EQ(plan->gateway().name, "gateway");
  EXPECT_THAT(plan->gateway().arguments, Contains("--share-ports"));
  const ProcessSpec second = plan->gateway(2);
  EXPECT_EQ(second.name, "gateway-2");
  EXPECT_EQ(second.program, plan->gateway().program);
  EXPECT_EQ(second.arguments[1], "/run/r/gateways/2");
  EXPECT_THAT(second.arguments, Contains("--share-ports-of"));
  EXPECT_THAT(second.arguments, Contains("/run/r/manifests"));
  EXPECT_THAT(second.arguments, testing::Not(Contains(std::to_string(options.admin_port))));
}

TEST_F(PlanTest, OneGatewayAloneSharesNothing) {
  options.gateways = 1;

  const auto plan = make();

  ASSERT_TRUE(plan);
  EXPECT_THAT(plan->gateway().arguments, testing::Not(Contains(HasSubstr("--share-ports"))));
}

TEST_F(PlanTest, TheNumberOfGatewaysIsSettledWhereItIsNotGiven) {
  const auto settled = [this] {
    const auto plan = make();
    EXPECT_TRUE(plan);
    return plan ? plan->options().gateways : 0;
  };

  EXPECT_EQ(settled(), gateways_for(usable_cpus()));
  options.as_daprd = true;
  EXPECT_EQ(settled(), 1u);
  options.as_daprd = false;
  options.app.unix_socket_dir = "/s";
  EXPECT_EQ(settled(), 1u);
}

TEST_F(PlanTest, AUnixSocketIsOneGatewaysOnly) {
  options.gateways = 2;
  options.app.unix_socket_dir = "/s";

  const auto plan = make();

  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, Errc::kInvalidArgument);
  EXPECT_THAT(plan.error().message, HasSubstr("--unix-domain-socket"));
}

TEST_F(PlanTest, TheSocketsOfSeveralGatewaysMustHaveNamesThatFit) {
  options.gateways = 2;
  options.run_dir = "/" + std::string(54, 'r');

  const auto plan = make();

  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, HasSubstr("longer than 53 bytes"));
}

TEST_F(PlanTest, WithoutPortsGatewayAndCapabilityAreGivenTheSameLane) {
  for (const std::string transport : {"shm", "ipc"}) {
    options.transport = transport;

    const auto plan = make();

    ASSERT_TRUE(plan) << plan.error().message;
    EXPECT_EQ(plan->capability("state").arguments[1], transport + ":///run/r/state/bus.sock");
    EXPECT_EQ(plan->compartment({"state", "b", {"state.sqlite"}, {"cart"}})->arguments[1],
              transport + ":///run/r/state.b/bus.sock");
    const std::vector<std::string> arguments = plan->gateway().arguments;
    const auto flag = std::ranges::find(arguments, "--transport");
    ASSERT_NE(flag, arguments.end());
    EXPECT_EQ(*(flag + 1), transport);
  }
}

TEST_F(PlanTest, AnUnknownTransportIsRefusedWithTheOnesThereAre) {
  options.transport = "pigeon";

  const auto plan = make();

  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().message, "--transport pigeon: use shm, ipc or tcp");
}

TEST_F(PlanTest, TheOneProcessIsGivenWhatGatewayAndConfigAreGivenAndNoToken) {
  options.in_process = true;
  const std::string own = dir / "caisson-in-process";
  EXPECT_THAT(make().error().message, HasSubstr("caisson-in-process is missing"));
  ASSERT_TRUE(write_file(own, ""));
  ASSERT_EQ(::chmod(own.c_str(), 0700), 0);
  ::unlink((dir / "caisson-state").c_str());  // not needed

  const auto plan = make({{"REDIS", "r"}, {"DAPR_API_TOKEN", "t"}, {"APP_API_TOKEN", "t"}, {"PATH", "/bin"}});

  ASSERT_TRUE(plan) << plan.error().message;
  const ProcessSpec spec = plan->in_process();
  EXPECT_EQ(spec.name, "in-process");
  EXPECT_EQ(spec.program, own);
  EXPECT_EQ(spec.arguments, (std::vector<std::string>{"--run-dir", "/run/r", "--apps", "/run/r/apps.json",
                                                      "--admin-port", "9090", "--admin-listen-address", "127.0.0.1",
                                                      "--log-level", "info", "--dapr-graceful-shutdown-seconds", "5",
                                                      "--data-dir", "/var/d", "--resources-path", "/res"}));
  EXPECT_EQ(spec.environment, (Environment{{"PATH", "/bin"}, {"REDIS", "r"}}));
}

TEST_F(PlanTest, AMissingBinaryIsNamed) {
  ::unlink((dir / "caisson-pubsub").c_str());

  const auto plan = make();

  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, HasSubstr("caisson-pubsub is missing"));
}

TEST_F(PlanTest, ARunDirThatLeavesNoRoomForSocketNamesIsRefused) {
  options.run_dir = "/" + std::string(100, 'r');

  EXPECT_FALSE(make());
}

TEST_F(PlanTest, TheTokensOfTheEnvironmentAreTheAppsWhereItNamesNone) {
  const auto plan = make({{"DAPR_API_TOKEN", "in"}, {"APP_API_TOKEN", "out"}});

  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->apps().at(0).api_token, "in");
  EXPECT_EQ(plan->apps().at(0).app_token, "out");
  for (const std::string& argument : plan->gateway().arguments) EXPECT_NE(argument, "in");
}

TEST_F(PlanTest, ConfigIsGivenTheVariablesItsConfigurationNames) {
  ASSERT_TRUE(write_file(dir / "config.yaml", "rate: ${RATE}"));
  options.configs = {dir / "config.yaml"};

  const auto plan = make({{"RATE", "1"}, {"OTHER", "2"}});

  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->capability("config").environment, (Environment{{"RATE", "1"}}));
}

TEST_F(PlanTest, AConfigurationFileThatIsNotThereIsAnError) {
  options.configs = {dir / "none.yaml"};

  const auto plan = make();

  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, HasSubstr("none.yaml"));
}

TEST_F(PlanTest, ABrokenAppsFileIsNamedWithItsLine) {
  ASSERT_TRUE(write_file(dir / "apps.yaml", "- id: a\n  colour: red\n"));
  options.apps_file = dir / "apps.yaml";

  const auto plan = make();

  ASSERT_FALSE(plan);
  EXPECT_THAT(plan.error().message, HasSubstr("apps.yaml: line 2: an app has no member colour"));
}

TEST(PortCheckTest, ATakenPortIsNamedWithItsFlag) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::listen(fd, 1), 0);
  ASSERT_EQ(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size), 0);
  const std::uint16_t port = ntohs(address.sin_port);
  App app;
  app.http_port = port;

  const auto taken = check_ports({app}, 0);

  ::close(fd);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().message,
            "port " + std::to_string(port) + " (--dapr-http-port of app app): Address already in use");
}

}  // namespace
}  // namespace caisson::cli
