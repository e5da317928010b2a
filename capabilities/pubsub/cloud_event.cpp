#include "capabilities/pubsub/cloud_event.hpp"

#include <algorithm>
#include <charconv>
#include <random>

#include "bus/json_writer.hpp"
#include "sdk/base64.hpp"

namespace caisson::pubsub {

namespace {

constexpr std::string_view kEventType = "com.dapr.event.sent";
constexpr std::string_view kSpecVersion = "1.0";
constexpr std::string_view kCloudEventJson = "application/cloudevents+json";

std::string_view trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

/// One base-128 number of the protobuf wire format; nothing when it is cut off or too long.
std::optional<std::uint64_t> take_varint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 70 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    if (shift < 64) value |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if ((byte & 0x80) == 0) return value;
  }
  return std::nullopt;
}

/// Whether the bytes are a protobuf message whose first fields are those of a CloudEvent: id,
/// source, spec_version and type, all present and all text.
bool is_cloud_event_protobuf(std::string_view bytes) {
  unsigned seen = 0;
  while (!bytes.empty()) {
    const auto key = take_varint(bytes);
    if (!key) return false;
    const std::uint64_t field = *key >> 3;
    switch (*key & 7) {
      case 0:
        if (!take_varint(bytes)) return false;
        break;
      case 1:
      case 5: {
        const std::size_t size = (*key & 7) == 1 ? 8 : 4;
        if (bytes.size() < size) return false;
        bytes.remove_prefix(size);
        break;
      }
      case 2: {
        const auto size = take_varint(bytes);
        if (!size || *size > bytes.size()) return false;
        bytes.remove_prefix(*size);
        if (field >= 1 && field <= 4) seen |= 1U << field;
        break;
      }
      default:
        return false;
    }
  }
  return seen == 0b11110;
}

bool is_binary(std::string_view type, std::string_view data) {
  if (type == "application/octet-stream" || type == "application/cloudevents+protobuf") return true;
  return type == "application/protobuf" && is_cloud_event_protobuf(data);
}

/// What the publisher gave for an attribute of the event, under `name` in the metadata; else `otherwise`.
std::string_view override_of(const MessageMetadata& metadata, std::string_view name, std::string_view otherwise) {
  const std::string* const value = find_metadata(metadata, name);
  return value == nullptr || value->empty() ? otherwise : std::string_view(*value);
}

/// Seconds to live, where the publisher gave a positive number of them.
std::optional<std::chrono::seconds> time_to_live(const MessageMetadata& metadata) {
  const std::string* text = find_metadata(metadata, "ttlInSeconds");
  if (text == nullptr || text->empty()) text = find_metadata(metadata, "ttl");
  if (text == nullptr || text->empty()) return std::nullopt;
  std::int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), seconds);
  if (error != std::errc() || end != text->data() + text->size() || seconds <= 0) return std::nullopt;
  // A century is as good as never, and every later moment can be written.
  return std::chrono::seconds(std::min<std::int64_t>(seconds, std::int64_t{100} * 365 * 86400));
}

/// The moment the event ends, unless the broker sees to that itself; empty: never.
std::string expiration_of(const EventContext& context, const MessageMetadata& metadata) {
  if (context.broker_expires || metadata.empty()) return {};
  const auto ttl = time_to_live(metadata);
  return ttl ? format_rfc3339(context.now + *ttl) : std::string();
}

void write_data(JsonWriter& json, std::string_view type, std::string_view data) {
  if (is_binary(type, data)) {
    json.key("data_base64").value(sdk::base64_encode(data));
    return;
  }
  json.key("data");
  if (type == "application/json") {
    if (const auto parsed = parse_json(data)) {
      json.raw(to_text(*parsed));
      return;
    }
  }
  json.value(data);
}

Result<std::string> complete(const EventContext& context, std::string_view data, const MessageMetadata& metadata) {
  ASSIGN(JsonValue event, parse_json(data));
  if (!event.is_object()) return Error{Errc::kInvalidArgument, "the CloudEvent is not a JSON object"};
  const auto missing = [&](std::string_view name) {
    const JsonValue* const value = event.find(name);
    return value == nullptr || value->is_null();
  };
  event.set("topic", JsonValue::string(context.topic));
  event.set("pubsubname", JsonValue::string(context.pubsub));
  if (missing("time")) event.set("time", JsonValue::string(format_rfc3339(context.now)));
  if (missing("traceid")) {
    event.set("traceid", JsonValue::string(context.traceparent));
    event.set("traceparent", JsonValue::string(context.traceparent));
  }
  if (missing("tracestate")) event.set("tracestate", JsonValue::string(context.tracestate));
  if (missing("source")) event.set("source", JsonValue::string("Dapr"));
  if (missing("type")) event.set("type", JsonValue::string(kEventType));
  if (missing("specversion")) event.set("specversion", JsonValue::string(kSpecVersion));
  const std::string expiration = expiration_of(context, metadata);
  if (!expiration.empty()) event.set("expiration", JsonValue::string(expiration));
  return to_text(event);
}

/// Spreads the bits of a number (the finaliser of SplitMix64).
std::uint64_t mix(std::uint64_t x) {
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31);
}

/// A number of at most that many decimal digits, with zeros before it.
void append_digits(std::string& out, std::int64_t number, std::size_t digits) {
  const std::size_t from = out.size();
  out.append(digits, '0');
  for (std::size_t i = from + digits; i-- > from; number /= 10) out[i] = static_cast<char>('0' + number % 10);
}

bool take_number(std::string_view& text, std::size_t digits, int& out) {
  if (text.size() < digits) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, out);
  if (error != std::errc() || end != text.data() + digits || out < 0) return false;
  text.remove_prefix(digits);
  return true;
}

bool take(std::string_view& text, std::string_view any_of) {
  if (text.empty() || any_of.find(text.front()) == std::string_view::npos) return false;
  text.remove_prefix(1);
  return true;
}

/// "Z" or "+hh:mm", as the seconds to subtract.
std::optional<std::chrono::seconds> take_offset(std::string_view text) {
  if (text == "Z" || text == "z") return std::chrono::seconds(0);
  const bool behind = text.starts_with('-');
  int hours = 0;
  int minutes = 0;
  if (!take(text, "+-") || !take_number(text, 2, hours) || !take(text, ":") || !take_number(text, 2, minutes)) {
    return std::nullopt;
  }
  if (!text.empty() || hours > 23 || minutes > 59) return std::nullopt;
  const auto offset = std::chrono::hours(hours) + std::chrono::minutes(minutes);
  return behind ? -offset : offset;
}

}  // namespace

Result<std::string> wrap(const EventContext& context, std::string_view data, const MessageMetadata& metadata) {
  const std::string type = media_type(context.content_type);
  if (type == kCloudEventJson) return complete(context, data, metadata);

  // Both members carry the same context; the name of the standard wins over the older one.
  const std::string_view older = override_of(metadata, "cloudevent.traceid", context.traceparent);
  const std::string_view traceparent = override_of(metadata, "cloudevent.traceparent", older);
  const std::string_view subject = override_of(metadata, "cloudevent.subject", {});
  const std::string expiration = expiration_of(context, metadata);

  JsonWriter json(HtmlEscape::kYes);
  json.begin_object();
  write_data(json, type, data);
  json.key("datacontenttype").value(context.content_type.empty() ? "text/plain" : context.content_type);
  if (!expiration.empty()) json.key("expiration").value(expiration);
  json.key("id").value(override_of(metadata, "cloudevent.id", context.id));
  json.key("pubsubname").value(context.pubsub);
  json.key("source").value(override_of(metadata, "cloudevent.source", context.app));
  json.key("specversion").value(kSpecVersion);
  if (!subject.empty()) json.key("subject").value(subject);
  json.key("time").value(format_rfc3339(context.now));
  json.key("topic").value(context.topic);
  json.key("traceid").value(traceparent).key("traceparent").value(traceparent);
  json.key("tracestate").value(override_of(metadata, "cloudevent.tracestate", context.tracestate));
  json.key("type").value(override_of(metadata, "cloudevent.type", kEventType));
  json.end_object();
  return json.take();
}

std::string to_text(const JsonValue& event) {
  std::string out;
  append_json(out, event, HtmlEscape::kYes);
  return out;
}

JsonValue raw_event(const EventContext& context, std::string_view data) {
  JsonValue event = JsonValue::object();
  event.set("id", JsonValue::string(context.id));
  event.set("specversion", JsonValue::string(kSpecVersion));
  event.set("datacontenttype", JsonValue::string("application/octet-stream"));
  event.set("source", JsonValue::string("Dapr"));
  event.set("type", JsonValue::string(kEventType));
  event.set("topic", JsonValue::string(context.topic));
  event.set("pubsubname", JsonValue::string(context.pubsub));
  event.set("data_base64", JsonValue::string(sdk::base64_encode(data)));
  if (!context.traceparent.empty()) {
    event.set("traceid", JsonValue::string(context.traceparent));
    event.set("traceparent", JsonValue::string(context.traceparent));
  }
  if (!context.tracestate.empty()) event.set("tracestate", JsonValue::string(context.tracestate));
  return event;
}

std::string event_id(const RequestId& request, std::uint64_t index) {
  std::uint64_t high = 0;
  std::uint64_t low = 0;
  if (request == RequestId{}) {
    std::random_device source;
    high = (std::uint64_t{source()} << 32) | source();
    low = (std::uint64_t{source()} << 32) | source();
  } else {
    // Two chains over the same three numbers; mix() is a bijection, so the first alone already
    // differs for requests of one gateway incarnation and slot.
    high = mix(mix(mix(request.incarnation) ^ request.slot) ^ request.generation);
    low = mix(mix(mix(request.generation ^ 0xA5A5A5A5A5A5A5A5ULL) ^ request.incarnation) ^ request.slot);
    low += index * 0x9E3779B97F4A7C15ULL;
  }
  high = (high & ~0xF000ULL) | 0x4000ULL;
  low = (low & ~(0x3ULL << 62)) | (0x2ULL << 62);
  std::string id;
  id.reserve(36);
  append_hex(id, high >> 32, 8);
  append_hex(id += '-', high >> 16, 4);
  append_hex(id += '-', high, 4);
  append_hex(id += '-', low >> 48, 4);
  append_hex(id += '-', low, 12);
  return id;
}

void append_hex(std::string& out, std::uint64_t number, int digits) {
  while (digits-- > 0) out += "0123456789abcdef"[(number >> (4 * digits)) & 15];
}

std::string media_type(std::string_view content_type) {
  std::string type(trim(content_type.substr(0, content_type.find(';'))));
  for (char& c : type) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return type;
}

std::string format_rfc3339(WallTime time) {
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<std::chrono::seconds>(time - day));
  std::string text;
  text.reserve(20);
  append_digits(text, static_cast<int>(date.year()), 4);
  append_digits(text += '-', static_cast<unsigned>(date.month()), 2);
  append_digits(text += '-', static_cast<unsigned>(date.day()), 2);
  append_digits(text += 'T', clock.hours().count(), 2);
  append_digits(text += ':', clock.minutes().count(), 2);
  append_digits(text += ':', clock.seconds().count(), 2);
  text += 'Z';
  return text;
}

std::optional<WallTime> parse_rfc3339(std::string_view text) {
  int year = 0;
  int month = 0;
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  const bool whole = take_number(text, 4, year) && take(text, "-") && take_number(text, 2, month) && take(text, "-") &&
                     take_number(text, 2, day) && take(text, "Tt ") && take_number(text, 2, hour) && take(text, ":") &&
                     take_number(text, 2, minute) && take(text, ":") && take_number(text, 2, second);
  if (!whole || hour > 23 || minute > 59 || second > 60) return std::nullopt;
  if (take(text, ".")) {
    if (text.empty() || text.front() < '0' || text.front() > '9') return std::nullopt;
    while (!text.empty() && text.front() >= '0' && text.front() <= '9') text.remove_prefix(1);
  }
  const auto offset = take_offset(text);
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  // system_clock counts nanoseconds in 64 bits: it ends in 2262.
  if (!offset || !date.ok() || year < 1700 || year > 2261) return std::nullopt;
  return std::chrono::sys_days(date) + std::chrono::hours(hour) + std::chrono::minutes(minute) +
         std::chrono::seconds(second) - *offset;
}

bool has_expired(const JsonValue& event, WallTime now) {
  const auto moment = parse_rfc3339(event.text_of("expiration"));
  return moment && *moment < now;
}

std::optional<bool> parse_strict_bool(std::string_view text) {
  for (const std::string_view word : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (text == word) return true;
  }
  for (const std::string_view word : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (text == word) return false;
  }
  return std::nullopt;
}

const std::string* find_metadata(const MessageMetadata& metadata, std::string_view name) {
  for (const auto& [key, value] : metadata) {
    if (equal_ignoring_case(key, name)) return &value;
  }
  return nullptr;
}

}  // namespace caisson::pubsub
