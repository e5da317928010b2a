#pragma once

#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "bus/log.hpp"
#include "bus/result.hpp"

namespace caisson::config {

/// Writes a file that only its owner may read so that, whenever power fails, either the old or the
/// new content is there: temporary file, fsync, rename, fsync of the folder. Blocks. After an error
/// the old content is there.
Result<void> write_file_durably(const std::string& path, std::string_view bytes);

/// The whole file; kNotFound when there is none, kOutOfRange when it is larger than `limit` bytes.
Result<std::string> read_file(const std::string& path, std::size_t limit);

/// A file that is replaced beside the event loop: fsync may take seconds on a busy disk. A thread
/// lives only as long as there is something to write; of several contents in a row the newest wins.
/// A failure is logged. One thread calls.
class DurableFile {
 public:
  /// An empty path: nothing is ever written.
  explicit DurableFile(std::string path) : path_(std::move(path)) {}
  /// Finishes the write that is under way, if any.
  ~DurableFile();
  DurableFile(const DurableFile&) = delete;
  DurableFile& operator=(const DurableFile&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  void replace(std::string bytes);

 private:
  void write_pending();

  const std::string path_;
  LogLimit log_limit_;  // of the writing thread
  std::mutex mutex_;
  std::optional<std::string> pending_;
  bool writing_ = false;
  std::thread writer_;
};

}  // namespace caisson::config
