#include "cli/supervisor.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>

#include "bus/log.hpp"
#include "cli/gateways.hpp"
#include "cli/run_dir.hpp"

namespace caisson::cli {

namespace {

/// /proc's spelling of a command line.
std::string joined(const ProcessSpec& spec) {
  std::string line = spec.program + '\0';
  for (const std::string& argument : spec.arguments) line += argument + '\0';
  return line;
}

}  // namespace

Supervisor::Supervisor(EventLoop& loop, std::string run_dir, Nanos grace, Hooks hooks)
    : loop_(loop), run_dir_(std::move(run_dir)), grace_(grace), hooks_(std::move(hooks)), tasks_(loop) {}

void Supervisor::add(ProcessSpec spec, bool ends_the_runtime) {
  slots_.push_back(std::make_shared<Slot>(std::move(spec), ends_the_runtime, loop_.now()));
  tasks_.spawn(keep_running(slots_.back()));
}

std::shared_ptr<Supervisor::Slot> Supervisor::find(std::string_view name) const {
  const auto found = std::ranges::find(slots_, name, [](const auto& slot) { return slot->spec.name; });
  return found == slots_.end() ? nullptr : *found;
}

void Supervisor::enter(Slot& slot, ProcessState state) {
  slot.state = state;
  slot.since = loop_.now();
  slot.changed.wake_all();
}

Task<void> Supervisor::keep_running(std::shared_ptr<Slot> kept) {
  Slot& slot = *kept;
  bool first = true;
  while (!slot.stop_asked) {
    enter(slot, ProcessState::kStarting);
    slot.child.reset();
    const Nanos started = loop_.now();
    auto child = co_await obtain(slot, first);
    if (child) {
      slot.child = *std::move(child);
      if (auto written = write_file(pid_file(run_dir_, slot.spec.name), fmt::format("{}\n", slot.child->pid()));
          !written) {
        log(LogLevel::kWarning, written.error().message);
      }
      slot.restart_asked = false;
      enter(slot, ProcessState::kRunning);
      co_await slot.child->ended(Deadline::never());
      ::unlink(pid_file(run_dir_, slot.spec.name).c_str());
      slot.last_end = slot.child->end();
    } else {
      slot.last_end = child.error().message;
    }
    if (slot.stop_asked) break;
    if (slot.restart_asked) {
      slot.policy.reset();
      ++slot.restarts;
      first = false;
      continue;
    }
    const int exit_code = slot.child ? slot.child->exit_code() : 1;
    if (slot.ends_the_runtime && (exit_code == 0 || (first && exit_code > 0))) {
      hooks_.runtime_ended(exit_code);
      break;
    }
    first = false;
    const Nanos delay = slot.policy.died(started, loop_.now());
    log(LogLevel::kWarning,
        fmt::format("{} ended: {}; {}", slot.spec.name, slot.last_end,
                    slot.policy.crash_looping() ? "it keeps ending, so it is tried every 5 s" : "it is started again"));
    if (delay > Nanos::zero()) {
      enter(slot, slot.policy.crash_looping() ? ProcessState::kCrashLooping : ProcessState::kWaiting);
      const Deadline until = loop_.deadline_in(delay);
      while (!slot.stop_asked && !slot.restart_asked) {
        const Wake wake = co_await slot.changed.wait(loop_, until);
        if (wake == Wake::kDeadline) break;
      }
    }
    if (slot.restart_asked) slot.policy.reset();
    ++slot.restarts;
  }
  slot.ended = true;
  enter(slot, ProcessState::kStopped);
}

Task<Result<std::unique_ptr<Child>>> Supervisor::obtain(Slot& slot, bool first) {
  if (first) {
    auto survivor = co_await take_over(slot);
    if (survivor) co_return Result<std::unique_ptr<Child>>(std::move(survivor));
  }
  co_return Child::start(loop_, slot.spec);
}

/// A process of that name which an earlier, killed supervisor left behind: kept when it is just what
/// this one would start, else ended. Null when there is none to keep.
Task<std::unique_ptr<Child>> Supervisor::take_over(Slot& slot) {
  auto child = survivor(slot.spec.name);
  if (child == nullptr) co_return nullptr;
  const pid_t pid = child->pid();
  if (command_line_of(pid) == joined(slot.spec) && program_of(pid) == slot.spec.program) {
    log(LogLevel::kInfo, fmt::format("{} (pid {}) still runs and goes on", slot.spec.name, pid));
    co_return child;
  }
  log(LogLevel::kInfo, fmt::format("{} (pid {}) of an earlier run is replaced", slot.spec.name, pid));
  co_await end(*child);
  co_return nullptr;
}

std::unique_ptr<Child> Supervisor::survivor(const std::string& name) const {
  const auto pid = read_pid(run_dir_, name);
  if (!pid || !is_process(*pid, run_dir_, name)) return nullptr;
  auto child = Child::adopt(loop_, *pid);
  return child ? *std::move(child) : nullptr;
}

Task<void> Supervisor::end(Child& child) {
  child.signal(SIGTERM);
  const bool ended = co_await child.ended(loop_.deadline_in(grace_));
  if (ended) co_return;
  child.signal(SIGKILL);
  co_await child.ended(Deadline::never());
}

Task<Result<void>> Supervisor::restart(std::string name) {
  const auto slot = find(name);
  if (slot == nullptr || slot->stop_asked) {
    co_return Error{Errc::kNotFound, fmt::format("no process is called {}", name)};
  }
  slot->restart_asked = true;
  slot->changed.wake_all();
  if (slot->state == ProcessState::kRunning && slot->child->running()) {
    enter(*slot, ProcessState::kStopping);
    slot->child->signal(SIGTERM);
    const Deadline patience = loop_.deadline_in(grace_);
    bool killed = false;
    while (slot->restart_asked && !slot->ended) {
      const Wake why = co_await slot->changed.wait(loop_, killed ? Deadline::never() : patience);
      if (why == Wake::kDeadline && slot->restart_asked && !killed) {
        slot->child->signal(SIGKILL);
        killed = true;
      }
    }
  }
  while (slot->restart_asked && !slot->ended) co_await slot->changed.wait(loop_, Deadline::never());
  if (slot->state != ProcessState::kRunning) {
    co_return Error{Errc::kUnavailable, fmt::format("{} did not start: {}", name, slot->last_end)};
  }
  co_return ok();
}

Task<void> Supervisor::remove(std::string name) {
  if (const auto slot = find(name); slot != nullptr) {
    co_await stop_slot(slot);
    std::erase(slots_, slot);
    co_return;
  }
  const auto child = survivor(name);
  if (child == nullptr) co_return;
  log(LogLevel::kInfo, fmt::format("{} (pid {}) of an earlier run is no longer wanted", name, child->pid()));
  co_await end(*child);
  ::unlink(pid_file(run_dir_, name).c_str());
}

Task<void> Supervisor::stop_slot(std::shared_ptr<Slot> stopped) {
  Slot& slot = *stopped;
  slot.stop_asked = true;
  slot.changed.wake_all();
  if (slot.child && slot.child->running()) {
    enter(slot, ProcessState::kStopping);
    co_await end(*slot.child);
  }
  while (!slot.ended) co_await slot.changed.wait(loop_, Deadline::never());
}

Task<void> Supervisor::stop_all_of(Slots slots) {
  TaskScope together(loop_);
  for (const auto& slot : slots) together.spawn(stop_slot(slot));
  co_await together.join(Deadline::never());
}

Task<void> Supervisor::stop() {
  Slots first;
  Slots middle;
  Slots last;
  for (const auto& slot : slots_) {
    (gateway_number(slot->spec.name) != 0 ? first : slot->spec.name == "config" ? last : middle).push_back(slot);
  }
  co_await stop_all_of(std::move(first));
  co_await stop_all_of(std::move(middle));
  co_await stop_all_of(std::move(last));
}

void Supervisor::kill_all() {
  for (const auto& slot : slots_) {
    slot->stop_asked = true;
    if (slot->child) slot->child->signal(SIGKILL);
    ::unlink(pid_file(run_dir_, slot->spec.name).c_str());
  }
}

std::vector<ProcessStatus> Supervisor::status() const {
  std::vector<ProcessStatus> all;
  for (const auto& slot : slots_) {
    ProcessStatus status;
    status.name = slot->spec.name;
    status.pid = slot->child && slot->child->running() ? slot->child->pid() : 0;
    status.state = name_of(slot->state);
    status.state_for_ms = std::chrono::duration_cast<std::chrono::milliseconds>(loop_.now() - slot->since).count();
    status.restarts = slot->restarts;
    status.last_end = slot->last_end;
    all.push_back(std::move(status));
  }
  return all;
}

}  // namespace caisson::cli
