#pragma once

#include <map>
#include <set>
#include <string>

#include "bus/event_loop.hpp"
#include "bus/log.hpp"
#include "bus/task_scope.hpp"
#include "cli/folder_watch.hpp"
#include "cli/plan.hpp"
#include "cli/supervisor.hpp"

namespace caisson::cli {

/// Has a process kept running for every compartment that config lists in RUN_DIR/config/compartments.json:
/// starts one for a new entry, replaces one whose program has become another, drains and ends one whose
/// entry is gone. A file that is missing or cannot be read leaves everything as it is. What a killed
/// supervisor left running under a name that is not listed is ended. One thread; the plan and the
/// supervisor outlive it.
class CompartmentProcesses {
 public:
  CompartmentProcesses(EventLoop& loop, const Plan& plan, Supervisor& supervisor);

  /// The file's folder exists by now. Nothing is started yet.
  Result<void> watch();
  /// From here on processes are started and ended.
  void start();
  /// From here on none is: the supervisor ends them with the others.
  void stop() { started_ = false; }

 private:
  void look();
  void keep(const ProcessSpec& spec);
  void end(const std::string& process);
  Task<void> end_one(std::string process);

  const Plan& plan_;
  Supervisor& supervisor_;
  FolderWatch file_;
  bool started_ = false;
  bool looked_for_left_behind_ = false;
  std::map<std::string, std::string> programs_;  // of the processes that run, by name
  std::set<std::string> ending_;
  LogLimit log_limit_;
  TaskScope tasks_;
};

}  // namespace caisson::cli
