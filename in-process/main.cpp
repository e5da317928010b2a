#include <malloc.h>

#include "capabilities/config/capability.hpp"
#include "capabilities/invoke/capability.hpp"
#include "capabilities/lock/capability.hpp"
#include "capabilities/pubsub/make_kafka_broker.hpp"
#include "capabilities/secrets/capability.hpp"
#include "capabilities/state/capability.hpp"
#include "in-process/capabilities.hpp"

namespace {

using namespace caisson;

struct Flags {
  in_process::Options options;
  std::vector<std::string> resources;
  std::vector<std::string> configurations;

  void add_to(CLI::App& cli) {
    cli.add_option("--data-dir", options.data_dir, "Folder for what must survive a restart");
    cli.add_option("--resources-path", resources, "Folder with component files (repeatable)")->allow_extra_args(false);
    cli.add_option("--config", configurations, "Configuration file (repeatable)")->allow_extra_args(false);
    cli.add_option("--watchdog-ms", options.watchdog_ms, "End the process when its loop is stuck this long; 0: never");
  }

  /// The command line that config has in a process of its own.
  [[nodiscard]] std::vector<std::string> config_arguments() const {
    std::vector<std::string> arguments = {"--no-compartments", "--compartments-file",
                                          options.run_dir + "/config/compartments.json"};
    for (const std::string& folder : resources) arguments.insert(arguments.end(), {"--resources-path", folder});
    for (const std::string& file : configurations) arguments.insert(arguments.end(), {"--config", file});
    return arguments;
  }
};

}  // namespace

int main(int argc, char** argv) {
  secrets::forbid_dumps();
  // librdkafka has several threads for each client; each would get an arena of its own.
  ::mallopt(M_ARENA_MAX, 2);
  Flags flags;
  pubsub::KafkaThreads kafka_threads;
  gateway::Program program;
  program.name = "in-process";
  program.description = "Caisson in one process: the gateway and every capability on one event loop";
  program.add_flags = [&flags](CLI::App& cli) { flags.add_to(cli); };
  program.make_guests = [&](EventLoop& loop, const std::string& run_dir) {
    flags.options.run_dir = run_dir;
    const auto make_pubsub = [&kafka_threads](sdk::Context& context) {
      return pubsub::make_kafka_pubsub(context, kafka_threads);
    };
    return std::make_unique<in_process::Capabilities>(
        loop, flags.options,
        std::vector<in_process::Resident>{{"config", config::make_config, flags.config_arguments()},
                                          {"state", state::make_state},
                                          {"pubsub", make_pubsub},
                                          {"invoke", invoke::make_capability},
                                          {"secrets", secrets::make_capability},
                                          {"lock", lock::make_lock}});
  };
  return gateway::run(argc, argv, program);
}
