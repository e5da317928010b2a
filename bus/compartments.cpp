#include "bus/compartments.hpp"

#include <simdjson.h>

#include <algorithm>

#include "bus/json_fields.hpp"
#include "bus/json_writer.hpp"

namespace caisson {

namespace {

constexpr std::size_t kLongestName = 24;
constexpr std::string_view kNameCharacters = "abcdefghijklmnopqrstuvwxyz0123456789-";

Error bad(std::string_view member, std::string_view what) {
  return {Errc::kInvalidArgument, fmt::format("compartments: {} {}", member, what)};
}

template <class Value>
Result<void> read(simdjson::dom::object from, std::string_view member, Value& to) {
  if (const auto wrong = json::read_member(from, member, to)) return bad(member, *wrong);
  return ok();
}

void write_names(JsonWriter& json, std::string_view key, const std::vector<std::string>& names) {
  json.key(key).begin_array();
  for (const std::string& name : names) json.value(name);
  json.end_array();
}

}  // namespace

bool is_compartment_name(std::string_view text) {
  return !text.empty() && text.size() <= kLongestName &&
         text.find_first_not_of(kNameCharacters) == std::string_view::npos;
}

std::string process_of(std::string_view audience) {
  std::string process(audience);
  std::ranges::replace(process, '/', '.');
  return process;
}

std::string audience_of(std::string_view process) {
  std::string audience(process);
  std::ranges::replace(audience, '.', '/');
  return audience;
}

std::string_view capability_of(std::string_view process_or_audience) {
  return process_or_audience.substr(0, process_or_audience.find_first_of("./"));
}

std::string_view compartment_of(std::string_view process_or_audience) {
  const std::size_t at = process_or_audience.find_first_of("./");
  return at == std::string_view::npos ? std::string_view() : process_or_audience.substr(at + 1);
}

std::string to_json(const std::vector<Compartment>& compartments) {
  JsonWriter json;
  json.begin_array();
  for (const Compartment& compartment : compartments) {
    json.begin_object().key("capability").value(compartment.capability).key("name").value(compartment.name);
    write_names(json, "types", compartment.types);
    write_names(json, "components", compartment.components);
    json.end_object();
  }
  json.end_array();
  return json.take();
}

Result<std::vector<Compartment>> parse_compartments(std::string_view json) {
  if (json.size() > kLargestCompartmentList) return bad("the list", "is too long");
  simdjson::dom::parser parser;
  simdjson::dom::array list;
  if (parser.parse(json.data(), json.size()).get(list) != simdjson::SUCCESS) return bad("the list", "is no JSON list");
  std::vector<Compartment> compartments;
  for (const simdjson::dom::element entry : list) {
    simdjson::dom::object from;
    if (entry.get(from) != simdjson::SUCCESS) return bad("an entry", "is no object");
    if (compartments.size() == kMostCompartments) return bad("the list", "has too many entries");
    Compartment one;
    TRY(read(from, "capability", one.capability));
    TRY(read(from, "name", one.name));
    TRY(read(from, "types", one.types));
    TRY(read(from, "components", one.components));
    if (!is_compartment_name(one.capability)) return bad("capability", "is no name of a capability");
    if (!is_compartment_name(one.name)) return bad("name", "must be 1 to 24 lower-case letters, digits and '-'");
    const bool twice = std::ranges::any_of(compartments, [&](const Compartment& other) {
      return other.capability == one.capability && other.name == one.name;
    });
    if (twice) return bad("name", fmt::format("'{}' stands there twice", one.process()));
    compartments.push_back(std::move(one));
  }
  return compartments;
}

}  // namespace caisson
