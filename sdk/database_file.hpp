#pragma once

#include <string>

#include "bus/result.hpp"
#include "sdk/capability.hpp"
#include "sdk/component_set.hpp"

namespace caisson::sdk {

/// Keeps other processes of ours from opening the same database for writing: an flock() on
/// `PATH.lock`, which the kernel lets go of when the process dies, however it dies. The file stays.
class FileLock {
 public:
  FileLock() = default;
  FileLock(FileLock&& other) noexcept;
  FileLock& operator=(FileLock&& other) noexcept;
  ~FileLock();

  /// kAlreadyExists when another process, or another component of this one, holds it.
  static Result<FileLock> take(const std::string& path);
  /// The same for one of several processes that share the database: the first to come is alone, and keeps the
  /// others out until share(), e.g. while it looks for damage. kAlreadyExists when such a one, or one that does
  /// not share, holds it.
  static Result<FileLock> take_shared(const std::string& path);
  [[nodiscard]] bool is_alone() const { return alone_; }
  /// Lets others in. kAlreadyExists when another one was quicker to take it for itself: begin anew.
  Result<void> share();

 private:
  explicit FileLock(int fd) : fd_(fd) {}
  static Result<FileLock> open(const std::string& path);
  int fd_ = -1;
  bool alone_ = true;
};

/// Renames a database with its -wal and -shm files to `PATH.damaged-<UTC time>`, so that nothing of
/// it is lost and SQLite can still be pointed at it; gives the new name. `utc` is "20261121T084755Z".
Result<std::string> move_aside(const std::string& path, const std::string& utc);

/// The file of an embedded component: its metadata `connectionString` ("PATH" or "file:PATH?options", whose
/// options are ignored), else COMPONENT.db in the process's data directory, which is made where it is missing.
/// kInvalidArgument when there is neither.
Result<std::string> database_path(const Context& context, const ComponentSpec& spec);

}  // namespace caisson::sdk
