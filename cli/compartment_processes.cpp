#include "cli/compartment_processes.hpp"

#include <fmt/format.h>

#include "cli/run_dir.hpp"

namespace caisson::cli {

CompartmentProcesses::CompartmentProcesses(EventLoop& loop, const Plan& plan, Supervisor& supervisor)
    : plan_(plan), supervisor_(supervisor), file_(loop, [this] { look(); }), tasks_(loop) {}

Result<void> CompartmentProcesses::watch() {
  const std::string path = plan_.compartments_path();
  return file_.start({path.substr(0, path.find_last_of('/'))});
}

void CompartmentProcesses::start() {
  started_ = true;
  look();
}

void CompartmentProcesses::look() {
  if (!started_) return;
  const std::string path = plan_.compartments_path();
  const auto text = read_file(path, kLargestCompartmentList);
  if (!text && text.error().code == Errc::kNotFound) return;
  const auto list = text ? parse_compartments(*text) : Result<std::vector<Compartment>>(text.error());
  if (!list) {
    log_limit_.log(LogLevel::kError,
                   fmt::format("{}: {}; the compartments stay as they are", path, list.error().message));
    return;
  }
  std::map<std::string, ProcessSpec> wanted;
  for (const Compartment& compartment : *list) {
    auto spec = plan_.compartment(compartment);
    if (spec) {
      wanted.emplace(compartment.process(), *std::move(spec));
    } else {
      log_limit_.log(LogLevel::kError, spec.error().message);
    }
  }
  const auto running = programs_;
  for (const auto& [process, program] : running) {
    const auto still = wanted.find(process);
    if (still == wanted.end() || still->second.program != program) end(process);
  }
  if (!std::exchange(looked_for_left_behind_, true)) {
    for (const std::string& process : compartments_in(plan_.options().run_dir)) {
      if (!wanted.contains(process)) end(process);
    }
  }
  for (const auto& [process, spec] : wanted) {
    if (!programs_.contains(process) && !ending_.contains(process)) keep(spec);
  }
}

void CompartmentProcesses::keep(const ProcessSpec& spec) {
  const auto made = make_private_dir(plan_.options().run_dir + "/" + spec.name);
  if (!made) {
    log_limit_.log(LogLevel::kError, made.error().message);
    return;
  }
  log(LogLevel::kInfo, fmt::format("{} has a process of its own", spec.name));
  programs_[spec.name] = spec.program;
  supervisor_.add(spec);
}

void CompartmentProcesses::end(const std::string& process) {
  programs_.erase(process);
  if (ending_.insert(process).second) tasks_.spawn(end_one(process));
}

Task<void> CompartmentProcesses::end_one(std::string process) {
  co_await supervisor_.remove(process);
  log(LogLevel::kInfo, fmt::format("{} has no process of its own any more", process));
  ending_.erase(process);
  look();  // it may have come back meanwhile
}

}  // namespace caisson::cli
