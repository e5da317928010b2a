#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <random>

#include "sdk/component_set.hpp"
#include "sdk/sealed_secret.hpp"

namespace caisson::sdk {

namespace {

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

Error bad(std::string_view name, std::string_view what) {
  return {Errc::kInvalidArgument, fmt::format("metadata '{}' {}", name, what)};
}

std::string random_uuid() {
  std::random_device source;
  std::uint32_t word[4] = {source(), source(), source(), source()};
  word[1] = (word[1] & 0xFFFF0FFF) | 0x00004000;  // version 4
  word[2] = (word[2] & 0x3FFFFFFF) | 0x80000000;  // RFC 4122 variant
  return fmt::format("{:08x}-{:04x}-{:04x}-{:04x}-{:04x}{:08x}", word[0], word[1] >> 16, word[1] & 0xFFFF,
                     word[2] >> 16, word[2] & 0xFFFF, word[3]);
}

void replace_all(std::string& text, std::string_view what, const std::string& with) {
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + with.size())) {
    text.replace(at, what.size(), with);
  }
}

/// The placeholders that do not depend on an app; {appID} and {namespace} are the capability's.
void fill_placeholders(std::string& value) {
  if (value.find('{') == std::string::npos) return;
  const char* const pod = std::getenv("POD_NAME");
  replace_all(value, "{podName}", pod == nullptr ? "" : pod);
  if (value.find("{uuid}") != std::string::npos) replace_all(value, "{uuid}", random_uuid());
}

/// Whether a component may read the variable (facts of `envRef`): never the runtime's own tokens.
bool may_read_environment(std::string_view name) {
  const std::string upper_blocked = lower(name);
  if (upper_blocked == "app_api_token" || upper_blocked.starts_with("dapr_")) return false;
  if (name.find(' ') != std::string_view::npos || name.empty()) return false;
  const char* const allowed = std::getenv("DAPR_ENV_KEYS");
  if (allowed == nullptr) return true;
  const std::string list = fmt::format(" {} ", lower(allowed));
  return list.find(fmt::format(" {} ", lower(name))) != std::string::npos;
}

std::string environment_value(std::string_view component, const std::string& name) {
  const char* const value = may_read_environment(name) ? std::getenv(name.c_str()) : nullptr;
  if (value == nullptr) {
    log(LogLevel::kWarning,
        fmt::format("component '{}': environment variable '{}' is not set or not allowed", component, name));
    return {};
  }
  return value;
}

}  // namespace

std::optional<std::string> Metadata::find(std::string_view name) const {
  for (const auto& [key, value] : items_) {
    if (equal_ignoring_case(key, name)) return value;
  }
  return std::nullopt;
}

std::string Metadata::get(std::string_view name, std::string_view otherwise) const {
  return find(name).value_or(std::string(otherwise));
}

Result<bool> Metadata::get_bool(std::string_view name, bool otherwise) const {
  const auto value = find(name);
  return value && !value->empty() ? is_truthy(*value) : otherwise;
}

Result<std::int64_t> Metadata::get_int(std::string_view name, std::int64_t otherwise) const {
  const auto value = find(name);
  if (!value || value->empty()) return otherwise;
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(value->data(), value->data() + value->size(), number);
  if (error != std::errc() || end != value->data() + value->size()) return bad(name, "is not a whole number");
  return number;
}

Result<Nanos> Metadata::get_duration(std::string_view name, Nanos otherwise) const {
  const auto value = find(name);
  if (!value || value->empty()) return otherwise;
  const auto duration = parse_duration(*value);
  if (!duration) return bad(name, "is not a duration such as 500ms, 1m30s or a number of milliseconds");
  return *duration;
}

bool is_truthy(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  const std::string value = lower(text);
  return value == "y" || value == "yes" || value == "true" || value == "t" || value == "on" || value == "1";
}

namespace {

/// The value behind a secretKeyRef, which crosses the gateway sealed.
Task<Result<std::string>> resolve_secret(Context& context, const std::string& store, const config::MetadataItem& item,
                                         Deadline deadline) {
  const SecretReceiver receiver;
  const Field headers[] = {{"store", store},
                           {"name", item.secret_name},
                           {"key", item.secret_key.empty() ? item.secret_name : item.secret_key},
                           {"seal-for", receiver.public_key()}};
  Envelope call;
  call.target = "secrets.resolve";
  call.headers = headers;
  auto reply = co_await context.call(call, Buffer(), deadline);
  auto value = reply ? receiver.open(reply->head.payload()) : Result<std::string>(std::move(reply).error());
  if (value) co_return value;
  co_return Error{value.error().code, fmt::format("metadata '{}': secret '{}' of store '{}': {}", item.name,
                                                  item.secret_name, store, value.error().message)};
}

}  // namespace

Task<Result<Metadata>> resolve_metadata(Context& context, const config::Component& component, Deadline deadline) {
  std::vector<std::pair<std::string, std::string>> items;
  for (const config::MetadataItem& item : component.metadata) {
    std::string value = item.value;
    if (!item.env.empty()) {
      value = environment_value(component.name, item.env);
    } else if (!item.secret_name.empty()) {
      CO_ASSIGN(value, co_await resolve_secret(context, component.secret_store, item, deadline));
    } else {
      fill_placeholders(value);
    }
    items.emplace_back(item.name, std::move(value));
  }
  co_return Metadata(std::move(items));
}

}  // namespace caisson::sdk
