#include "capabilities/pubsub/json_value.hpp"

#include <algorithm>
#include <functional>

#include "bus/wire.hpp"
#include "sdk/json_reader.hpp"

namespace caisson::pubsub {

namespace {

/// Sorted by name, the last of equal ones.
void keep_last_of_each(std::vector<JsonMember>& members) {
  // As most are written, and as every event of ours is.
  const auto in_order = [](const JsonMember& a, const JsonMember& b) { return a.name < b.name; };
  if (std::ranges::adjacent_find(members, std::not_fn(in_order)) == members.end()) return;
  std::ranges::stable_sort(members, {}, &JsonMember::name);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < members.size(); ++i) {
    if (i + 1 < members.size() && members[i].name == members[i + 1].name) continue;
    if (kept != i) members[kept] = std::move(members[i]);
    ++kept;
  }
  members.resize(kept);
}

Result<void> read(sdk::JsonReader& from, JsonValue& to) {
  using Kind = sdk::JsonReader::Kind;
  switch (from.kind()) {
    case Kind::kObject:
      to.kind = JsonValue::Kind::kObject;
      TRY(from.read_object([&](const std::string& name) {
        JsonMember& member = to.members.emplace_back();
        member.name = name;
        return read(from, member.value);
      }));
      keep_last_of_each(to.members);
      return ok();
    case Kind::kArray:
      to.kind = JsonValue::Kind::kArray;
      return from.read_array([&] { return read(from, to.items.emplace_back()); });
    case Kind::kString: {
      to.kind = JsonValue::Kind::kString;
      ASSIGN(to.text, from.read_string());
      return ok();
    }
    case Kind::kNumber: {
      to.kind = JsonValue::Kind::kNumber;
      ASSIGN(to.text, from.read_number_text());
      return ok();
    }
    case Kind::kBool: {
      ASSIGN(const bool flag, from.read_bool());
      to.kind = flag ? JsonValue::Kind::kTrue : JsonValue::Kind::kFalse;
      return ok();
    }
    case Kind::kNull:
      return from.read_null();
    case Kind::kNone:
      break;
  }
  return from.error("expected a JSON value");
}

}  // namespace

JsonValue JsonValue::string(std::string_view text) {
  JsonValue value;
  value.kind = Kind::kString;
  value.text = text;
  return value;
}

JsonValue JsonValue::object() {
  JsonValue value;
  value.kind = Kind::kObject;
  return value;
}

const JsonValue* JsonValue::find(std::string_view name) const {
  for (const auto& [key, value] : members) {
    if (key == name) return &value;
  }
  return nullptr;
}

const JsonValue* JsonValue::find_ignoring_case(std::string_view name) const {
  if (const JsonValue* const exact = find(name)) return exact;
  for (const auto& [key, value] : members) {
    if (equal_ignoring_case(key, name)) return &value;
  }
  return nullptr;
}

std::string_view JsonValue::text_of(std::string_view name) const {
  const JsonValue* const value = find(name);
  return value != nullptr && value->is_string() ? std::string_view(value->text) : std::string_view();
}

void JsonValue::set(std::string_view name, JsonValue value) {
  for (auto& [key, old] : members) {
    if (key == name) {
      old = std::move(value);
      return;
    }
  }
  members.push_back(JsonMember{std::string(name), std::move(value)});
}

Result<JsonValue> parse_json(std::string_view text) {
  sdk::JsonReader reader{std::string(text)};
  JsonValue value;
  TRY(read(reader, value));
  TRY(reader.expect_end());
  return value;
}

void append_json(std::string& out, const JsonValue& value, HtmlEscape html) {
  switch (value.kind) {
    case JsonValue::Kind::kNull:
      out += "null";
      return;
    case JsonValue::Kind::kFalse:
      out += "false";
      return;
    case JsonValue::Kind::kTrue:
      out += "true";
      return;
    case JsonValue::Kind::kNumber:
      out += value.text;
      return;
    case JsonValue::Kind::kString:
      append_json_string(out, value.text, html);
      return;
    case JsonValue::Kind::kArray: {
      out += '[';
      for (const JsonValue& item : value.items) {
        if (&item != &value.items.front()) out += ',';
        append_json(out, item, html);
      }
      out += ']';
      return;
    }
    case JsonValue::Kind::kObject: {
      std::vector<const JsonMember*> sorted;
      sorted.reserve(value.members.size());
      for (const JsonMember& member : value.members) sorted.push_back(&member);
      std::ranges::sort(sorted, {}, [](const JsonMember* member) -> const std::string& { return member->name; });
      out += '{';
      for (const JsonMember* const member : sorted) {
        if (member != sorted.front()) out += ',';
        append_json_string(out, member->name, html);
        out += ':';
        append_json(out, member->value, html);
      }
      out += '}';
      return;
    }
  }
}

}  // namespace caisson::pubsub
