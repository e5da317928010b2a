#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace caisson::gateway {

/// The W3C trace context of one request: the client's trace continued with a span of our own, or a
/// new trace.
struct TraceContext {
  /// "00-<trace>-<span>-<flags>"; empty where tracing is off.
  std::string_view traceparent() const { return {text.data(), size}; }
  bool sampled() const { return size != 0 && text[size - 1] == '1'; }

  std::array<char, 55> text{};
  std::size_t size = 0;
};

/// Makes the trace context of requests. One thread.
class Tracer {
 public:
  /// `rate` from 0 (tracing is off) to 1: how many of the traces that begin here are sampled,
  /// chosen by the trace id, so that every runtime chooses the same.
  explicit Tracer(double rate = 0.0001);
  void set_rate(double rate);

  /// A child of the client's `traceparent`, or a new trace where that is absent or invalid.
  TraceContext begin(std::string_view traceparent);

 private:
  std::uint64_t random();

  double rate_ = 0;
  std::uint64_t threshold_ = 0;
  std::uint64_t state_;
};

/// gRPC's binary form of a context (OpenCensus BinaryEncoding, version 0): 29 bytes, from and to the
/// text. Empty where the bytes are none.
std::string binary_trace(const TraceContext& context);
std::string traceparent_of_binary(std::string_view bytes);

/// True for a traceparent header of W3C Trace Context, version 00 or a later one.
bool is_traceparent(std::string_view value);

/// True for a `baggage` header of W3C Baggage: at most 64 members and 8192 bytes.
bool is_baggage(std::string_view value);

}  // namespace caisson::gateway
