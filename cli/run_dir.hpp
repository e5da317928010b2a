#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/result.hpp"

namespace caisson::cli {

/// Makes a folder and its parents, readable by this user only. An existing one must be a folder of
/// this user's. kFailedPrecondition names it.
Result<void> make_private_dir(const std::string& path);

/// Replaces a file as a whole (write, fsync, rename), mode 0600.
Result<void> write_file(const std::string& path, std::string_view text);
/// A whole file of at most `limit` bytes; kNotFound when there is none.
Result<std::string> read_file(const std::string& path, std::size_t limit = 1024 * 1024);

/// Holds a folder for one `caisson up`, by a lock that the system releases with the process.
class DirLock {
 public:
  /// kFailedPrecondition when another process holds it; the message names its pid.
  static Result<DirLock> take(const std::string& dir);
  DirLock(DirLock&& other) noexcept;
  DirLock& operator=(DirLock&&) = delete;
  ~DirLock();

 private:
  explicit DirLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

std::string pid_file(const std::string& run_dir, std::string_view process);
/// The pid in a pid file, when there is one.
std::optional<pid_t> read_pid(const std::string& run_dir, std::string_view process);

/// Command line of a live process, one argument per element joined by NUL; empty when it is gone.
std::string command_line_of(pid_t pid);
/// Path of its program; empty when it is gone or not ours to see.
std::string program_of(pid_t pid);

/// Whether a live process is ours under that name (state, or state.b of a compartment): a pid may have
/// been given to a stranger since.
bool is_process(pid_t pid, const std::string& run_dir, std::string_view name);
/// The processes of compartments that have a pid file, dead or alive.
std::vector<std::string> compartments_in(const std::string& run_dir);

}  // namespace caisson::cli
