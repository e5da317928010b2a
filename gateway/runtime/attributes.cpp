#include "gateway/runtime/attributes.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <chrono>
#include <filesystem>

#include "bus/json_writer.hpp"
#include "bus/log.hpp"
#include "gateway/folder_watch.hpp"

namespace caisson::gateway {

namespace {

using simdjson::dom::object;

constexpr std::size_t kLargestFile = 64 * 1024 * 1024;

}  // namespace

Result<void> Attributes::share(const std::string& folder, const std::string& name) {
  std::error_code failed;
  std::filesystem::create_directories(folder, failed);
  if (failed) return Error{Errc::kInternal, fmt::format("cannot make '{}': {}", folder, failed.message())};
  folder_ = folder;
  path_ = fmt::format("{}/{}.json", folder, name);
  add(path_, own_);
  return ok();
}

Result<void> Attributes::put(std::string_view app, std::string key, std::string value) {
  const ByKey present = all_of(app);
  std::size_t bytes = key.size() + value.size();
  for (const auto& [name, attribute] : present) {
    if (name != key) bytes += name.size() + attribute.value.size();
  }
  const std::size_t keys = present.size() + (present.contains(key) ? 0 : 1);
  if (keys > kMaxKeys || bytes > kMaxBytes) {
    return Error{Errc::kResourceExhausted,
                 fmt::format("an app may keep {} attributes and {} bytes of them", kMaxKeys, kMaxBytes)};
  }
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  Attribute& attribute = own_[std::string(app)][std::move(key)];
  attribute.value = std::move(value);
  attribute.at = std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
  return path_.empty() ? ok() : write();
}

std::map<std::string, std::string> Attributes::of(std::string_view app) const {
  std::map<std::string, std::string> values;
  for (auto& [key, attribute] : all_of(app)) values[key] = attribute.value;
  return values;
}

Attributes::ByKey Attributes::all_of(std::string_view app) const {
  ByApp all = own_;
  std::error_code failed;
  if (!folder_.empty()) {
    for (std::filesystem::directory_iterator it(folder_, failed), end; !failed && it != end; it.increment(failed)) {
      if (it->path().extension() == ".json" && it->path() != path_) add(it->path(), all);
    }
  }
  const auto found = all.find(app);
  return found == all.end() ? ByKey() : std::move(found->second);
}

/// A file that cannot be read adds nothing, and says so.
void Attributes::add(const std::string& path, ByApp& to) {
  static LogLimit log_limit;
  const auto text = read_whole_file(path, kLargestFile);
  if (!text && text.error().code == Errc::kNotFound) return;
  simdjson::dom::parser parser;
  object apps;
  if (!text || parser.parse(simdjson::padded_string(*text)).get(apps) != simdjson::SUCCESS) {
    log_limit.log(LogLevel::kError, fmt::format("{}: cannot be read; its attributes are not shown", path));
    return;
  }
  for (const auto [app, keys] : apps) {
    object attributes;
    if (keys.get(attributes) != simdjson::SUCCESS) continue;
    for (const auto [key, item] : attributes) {
      Attribute attribute;
      std::string_view value;
      if (item["value"].get(value) != simdjson::SUCCESS || item["at"].get(attribute.at) != simdjson::SUCCESS) continue;
      attribute.value = value;
      add(std::string(app), std::string(key), std::move(attribute), to);
    }
  }
}

void Attributes::add(const std::string& app, const std::string& key, Attribute attribute, ByApp& to) {
  const auto [present, is_new] = to[app].try_emplace(key, attribute);
  if (!is_new && present->second.at < attribute.at) present->second = std::move(attribute);
}

Result<void> Attributes::write() const {
  JsonWriter json;
  json.begin_object();
  for (const auto& [app, attributes] : own_) {
    json.key(app).begin_object();
    for (const auto& [key, attribute] : attributes) {
      json.key(key).begin_object().key("value").value(attribute.value).key("at").value(attribute.at).end_object();
    }
    json.end_object();
  }
  json.end_object();
  return replace_file(path_, json.text());
}

}  // namespace caisson::gateway
