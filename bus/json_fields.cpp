#include "bus/json_fields.hpp"

namespace caisson::json {

using simdjson::dom::element;

Wrong read(element from, std::string& to) {
  std::string_view text;
  if (from.get(text) != simdjson::SUCCESS) return "is not a string";
  to = text;
  return std::nullopt;
}

Wrong read(element from, bool& to) {
  if (from.get(to) != simdjson::SUCCESS) return "is not true or false";
  return std::nullopt;
}

Wrong read(element from, std::vector<std::string>& to) {
  simdjson::dom::array list;
  if (from.get(list) != simdjson::SUCCESS) return "is not a list";
  to.clear();
  for (const element entry : list) {
    std::string_view text;
    if (entry.get(text) != simdjson::SUCCESS) return "holds something that is no string";
    to.emplace_back(text);
  }
  return std::nullopt;
}

}  // namespace caisson::json
