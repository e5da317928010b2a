#include "config-cache/snapshot_header.hpp"

#include <fmt/format.h>

namespace caisson::config {

namespace {

constexpr std::string_view kMagic = "CSNG";
constexpr std::size_t kVersionAt = 4;
constexpr std::size_t kLengthAt = 8;
constexpr std::size_t kChecksumAt = 16;
static_assert(kChecksumAt + sizeof(std::uint64_t) == kSnapshotHeader);

void put(std::string& out, std::uint64_t number, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) out.push_back(static_cast<char>(number >> (8 * i)));
}

std::uint64_t get(std::string_view bytes, std::size_t at, std::size_t size) {
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < size; ++i) {
    number |= static_cast<std::uint64_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  }
  return number;
}

/// FNV-1a goes on from `state`; each step is a bijection, so no single changed byte stays unseen.
std::uint64_t fnv1a(std::string_view bytes, std::uint64_t state = 0xcbf29ce484222325) {
  for (const char c : bytes) {
    state = (state ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return state;
}

}  // namespace

std::string seal(std::string_view body) {
  std::string out(kMagic);
  out.reserve(kSnapshotHeader + body.size());
  put(out, kSnapshotVersion, 2);
  put(out, 0, 2);
  put(out, body.size(), 8);
  put(out, fnv1a(body, fnv1a(out)), 8);
  out.append(body);
  return out;
}

Result<std::string_view> unseal(std::string_view bytes) {
  if (!bytes.starts_with(kMagic)) return Error{Errc::kInvalidArgument, "bytes are no configuration snapshot"};
  if (bytes.size() < kSnapshotHeader) return Error{Errc::kDataLoss, "snapshot ends within its header"};
  const std::uint64_t version = get(bytes, kVersionAt, 2);
  if (version != kSnapshotVersion) {
    return Error{Errc::kInvalidArgument, fmt::format("snapshot of unknown version {}", version)};
  }
  const std::string_view body = bytes.substr(kSnapshotHeader);
  const std::uint64_t length = get(bytes, kLengthAt, 8);
  if (length != body.size()) {
    return Error{Errc::kDataLoss, fmt::format("snapshot has {} bytes, its header says {}", body.size(), length)};
  }
  if (get(bytes, kChecksumAt, 8) != fnv1a(body, fnv1a(bytes.substr(0, kChecksumAt)))) {
    return Error{Errc::kDataLoss, "checksum of the snapshot does not match"};
  }
  return body;
}

}  // namespace caisson::config
