#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config-cache/documents.hpp"

namespace caisson::config {

/// Largest file that is read, in bytes.
inline constexpr std::size_t kMaxFile = 1024 * 1024;
/// Documents of one file that are read.
inline constexpr std::size_t kMaxDocuments = 1024;

/// One resource of a file, checked and with defaults filled in.
struct Document {
  std::string kind;  // Component, Subscription, Resiliency, HTTPEndpoint
  std::string name;
  std::string app_namespace;  // metadata.namespace; empty: any
  std::variant<Component, Subscription, Resiliency, HttpEndpoint> content;
  Origin origin;
};

/// Something a person has to correct. The message never holds a metadata value.
struct Problem {
  Origin origin;
  std::string message;
  bool operator==(const Problem& other) const {
    return origin.file == other.origin.file && origin.line == other.origin.line && message == other.message;
  }
};

struct ParsedFile {
  std::vector<Document> documents;
  std::vector<Problem> problems;
};

/// Reads a resources file: all its documents of the kinds above; other kinds are passed over. A
/// document that does not parse is a problem and hides no other. Never throws.
ParsedFile parse_resources(std::string_view text, const std::string& file);

/// Reads a --config file, `$VAR` and `${VAR}` replaced by the environment first, and lays what it says
/// over `merged`. Problems, if any; then `merged` must not be used.
std::vector<Problem> parse_configuration(std::string_view text, const std::string& file, Configuration& merged);

/// `$VAR` and `${VAR}` replaced by the environment, as Go's os.ExpandEnv does; an unset one by nothing.
std::string expand_environment(std::string_view text);

}  // namespace caisson::config
