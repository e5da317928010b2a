#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

namespace caisson::config::testing {

/// A folder of its own, gone after the test.
class TemporaryFolder {
 public:
  TemporaryFolder() {
    char name[] = "/tmp/config-test-XXXXXX";
    path_ = ::mkdtemp(name);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string path(std::string_view name) const { return path_ + "/" + std::string(name); }

  std::string write(std::string_view name, std::string_view text) const {
    std::ofstream(path(name), std::ios::binary) << text;
    return path(name);
  }
  void remove(std::string_view name) const { std::filesystem::remove_all(path(name)); }

 private:
  std::string path_;
};

inline std::string component_yaml(std::string_view name, std::string_view type, std::string_view value = "v") {
  return "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: " + std::string(name) +
         "\nspec:\n  type: " + std::string(type) + "\n  metadata:\n  - name: key\n    value: \"" + std::string(value) +
         "\"\n";
}

}  // namespace caisson::config::testing
