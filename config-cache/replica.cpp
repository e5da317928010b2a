#include "config-cache/replica.hpp"

#include <fmt/format.h>

#include <cstdio>
#include <tuple>

#include "bus/log.hpp"
#include "config-cache/generation.hpp"

namespace caisson::config {

Result<Generation> load_snapshot(const std::string& path) {
  const Result<std::string> bytes = read_file(path, kMaxSnapshot);
  if (!bytes && bytes.error().code == Errc::kNotFound) return bytes.error();
  Result<Generation> generation = bytes ? decode(*bytes) : Result<Generation>(bytes.error());
  if (generation) return generation;
  const std::string aside = path + ".damaged";
  const bool moved = std::rename(path.c_str(), aside.c_str()) == 0;
  return Error{generation.error().code, fmt::format("{}: {}; {}", path, generation.error().message,
                                                    moved ? "moved to " + aside : "it cannot be moved aside")};
}

bool Replica::load() {
  if (file_.path().empty()) return false;
  Result<Generation> generation = load_snapshot(file_.path());
  if (generation) {
    put_in_force(*std::move(generation));
    return true;
  }
  if (generation.error().code != Errc::kNotFound) {
    log(LogLevel::kError,
        fmt::format("{}; waiting for the configuration to be published again", generation.error().message));
  }
  return false;
}

void Replica::put_in_force(Generation generation) {
  auto next = std::make_shared<const Generation>(std::move(generation));
  const std::lock_guard lock(current_mutex_);
  current_.swap(next);  // the old one is let go of after the lock
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
  put_in_force(std::move(generation));
  // A generation that does not reach the disk is published again anyway.
  file_.replace(std::string(snapshot));
  return true;
}

}  // namespace caisson::config
