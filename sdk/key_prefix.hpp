#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "bus/result.hpp"
#include "sdk/component_set.hpp"

namespace caisson::sdk {

/// What a component puts before the keys of an app, from its metadata `keyPrefix`: "appid" (default),
/// "name", "namespace" (state alone), "none", or any other text as it is, in lower case. As Dapr does.
class KeyPrefix {
 public:
  KeyPrefix() = default;

  /// `app_namespace` is what "namespace" means; where it is empty, that means "appid", and where it is
  /// nullopt, "namespace" is a text like any other. kInvalidArgument for a text with the separator in it.
  static Result<KeyPrefix> parse(const Metadata& metadata, std::optional<std::string> app_namespace);

  /// Whether a key can be stored at all: kInvalidArgument for one that holds the separator.
  static Result<void> check(std::string_view key);
  /// The key as it is stored. kInvalidArgument for a key that holds the separator.
  [[nodiscard]] Result<std::string> stored_key(std::string_view app, std::string_view store,
                                               std::string_view key) const;

 private:
  enum class Strategy : std::uint8_t { kApp, kStore, kNamespace, kNone, kText };
  [[nodiscard]] std::string prefix(std::string_view app, std::string_view store) const;

  Strategy strategy_ = Strategy::kApp;
  std::string text_;
};

inline constexpr std::string_view kKeySeparator = "||";

}  // namespace caisson::sdk
