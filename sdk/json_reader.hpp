#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "bus/result.hpp"

namespace caisson::sdk {

/// JSON nested deeper than this is refused.
inline constexpr int kMaxJsonDepth = 256;

/// Reads a JSON text front to back, with the rules and the leniencies of Go's encoding/json, on
/// which Dapr's clients rely: any number that a float64 can approximate, lone surrogates as U+FFFD.
/// (simdjson refuses both.) It owns its text, because a request's bytes may be memory that the peer
/// still can write. Errors are kInvalidArgument and say where; nothing may be read after one.
class JsonReader {
 public:
  enum class Kind : std::uint8_t { kObject, kArray, kString, kNumber, kBool, kNull, kNone };
  /// Must read the member's value.
  using VisitMember = std::function<Result<void>(const std::string& name)>;
  /// Must read the element.
  using VisitElement = std::function<Result<void>()>;

  explicit JsonReader(std::string text) : text_(std::move(text)) {}

  /// What comes next; kNone: nothing that could be a value.
  Kind kind();

  Result<void> read_object(const VisitMember& visit);
  Result<void> read_array(const VisitElement& visit);
  Result<std::string> read_string();
  Result<double> read_number();
  /// A number as it was written, for who must not round it.
  Result<std::string> read_number_text();
  Result<bool> read_bool();
  Result<void> read_null();
  /// Reads and drops a value of any kind.
  Result<void> skip();
  /// Fails when anything but white space is left.
  Result<void> expect_end();

  /// Bytes read so far, for taking a value's own text.
  [[nodiscard]] std::size_t position() const { return at_; }
  [[nodiscard]] std::string_view text() const { return text_; }
  /// "…at byte 17" for errors of the one who reads.
  [[nodiscard]] Error error(std::string_view what) const;

 private:
  void skip_space();
  bool take(char c);
  Result<void> take_word(std::string_view word);
  Result<void> enter();
  bool take_digits();
  Result<void> read_escape(std::string& out);
  Result<std::uint32_t> read_hex4();

  std::string text_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

/// Every byte that is not part of UTF-8 becomes U+FFFD, as in Go's strings.
std::string valid_utf8(std::string text);

}  // namespace caisson::sdk
