#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace caisson::cli {

/// A folder that a test has to itself; removed with it.
class TestDir {
 public:
  TestDir() {
    std::string pattern = (std::filesystem::temp_directory_path() / "caisson-cli-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  TestDir(const TestDir&) = delete;
  TestDir& operator=(const TestDir&) = delete;
  ~TestDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

}  // namespace caisson::cli
