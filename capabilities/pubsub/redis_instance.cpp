#include "capabilities/pubsub/redis_instance.hpp"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <fstream>
#include <optional>
#include <random>
#include <utility>

#include "bus/log.hpp"
#include "config-cache/durable_file.hpp"

namespace caisson::pubsub {

namespace {

constexpr std::size_t kNameSize = 16;

std::string fresh_name() {
  std::random_device source;
  return fmt::format("{:08x}{:08x}", source(), source());
}

std::optional<std::string> read_name(const std::string& path) {
  auto text = config::read_file(path, 4096);
  if (!text || text->size() != kNameSize) return std::nullopt;
  const bool hex = std::ranges::all_of(*text, [](char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); });
  return hex ? std::optional<std::string>(*std::move(text)) : std::nullopt;
}

/// Not forced to disk: the name that a power failure takes away is one that no other process has.
bool write_name(const std::string& path, const std::string& name) {
  const std::string beside = path + ".new";
  std::ofstream file(beside, std::ios::trunc);
  file << name;
  file.close();
  return !file.fail() && std::rename(beside.c_str(), path.c_str()) == 0;
}

}  // namespace

ConsumerInstance claim_consumer_instance(const std::string& data_dir, const std::string& component) {
  ConsumerInstance instance{fresh_name(), {}};
  if (data_dir.empty()) return instance;
  const std::string path = fmt::format("{}/{}.consumer", data_dir, component);
  const bool there = ::mkdir(data_dir.c_str(), 0700) == 0 || errno == EEXIST;
  auto lock = there ? sdk::FileLock::take(path) : Result<sdk::FileLock>(Error{Errc::kUnavailable, path});
  if (!lock) return instance;
  if (auto name = read_name(path)) {
    instance.name = *std::move(name);
  } else if (!write_name(path, instance.name)) {
    log(LogLevel::kWarning, fmt::format("component '{}': {} cannot be written; after a restart, messages in hand "
                                        "come again only when their leases have run out",
                                        component, path));
  }
  instance.lock = *std::move(lock);
  return instance;
}

}  // namespace caisson::pubsub
