#include "in-process/capabilities.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "bus/manifest.hpp"
#include "bus/task_scope.hpp"
#include "gateway/folder_watch.hpp"

namespace caisson::in_process {

namespace {

Result<void> make_folder(const std::string& path) {
  if (path.empty()) return ok();
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) return Error{Errc::kUnavailable, fmt::format("cannot make '{}': {}", path, error.message())};
  return ok();
}

sdk::Process::Options options_of(const Resident& resident, const Options& options) {
  sdk::Process::Options one;
  one.name = resident.name;
  one.instance = resident.name;
  if (!options.data_dir.empty()) one.data_dir = options.data_dir + "/" + resident.name;
  one.counters_path = fmt::format("{0}/{1}/{1}.counters", options.run_dir, resident.name);
  one.arguments = resident.arguments;
  return one;
}

}  // namespace

Capabilities::Capabilities(EventLoop& loop, Options options, std::vector<Resident> residents)
    : loop_(loop), options_(std::move(options)) {
  for (const Resident& resident : residents) {
    processes_.emplace_back(loop_, options_of(resident, options_), resident.make);
  }
}

bool Capabilities::includes(const std::string& process) const {
  return std::ranges::any_of(processes_, [&](const auto& one) { return one.manifest().capability == process; });
}

Result<void> Capabilities::install_manifests(const std::string& folder) {
  TRY(make_folder(folder));
  for (const sdk::Process& process : processes_) {
    const std::string& name = process.manifest().capability;
    TRY(make_folder(process.data_dir()));
    TRY(make_folder(options_.run_dir + "/" + name));
    TRY(gateway::replace_file(fmt::format("{}/{}.json", folder, name), to_json(process.manifest()) + "\n"));
  }
  return ok();
}

Result<void> Capabilities::start(Transport& transport) {
  for (sdk::Process& process : processes_) {
    TRY(process.start());
    process.connect(gateway::inproc_address(process.manifest().capability),
                    [&transport](const std::string& to) { return transport.connect(to); });
  }
  if (options_.watchdog_ms > 0) watchdog_.emplace(loop_, std::chrono::milliseconds(options_.watchdog_ms));
  return ok();
}

Task<void> Capabilities::drain(Deadline deadline) {
  TaskScope together(loop_);
  for (sdk::Process& process : processes_) together.spawn(process.drain(deadline));
  co_await together.join(Deadline::never());
}

}  // namespace caisson::in_process
