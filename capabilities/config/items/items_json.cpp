#include "capabilities/config/items/items_json.hpp"

#include "bus/json_writer.hpp"

namespace caisson::items {

namespace {

void write(JsonWriter& json, const Item& item) {
  json.begin_object();
  if (!item.value.empty()) json.key("value").value(item.value);
  if (!item.version.empty()) json.key("version").value(item.version);
  if (!item.metadata.empty()) {
    json.key("metadata").begin_object();
    for (const auto& [name, value] : item.metadata) json.key(name).value(value);
    json.end_object();
  }
  json.end_object();
}

}  // namespace

std::string items_json(const Items& items) {
  JsonWriter json(HtmlEscape::kYes);
  json.begin_object();
  for (const auto& [key, item] : items) {
    json.key(key);
    write(json, item);
  }
  json.end_object();
  return json.take();
}

std::string update_json(const std::string& subscription, const std::string& key, const Item& item) {
  JsonWriter json(HtmlEscape::kYes);
  json.begin_object().key("id").value(subscription).key("items").begin_object().key(key);
  write(json, item);
  json.end_object().end_object();
  return json.take();
}

}  // namespace caisson::items
