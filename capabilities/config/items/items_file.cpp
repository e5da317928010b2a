#include "capabilities/config/items/items_file.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "sdk/json_reader.hpp"

namespace caisson::items {

namespace {

using sdk::JsonReader;

Error wrong(const std::string& key, std::string_view what) {
  return {Errc::kInvalidArgument, fmt::format("'{}' {}", key, what)};
}

Result<void> read_text(JsonReader& json, const std::string& place, std::string& to) {
  if (json.kind() != JsonReader::Kind::kString) return wrong(place, "must be a text in quotes");
  ASSIGN(to, json.read_string());
  return ok();
}

Result<void> read_metadata(JsonReader& json, const std::string& key, Item& item) {
  if (json.kind() != JsonReader::Kind::kObject) return wrong(key + ".metadata", "must be an object");
  return json.read_object([&](const std::string& name) -> Result<void> {
    return read_text(json, fmt::format("{}.metadata.{}", key, name), item.metadata[name]);
  });
}

Result<void> read_item(JsonReader& json, const std::string& key, Item& item) {
  if (json.kind() == JsonReader::Kind::kString) return read_text(json, key, item.value);
  if (json.kind() != JsonReader::Kind::kObject) {
    return wrong(key, "must be a text in quotes, or an object with value, version and metadata");
  }
  return json.read_object([&](const std::string& member) -> Result<void> {
    if (member == "value") return read_text(json, key + ".value", item.value);
    if (member == "version") return read_text(json, key + ".version", item.version);
    if (member == "metadata") return read_metadata(json, key, item);
    return wrong(key + "." + member, "is unknown; an item has value, version and metadata");
  });
}

Result<void> read_items(JsonReader& json, Items& items) {
  if (json.kind() != JsonReader::Kind::kObject) {
    return Error{Errc::kInvalidArgument, "the file must hold one JSON object, from key to item"};
  }
  TRY(json.read_object([&](const std::string& key) -> Result<void> {
    if (key.empty() || key.size() > kMaxKeyLength) {
      return Error{Errc::kInvalidArgument, fmt::format("a key must have 1 to {} bytes", kMaxKeyLength)};
    }
    if (items.contains(key)) return wrong(key, "is there twice");
    if (items.size() == kMaxItems) {
      return Error{Errc::kResourceExhausted, fmt::format("there are more than {} items", kMaxItems)};
    }
    return read_item(json, key, items[key]);
  }));
  return json.expect_end();
}

}  // namespace

Result<Items> parse_items(std::string text) {
  JsonReader json(std::move(text));
  Items items;
  if (Result<void> read = read_items(json, items); !read) {
    const std::string_view before = json.text().substr(0, json.position());
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    return Error{read.error().code, fmt::format("{}: {}", line, read.error().message)};
  }
  std::erase_if(items, [](const auto& entry) { return entry.second.value.empty(); });
  return items;
}

}  // namespace caisson::items
