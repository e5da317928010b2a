#pragma once

#include <flatbuffers/flatbuffers.h>

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "bus/result.hpp"
#include "bus/schema/frame_generated.h"

namespace caisson {

/// Version of bus/schema/frame.fbs. A peer with this one, the one before or the one after is
/// understood; anything else is refused at HELLO.
inline constexpr std::uint16_t kSchemaVersion = 1;

inline constexpr std::size_t kEnvelopeAlignment = 8;
inline constexpr std::size_t kMaxEnvelope = 64 * 1024;
inline constexpr std::size_t kMaxPayload = 16 * 1024 * 1024;
inline constexpr std::uint8_t kMaxHops = 3;

/// Bits of Envelope.flags.
enum Flag : std::uint16_t {
  /// The body goes on in StreamData frames after this one.
  kStreamed = 1,
  /// A stream frame of an exchange that the capability began (a Call).
  kOfCall = 2,
  /// From the side that began the exchange; else from the side that answers.
  kFromAsker = 4,
};

/// A name with its value: a header, a path parameter.
struct Field {
  Field() = default;
  Field(std::string_view n, std::string_view v) : name(n), value(v) {}
  /// A view of a pair that outlives it.
  Field(const std::pair<std::string, std::string>& pair) : name(pair.first), value(pair.second) {}  // NOLINT

  std::string_view name;
  std::string_view value;
};

/// A view of names and values that somebody else keeps: of Fields or of pairs of strings.
class FieldSpan {
 public:
  using Pair = std::pair<std::string, std::string>;

  FieldSpan() = default;
  template <class Range>
  requires std::is_convertible_v<const Range&, std::span<const Field>> FieldSpan(const Range& fields)
      : FieldSpan(std::span<const Field>(fields)) {}
  template <class Range>
  requires std::is_convertible_v<const Range&, std::span<const Pair>> FieldSpan(const Range& pairs)
      : FieldSpan(std::span<const Pair>(pairs)) {}

  [[nodiscard]] std::size_t size() const { return size_; }
  [[nodiscard]] bool empty() const { return size_ == 0; }
  [[nodiscard]] Field operator[](std::size_t index) const {
    return are_pairs_ ? Field(static_cast<const Pair*>(first_)[index]) : static_cast<const Field*>(first_)[index];
  }

  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = Field;
    using difference_type = std::ptrdiff_t;
    using pointer = const Field*;
    using reference = Field;

    Iterator(const FieldSpan& span, std::size_t index) : span_(&span), index_(index) {}
    Field operator*() const { return (*span_)[index_]; }
    Iterator& operator++() {
      ++index_;
      return *this;
    }
    bool operator==(const Iterator& other) const { return index_ == other.index_; }

   private:
    const FieldSpan* span_;
    std::size_t index_;
  };
  [[nodiscard]] Iterator begin() const { return {*this, 0}; }
  [[nodiscard]] Iterator end() const { return {*this, size_}; }

 private:
  explicit FieldSpan(std::span<const Field> fields) : first_(fields.data()), size_(fields.size()) {}
  explicit FieldSpan(std::span<const Pair> pairs) : first_(pairs.data()), size_(pairs.size()), are_pairs_(true) {}

  const void* first_ = nullptr;
  std::size_t size_ = 0;
  bool are_pairs_ = false;
};

/// The request's identity for ledgers; all zero where a request has none.
struct RequestId {
  std::uint64_t incarnation = 0;
  std::uint64_t generation = 0;
  std::uint32_t slot = 0;
  bool operator==(const RequestId&) const = default;
};

/// What is written into an envelope. Views: whoever publishes keeps them alive during the call.
struct Envelope {
  wire::Kind kind = wire::Kind::None;
  std::uint16_t version = kSchemaVersion;
  std::uint16_t flags = 0;
  std::uint64_t id = 0;
  RequestId request;
  std::uint16_t route = 0;
  std::string_view target;
  std::string_view app;
  std::uint64_t deadline_ns = 0;
  std::uint64_t timeout_ns = 0;
  std::uint8_t hops = 0;
  std::uint16_t status = 0;
  Errc error = Errc::kOk;
  std::string_view message;
  std::uint32_t credit = 0;
  std::string_view method;
  std::string_view path;
  std::string_view query;
  std::string_view traceparent;
  std::string_view tracestate;
  FieldSpan parameters;
  FieldSpan headers;
  FieldSpan trailers;
};

/// Writes the envelope with `builder` (cleared first); the bytes are valid until its next use.
std::span<const std::uint8_t> encode(flatbuffers::FlatBufferBuilder& builder, const Envelope& envelope);

/// Checks bytes that another process wrote: size, FlatBuffers structure (depth 16, 256 tables),
/// identifier, a kind, names and values in pairs. Only what passed may be read. The pointer points
/// into `bytes`, which begin at a multiple of kEnvelopeAlignment.
Result<const wire::Envelope*> verify_envelope(std::span<const std::uint8_t> bytes);

/// A string of a verified envelope, empty when absent.
inline std::string_view text(const flatbuffers::String* string) {
  return string == nullptr ? std::string_view() : std::string_view(string->c_str(), string->size());
}

/// The name/value pairs of a verified envelope, readable with a range-for.
class Fields {
 public:
  using Vector = flatbuffers::Vector<flatbuffers::Offset<flatbuffers::String>>;
  explicit Fields(const Vector* vector) : vector_(vector) {}

  class Iterator {
   public:
    Iterator(const Vector* vector, std::uint32_t index) : vector_(vector), index_(index) {}
    Field operator*() const { return {text(vector_->Get(index_)), text(vector_->Get(index_ + 1))}; }
    Iterator& operator++() {
      index_ += 2;
      return *this;
    }
    bool operator!=(const Iterator& other) const { return index_ != other.index_; }

   private:
    const Vector* vector_;
    std::uint32_t index_;
  };

  [[nodiscard]] Iterator begin() const { return {vector_, 0}; }
  [[nodiscard]] Iterator end() const { return {vector_, vector_ == nullptr ? 0 : vector_->size()}; }
  [[nodiscard]] std::size_t size() const { return vector_ == nullptr ? 0 : vector_->size() / 2; }
  /// The first value under `name`, compared without regard to ASCII case; empty when there is none.
  [[nodiscard]] std::string_view get(std::string_view name) const;
  [[nodiscard]] bool has(std::string_view name) const;

 private:
  const Vector* vector_;
};

/// Of two texts of one length, case aside.
bool same_letters(std::string_view a, std::string_view b);

/// ASCII only, as header names are.
inline bool equal_ignoring_case(std::string_view a, std::string_view b) {
  // Most names that are compared differ in length: that much without a call.
  return a.size() == b.size() && same_letters(a, b);
}

inline RequestId request_id(const wire::Envelope& envelope) {
  const auto* id = envelope.request();
  return id == nullptr ? RequestId{} : RequestId{id->incarnation(), id->generation(), id->slot()};
}

}  // namespace caisson
