#include "sdk/key_prefix.hpp"

#include <fmt/format.h>

namespace caisson::sdk {

namespace {

bool holds_separator(std::string_view text) { return text.find(kKeySeparator) != std::string_view::npos; }

}  // namespace

Result<KeyPrefix> KeyPrefix::parse(const Metadata& metadata, std::optional<std::string> app_namespace) {
  std::string text = metadata.get("keyPrefix");
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  KeyPrefix prefix;
  if (text.empty() || text == "appid") return prefix;
  if (text == "name") {
    prefix.strategy_ = Strategy::kStore;
  } else if (text == "none") {
    prefix.strategy_ = Strategy::kNone;
  } else if (text == "namespace" && app_namespace) {
    prefix.strategy_ = app_namespace->empty() ? Strategy::kApp : Strategy::kNamespace;
    prefix.text_ = *std::move(app_namespace);
  } else {
    if (holds_separator(text)) {
      return Error{Errc::kInvalidArgument, fmt::format("metadata 'keyPrefix': '{}' can't contain '||'", text)};
    }
    prefix.strategy_ = Strategy::kText;
    prefix.text_ = std::move(text);
  }
  return prefix;
}

Result<void> KeyPrefix::check(std::string_view key) {
  if (!holds_separator(key)) return ok();
  return Error{Errc::kInvalidArgument, fmt::format("input key/keyPrefix '{}' can't contain '||'", key)};
}

Result<std::string> KeyPrefix::stored_key(std::string_view app, std::string_view store, std::string_view key) const {
  TRY(check(key));
  if (strategy_ == Strategy::kNone) return std::string(key);
  const std::string before = prefix(app, store);
  std::string whole;
  whole.reserve(before.size() + kKeySeparator.size() + key.size());
  whole.append(before).append(kKeySeparator).append(key);
  return whole;
}

std::string KeyPrefix::prefix(std::string_view app, std::string_view store) const {
  switch (strategy_) {
    case Strategy::kStore:
      return std::string(store);
    case Strategy::kNamespace:
      return fmt::format("{}.{}", text_, app);
    case Strategy::kText:
      return text_;
    case Strategy::kApp:
    case Strategy::kNone:
      break;
  }
  return std::string(app);
}

}  // namespace caisson::sdk
