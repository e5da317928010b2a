#pragma once

#include <cstdint>
#include <string_view>

namespace caisson {

/// What kind of failure it was. Names and numbers are gRPC's status codes
/// (https://github.com/grpc/grpc/blob/master/doc/statuscodes.md); the number travels on the wire,
/// and each codec has one table from it to its API's own codes.
enum class Errc : std::uint8_t {
  kOk = 0,
  kCancelled = 1,
  kUnknown = 2,
  kInvalidArgument = 3,
  kDeadlineExceeded = 4,
  kNotFound = 5,
  kAlreadyExists = 6,
  kPermissionDenied = 7,
  kResourceExhausted = 8,
  kFailedPrecondition = 9,
  kAborted = 10,
  kOutOfRange = 11,
  kUnimplemented = 12,
  kInternal = 13,
  kUnavailable = 14,
  kDataLoss = 15,
  kUnauthenticated = 16,
};

/// The number as an Errc, kUnknown for a number that is none (it came from a peer).
constexpr Errc errc_from_wire(std::uint8_t number) { return number <= 16 ? static_cast<Errc>(number) : Errc::kUnknown; }

constexpr std::string_view name_of(Errc code) {
  constexpr std::string_view kNames[] = {
      "OK",        "CANCELLED",      "UNKNOWN",           "INVALID_ARGUMENT",   "DEADLINE_EXCEEDED",
      "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION",
      "ABORTED",   "OUT_OF_RANGE",   "UNIMPLEMENTED",     "INTERNAL",           "UNAVAILABLE",
      "DATA_LOSS", "UNAUTHENTICATED"};
  return kNames[static_cast<std::uint8_t>(code)];
}

}  // namespace caisson
