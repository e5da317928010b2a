#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>

#include "bus/result.hpp"

namespace caisson::gateway {

/// The attributes that clients put beside the runtime's own (the CLI keeps its pids there), per app. They
/// end with the runtime, as they do with daprd; those of a gateway that is alone, with it. One thread.
class Attributes {
 public:
  static constexpr std::size_t kMaxKeys = 256;
  static constexpr std::size_t kMaxBytes = 256 * 1024;

  /// From now on they are those of all gateways that share `folder`, where each writes FOLDER/NAME.json
  /// and reads the others'; of one key the value that was put last counts. Takes up what a gateway of this
  /// name left there.
  Result<void> share(const std::string& folder, const std::string& name);

  /// kResourceExhausted when the app holds too many, or too much; kInternal when the file cannot be written.
  Result<void> put(std::string_view app, std::string key, std::string value);
  [[nodiscard]] std::map<std::string, std::string> of(std::string_view app) const;

 private:
  struct Attribute {
    std::string value;
    std::int64_t at = 0;  // when it was put: nanoseconds since 1970
  };
  using ByKey = std::map<std::string, Attribute>;
  using ByApp = std::map<std::string, ByKey, std::less<>>;

  static void add(const std::string& path, ByApp& to);
  static void add(const std::string& app, const std::string& key, Attribute attribute, ByApp& to);
  [[nodiscard]] ByKey all_of(std::string_view app) const;
  [[nodiscard]] Result<void> write() const;

  ByApp own_;
  std::string folder_;  // empty: not shared
  std::string path_;
};

}  // namespace caisson::gateway
