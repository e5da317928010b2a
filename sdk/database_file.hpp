#pragma once

#include <string>

#include "bus/result.hpp"
#include "sdk/capability.hpp"
#include "sdk/component_set.hpp"

namespace caisson::sdk {

/// Keeps every other process of ours from opening the same database for writing: an flock() on
/// `PATH.lock`, which the kernel lets go of when the process dies, however it dies. The file stays.
class FileLock {
 public:
  FileLock() = default;
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

  /// kAlreadyExists when another process, or another component of this one, holds it.
  static Result<FileLock> take(const std::string& path);

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  int fd_ = -1;
};

/// Renames a database with its -wal and -shm files to `PATH.damaged-<UTC time>`, so that nothing of
/// it is lost and SQLite can still be pointed at it; gives the new name. `utc` is "20261121T084755Z".
Result<std::string> move_aside(const std::string& path, const std::string& utc);

/// The file of an embedded component: its metadata `connectionString` ("PATH" or "file:PATH?options", whose
/// options are ignored), else COMPONENT.db in the process's data directory, which is made where it is missing.
/// kInvalidArgument when there is neither.
Result<std::string> database_path(const Context& context, const ComponentSpec& spec);

}  // namespace caisson::sdk
