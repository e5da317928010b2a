#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/clock.hpp"
#include "capabilities/config/yaml_documents.hpp"
#include "capabilities/config/yaml_tree.hpp"

namespace caisson::config {

/// Reads the fields of one document and keeps the first problem, so that the code that fills a
/// struct reads downwards. Fields that are absent or null leave the default.
class FieldReader {
 public:
  explicit FieldReader(const std::string& file) : file_(file) {}

  [[nodiscard]] const std::optional<Problem>& problem() const { return problem_; }
  void fail(const YamlNode& at, std::string_view field, std::string_view what);

  std::string text(const YamlNode& parent, std::string_view name, std::string_view field);
  std::string required_text(const YamlNode& parent, std::string_view name, std::string_view field);
  bool boolean(const YamlNode& parent, std::string_view name, std::string_view field, bool otherwise);
  std::int64_t integer(const YamlNode& parent, std::string_view name, std::string_view field, std::int64_t least,
                       std::int64_t most, std::int64_t otherwise);
  Nanos duration(const YamlNode& parent, std::string_view name, std::string_view field, Nanos otherwise);
  std::vector<std::string> texts(const YamlNode& parent, std::string_view name, std::string_view field);
  std::map<std::string, std::string> text_map(const YamlNode& parent, std::string_view name, std::string_view field);
  /// The child if it is a map or a list; an empty one when it is absent or of the wrong kind.
  const YamlNode& map(const YamlNode& parent, std::string_view name, std::string_view field);
  const YamlNode& list(const YamlNode& parent, std::string_view name, std::string_view field);

 private:
  const std::string& file_;
  std::optional<Problem> problem_;
};

}  // namespace caisson::config
