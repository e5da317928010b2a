#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "cli/environment.hpp"

namespace caisson::cli {

/// How to start one process.
struct ProcessSpec {
  std::string name;     // gateway, state, …
  std::string program;  // path of the binary
  std::vector<std::string> arguments;
  Environment environment;
  /// SIGTERM when this process is gone, however it ended. Not for output_of().
  bool ends_with_parent = false;
};

/// One running process, in a process group of its own (a terminal's Ctrl-C must reach the supervisor
/// alone, which ends the others in order). Its stderr is ours: every process writes a line with one
/// write, so lines stay whole, and a child goes on logging when the supervisor is gone.
/// Destroying a Child does not end its process. One thread.
class Child {
 public:
  /// kFailedPrecondition names the program that cannot be started.
  static Result<std::unique_ptr<Child>> start(EventLoop& loop, const ProcessSpec& spec);
  /// Takes over a process that an earlier supervisor started; how it ends is not known then.
  static Result<std::unique_ptr<Child>> adopt(EventLoop& loop, pid_t pid);

  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] bool running() const { return running_; }
  void signal(int number);
  /// Waits until it has ended; false when the deadline came first.
  Task<bool> ended(Deadline deadline);

  /// Once it has ended: in words ("exit code 1", "signal 9 (Killed)").
  [[nodiscard]] const std::string& end() const { return end_; }
  /// Its exit code; -1 when a signal ended it or nobody knows.
  [[nodiscard]] int exit_code() const { return exit_code_; }

 private:
  Child(EventLoop& loop, pid_t pid, int pidfd);
  Result<void> watch();
  void collect();

  EventLoop& loop_;
  pid_t pid_;
  int pidfd_;
  bool running_ = true;
  std::string end_;
  int exit_code_ = -1;
  WaitQueue waiting_;
  FdWatch watch_;
};

/// Runs a program to its end and returns what it printed, at most `limit` bytes. For the short start
/// of a runtime only: it blocks.
Result<std::string> output_of(const ProcessSpec& spec, std::size_t limit);

}  // namespace caisson::cli
