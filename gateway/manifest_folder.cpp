#include "gateway/manifest_folder.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>

#include "bus/log.hpp"
#include "bus/wire.hpp"

namespace caisson::gateway {

namespace {

constexpr std::size_t kLargestManifest = 1024 * 1024;
constexpr std::size_t kMostManifests = 256;

}  // namespace

ManifestFolder::ManifestFolder(EventLoop& loop, std::string folder, std::function<void()> changed)
    : folder_(std::move(folder)), changed_(std::move(changed)), watch_(loop, [this] {
        if (scan()) changed_();
      }) {}

Result<void> ManifestFolder::start() {
  std::error_code code;
  std::filesystem::create_directories(folder_, code);
  if (code) return Error{Errc::kInternal, fmt::format("cannot make '{}': {}", folder_, code.message())};
  TRY(watch_.start(folder_));
  scan();
  return ok();
}

bool ManifestFolder::scan() {
  std::set<std::string> present;
  std::error_code code;
  for (auto it = std::filesystem::directory_iterator(folder_, code);
       !code && it != std::filesystem::directory_iterator(); it.increment(code)) {
    const std::string name = it->path().filename().string();
    if (name.ends_with(".json") && !name.starts_with('.') && present.size() < kMostManifests) present.insert(name);
  }
  // A folder that cannot be read says nothing about its files.
  if (code) {
    log(LogLevel::kError, fmt::format("cannot read '{}': {}", folder_, code.message()));
    return false;
  }
  std::erase_if(files_, [&](const auto& file) { return !present.contains(file.first); });
  for (const std::string& name : present) look_at(name, files_[name]);

  Manifests found;
  for (const auto& [name, file] : files_) {
    if (file.manifest == nullptr) continue;
    const bool twice =
        std::ranges::any_of(found, [&](const auto& other) { return other->capability == file.manifest->capability; });
    if (twice) {
      log(LogLevel::kError, fmt::format("{}/{}: another file has a manifest for '{}'; this one is left out", folder_,
                                        name, file.manifest->capability));
      continue;
    }
    found.push_back(file.manifest);
  }
  if (found == manifests_) return false;
  manifests_ = std::move(found);
  return true;
}

void ManifestFolder::look_at(const std::string& name, File& file) {
  const std::string path = folder_ + "/" + name;
  Result<std::string> content = read_whole_file(path, kLargestManifest);
  if (!content) {
    log(LogLevel::kError, content.error().message);
    return;
  }
  if (*content == file.content) return;
  file.content = *content;
  Result<Manifest> manifest = parse_manifest(*content);
  const int distance = manifest ? static_cast<int>(manifest->schema_version) - kSchemaVersion : 0;
  if (manifest && manifest->schema_version != 0 && (distance < -1 || distance > 1)) {
    manifest =
        Error{Errc::kFailedPrecondition, fmt::format("schema version {} is not understood", manifest->schema_version)};
  }
  if (!manifest) {
    log(LogLevel::kError, fmt::format("{}: {}{}", path, manifest.error().message,
                                      file.manifest == nullptr ? "" : "; the last good one stays in force"));
    return;
  }
  file.manifest = std::make_shared<const Manifest>(*std::move(manifest));
}

}  // namespace caisson::gateway
