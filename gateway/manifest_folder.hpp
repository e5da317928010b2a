#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bus/manifest.hpp"
#include "gateway/folder_watch.hpp"

namespace caisson::gateway {

/// The manifests installed in a folder, one *.json each. A file that breaks keeps its last good
/// manifest and is reported once; a removed file removes its capability. One thread.
class ManifestFolder {
 public:
  using Manifests = std::vector<std::shared_ptr<const Manifest>>;

  /// `changed` is called after start() has returned, whenever the set is another.
  ManifestFolder(EventLoop& loop, std::string folder, std::function<void()> changed);

  /// Makes the folder where it is missing, reads it, and watches it from then on.
  Result<void> start();
  /// In the order of the file names. Two files for one capability: the first counts.
  [[nodiscard]] const Manifests& manifests() const { return manifests_; }

 private:
  struct File {
    std::string content;  // of the last look, good or not
    std::shared_ptr<const Manifest> manifest;
  };
  /// True when the set has changed.
  bool scan();
  void look_at(const std::string& name, File& file);

  std::string folder_;
  std::function<void()> changed_;
  std::map<std::string, File> files_;
  Manifests manifests_;
  FolderWatch watch_;
};

}  // namespace caisson::gateway
