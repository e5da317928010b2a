#include "capabilities/lock/dapr_json.hpp"

#include <fmt/format.h>
#include <simdjson.h>

#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <vector>

namespace caisson::lock {

namespace {

using Element = simdjson::dom::element;

struct Member {
  std::string_view name;        // lower camel case
  std::string_view proto_name;  // as in the .proto file
  std::function<bool(Element)> read;
  std::string_view kind;
  bool seen = false;
};

Error bad(std::string message) { return {Errc::kInvalidArgument, std::move(message)}; }

bool read_text(Element from, std::string& to) {
  std::string_view text;
  if (from.get(text) != simdjson::SUCCESS) return false;
  to = text;
  return true;
}

bool read_whole(double number, std::int32_t& to) {
  using Limits = std::numeric_limits<std::int32_t>;
  if (!(number >= Limits::min() && number <= Limits::max()) || std::trunc(number) != number) return false;
  to = static_cast<std::int32_t>(number);
  return true;
}

/// A number, or a number within a text; "1e2" is one hundred.
bool read_int32(Element from, std::int32_t& to) {
  std::string_view text;
  double number = 0;
  if (from.get(text) != simdjson::SUCCESS) return from.get(number) == simdjson::SUCCESS && read_whole(number, to);
  const char* const end = text.data() + text.size();
  const auto parsed = std::from_chars(text.data(), end, number);
  return !text.empty() && parsed.ec == std::errc() && parsed.ptr == end && read_whole(number, to);
}

Result<void> read_member(std::vector<Member>& members, std::string_view name, Element value) {
  for (Member& member : members) {
    if (name != member.name && name != member.proto_name) continue;
    if (std::exchange(member.seen, true)) return bad(fmt::format("duplicate field \"{}\"", name));
    if (!value.is_null() && !member.read(value)) {
      return bad(fmt::format("invalid value for {} field {}", member.kind, member.name));
    }
  }
  return ok();
}

Result<void> read_message(std::string_view body, std::vector<Member> members) {
  if (body.empty()) return ok();
  simdjson::dom::parser parser;
  Element root;
  // A copy, padded: the request's own bytes may be memory that the peer still can write.
  if (const auto failed = parser.parse(body.data(), body.size(), true).get(root); failed != simdjson::SUCCESS) {
    return bad(simdjson::error_message(failed));
  }
  simdjson::dom::object object;
  if (root.get(object) != simdjson::SUCCESS) return bad("the body is not an object");
  for (const auto& [name, value] : object) TRY(read_member(members, name, value));
  return ok();
}

/// What both messages hold. The store's name is in the path, but must be a text here as well.
std::vector<Member> members_of(std::string& resource, std::string& owner, std::string& ignored_store) {
  const auto text = [](std::string& to) { return [&to](Element from) { return read_text(from, to); }; };
  return {{"storeName", "store_name", text(ignored_store), "string"},
          {"resourceId", "resource_id", text(resource), "string"},
          {"lockOwner", "lock_owner", text(owner), "string"}};
}

}  // namespace

Result<TryLock> parse_try_lock(std::string_view body) {
  TryLock lock;
  std::string ignored_store;
  auto members = members_of(lock.resource, lock.owner, ignored_store);
  const auto read_expiry = [&lock](Element from) { return read_int32(from, lock.expiry_seconds); };
  members.push_back({"expiryInSeconds", "expiry_in_seconds", read_expiry, "int32"});
  TRY(read_message(body, std::move(members)));
  return lock;
}

Result<Unlock> parse_unlock(std::string_view body) {
  Unlock unlock;
  std::string ignored_store;
  TRY(read_message(body, members_of(unlock.resource, unlock.owner, ignored_store)));
  return unlock;
}

}  // namespace caisson::lock
