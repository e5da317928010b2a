#pragma once

#include <string>
#include <string_view>

namespace caisson::config {

/// What a plain scalar is by YAML 1.1, as the YAML library behind Dapr reads it.
enum class ScalarType { kNull, kBool, kNumber, kText };

struct Scalar {
  ScalarType type = ScalarType::kText;
  std::string json;  // true, 15, 1.5; a text as it stands, without quotes
};

bool is_yaml_null(std::string_view plain);
Scalar resolve_scalar(std::string_view plain);

}  // namespace caisson::config
