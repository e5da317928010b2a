#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "bus/result.hpp"

namespace caisson {

/// Where a lane's peer is: `inproc://NAME`, `ipc://PATH`, `tcp://HOST:PORT` or `shm://PATH`.
struct Address {
  enum class Scheme : std::uint8_t { kInproc, kIpc, kTcp, kShm };

  Scheme scheme = Scheme::kInproc;
  /// What follows `://`.
  std::string rest;

  [[nodiscard]] std::string text() const;
  /// False where the peer may run on another host, whose monotonic clock is another one.
  [[nodiscard]] bool same_host() const { return scheme != Scheme::kTcp; }

  bool operator==(const Address&) const = default;
};

/// kInvalidArgument, with the address in the message, for anything that is none. An ipc path fits
/// into a sockaddr_un and is a file (no abstract socket: those have no permissions); a tcp host is
/// a name, a number, `[IPv6]` or `*`, its port 0 to 65535 or `*`.
Result<Address> parse_address(std::string_view text);

}  // namespace caisson
