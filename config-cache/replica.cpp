#include "config-cache/replica.hpp"

#include <cstdio>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "config-cache/durable_file.hpp"
#include "config-cache/generation.hpp"

namespace caisson::config {

Replica::Replica(std::string path) : path_(std::move(path)) {}

Replica::~Replica() {
  if (writer_.joinable()) writer_.join();
}

bool Replica::load() {
  if (path_.empty()) return false;
  const Result<std::string> bytes = read_file(path_, kMaxSnapshot);
  if (!bytes && bytes.error().code == Errc::kNotFound) return false;
  Result<Generation> generation = bytes ? decode(*bytes) : Result<Generation>(bytes.error());
  if (generation) {
    current_.store(std::make_shared<const Generation>(*std::move(generation)));
    return true;
  }
  const std::string aside = path_ + ".damaged";
  const bool moved = std::rename(path_.c_str(), aside.c_str()) == 0;
  log(LogLevel::kError,
      fmt::format("{}: {}; {}; waiting for the configuration to be published again", path_,
                  generation.error().message, moved ? "moved to " + aside : "cannot be moved aside"));
  return false;
}

Result<bool> Replica::accept(std::string_view snapshot) {
  ASSIGN(Generation generation, decode(snapshot));
  if (const auto now = current(); now != nullptr) {
    const auto offered = std::tie(generation.term, generation.sequence);
    const auto in_force = std::tie(now->term, now->sequence);
    if (offered == in_force) return false;
    if (offered < in_force) {
      return Error{Errc::kFailedPrecondition,
                   fmt::format("generation {}.{} is older than {}.{}, which is in force", generation.term,
                               generation.sequence, now->term, now->sequence)};
    }
  }
  current_.store(std::make_shared<const Generation>(std::move(generation)));
  keep_on_disk(snapshot);
  return true;
}

/// fsync may take seconds on a busy disk, which the loop cannot spare; a generation that did not
/// reach the disk is published again anyway.
void Replica::keep_on_disk(std::string_view snapshot) {
  if (path_.empty()) return;
  const std::lock_guard lock(mutex_);
  pending_ = snapshot;
  if (writing_) return;
  if (writer_.joinable()) writer_.join();  // it has given up the mutex for good: a matter of microseconds
  writing_ = true;
  writer_ = std::thread([this] { write_pending(); });
}

void Replica::write_pending() {
  while (true) {
    std::string bytes;
    {
      const std::lock_guard lock(mutex_);
      if (!pending_) {
        writing_ = false;
        return;
      }
      bytes = *std::exchange(pending_, std::nullopt);
    }
    if (const auto written = write_file_durably(path_, bytes); !written) {
      log_limit_.log(LogLevel::kError, fmt::format("the configuration in force is not on disk: {}",
                                                   written.error().message));
    }
  }
}

}  // namespace caisson::config
