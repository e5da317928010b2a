#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>

#include "bus/log.hpp"
#include "bus/result.hpp"
#include "config-cache/documents.hpp"

namespace caisson::config {

/// The generation in force in one process, and its copy on disk.
///
/// accept() and load() belong to one thread, the loop's; current() may be called from any. The copy
/// on disk is written beside the loop, by a thread that lives only as long as there is something to
/// write; the newest generation wins.
class Replica {
 public:
  /// `path`: the file of the last good generation; empty: nothing is kept on disk.
  explicit Replica(std::string path);
  /// Finishes the write that is under way, if any.
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  /// Takes the last good generation from disk, before any accept(). True when there was one. A
  /// damaged file is moved to PATH.damaged and said aloud.
  bool load();

  /// Verifies a snapshot and puts it in force. False when that very generation is in force already.
  /// kFailedPrecondition for a lower (term, sequence), else decode()'s errors; after an error the
  /// one in force stays.
  Result<bool> accept(std::string_view snapshot);

  /// The generation in force; null before the first.
  [[nodiscard]] std::shared_ptr<const Generation> current() const { return current_.load(); }

 private:
  void keep_on_disk(std::string_view snapshot);
  void write_pending();

  const std::string path_;
  std::atomic<std::shared_ptr<const Generation>> current_;
  LogLimit log_limit_;  // of the writing thread

  std::mutex mutex_;
  std::optional<std::string> pending_;
  bool writing_ = false;
  std::thread writer_;
};

}  // namespace caisson::config
