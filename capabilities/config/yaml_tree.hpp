#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bus/result.hpp"

namespace caisson::config {

struct YamlMember;

/// A parsed YAML value; aliases and merge keys (`<<`) are resolved already.
struct YamlNode {
  enum class Kind : std::uint8_t { kNull, kScalar, kList, kMap };

  Kind kind = Kind::kNull;
  /// A scalar written without quotes and without a tag: `5` is a number, `"5"` a text.
  bool plain = false;
  std::string text;
  std::uint32_t line = 0;  // in the file, from 1
  std::vector<YamlNode> elements;
  std::vector<YamlMember> members;

  [[nodiscard]] bool is_null() const { return kind == Kind::kNull; }
  [[nodiscard]] bool is_map() const { return kind == Kind::kMap; }
  [[nodiscard]] bool is_list() const { return kind == Kind::kList; }
  /// A map's value under `name`, as Go's JSON decoder finds it: the exact name first, then without
  /// regard to case. Of several equal names the last. Null when there is none.
  [[nodiscard]] const YamlNode& operator[](std::string_view name) const;
};

struct YamlMember {
  YamlNode key;
  YamlNode value;
};

/// Where and why a text could not be read.
struct YamlError {
  std::uint32_t line = 0;
  std::string message;
};

/// Parses one YAML document. `first_line` is the line of the file on which `text` begins. Depth,
/// nodes and bytes are bounded, also what aliases multiply. Never throws.
struct YamlOutcome {
  YamlNode root;
  bool failed = false;
  YamlError error;
};
YamlOutcome parse_yaml(std::string_view text, std::uint32_t first_line);

/// A scalar as JSON writes it, by YAML 1.1's rules for plain scalars (`yes` is true, `0x10` is 16):
/// what Dapr hands a component as its metadata value. Texts come without quotes, null as "".
/// Lists and maps become JSON text with sorted names.
std::string to_value(const YamlNode& node);

/// True or false when the node is a plain YAML 1.1 boolean, else kInvalidArgument.
Result<bool> to_bool(const YamlNode& node);
/// A plain whole number, else kInvalidArgument.
Result<std::int64_t> to_int(const YamlNode& node);

}  // namespace caisson::config
