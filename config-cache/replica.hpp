#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>

#include "bus/result.hpp"
#include "config-cache/documents.hpp"
#include "config-cache/durable_file.hpp"

namespace caisson::config {

/// A snapshot file as a generation. kNotFound when there is none; a damaged one is moved to
/// PATH.damaged, and the error says so.
Result<Generation> load_snapshot(const std::string& path);

/// The generation in force in one process, and its copy on disk.
///
/// accept() and load() belong to one thread, the loop's; current() may be called from any. The copy
/// on disk is written beside the loop (DurableFile).
class Replica {
 public:
  /// `path`: the file of the last good generation; empty: nothing is kept on disk.
  explicit Replica(std::string path) : file_(std::move(path)) {}

  /// Takes the last good generation from disk, before any accept(). True when there was one. A
  /// damaged file is moved to PATH.damaged and said aloud.
  bool load();

  /// Verifies a snapshot and puts it in force. False when that very generation is in force already.
  /// kFailedPrecondition for a lower (term, sequence), else decode()'s errors; after an error the
  /// one in force stays.
  Result<bool> accept(std::string_view snapshot);

  /// The generation in force; null before the first.
  [[nodiscard]] std::shared_ptr<const Generation> current() const {
    const std::lock_guard lock(current_mutex_);
    return current_;
  }

 private:
  void put_in_force(Generation generation);

  DurableFile file_;
  /// Held for the copy of a pointer. Not std::atomic<std::shared_ptr>: libstdc++ 12 releases the lock
  /// inside it with relaxed order after a load, which is a data race.
  mutable std::mutex current_mutex_;
  std::shared_ptr<const Generation> current_;
};

}  // namespace caisson::config
