#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace caisson {

enum class HtmlEscape : bool { kNo, kYes };

/// Appends `text` as a JSON string with its quotes. Bytes that are not UTF-8 become U+FFFD. With
/// kYes also `<`, `>`, `&`, U+2028 and U+2029 are escaped, as Go's encoding/json does.
void append_json_string(std::string& out, std::string_view text, HtmlEscape html = HtmlEscape::kNo);

/// How many bytes at the front of `text` may stand in a JSON string as they are: ASCII that needs no escape.
std::size_t plain_json_length(std::string_view text, HtmlEscape html = HtmlEscape::kNo);

/// Builds a JSON text front to back: begin/end must pair, commas are written by themselves.
///
///   JsonWriter json;
///   json.begin_object().key("id").value("shop").key("ready").value(true).end_object();
class JsonWriter {
 public:
  explicit JsonWriter(HtmlEscape html = HtmlEscape::kNo) : html_(html) {}

  JsonWriter& begin_object();
  JsonWriter& end_object();
  JsonWriter& begin_array();
  JsonWriter& end_array();
  JsonWriter& key(std::string_view name);
  JsonWriter& value(std::string_view text);
  JsonWriter& value(const char* text) { return value(std::string_view(text)); }
  JsonWriter& value(const std::string& text) { return value(std::string_view(text)); }
  JsonWriter& value(bool flag);
  JsonWriter& value(std::int64_t number);
  JsonWriter& value(std::uint64_t number);
  JsonWriter& value(int number) { return value(static_cast<std::int64_t>(number)); }
  JsonWriter& value(unsigned number) { return value(static_cast<std::uint64_t>(number)); }
  JsonWriter& value(double number);
  JsonWriter& null();
  /// Text that is JSON already.
  JsonWriter& raw(std::string_view json);

  [[nodiscard]] const std::string& text() const { return out_; }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  void separate();
  HtmlEscape html_;
  bool first_ = true;
  std::string out_;
};

}  // namespace caisson
