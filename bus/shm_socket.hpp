#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "bus/file_descriptor.hpp"
#include "bus/result.hpp"
#include "bus/shm_layout.hpp"
#include "bus/shm_memory.hpp"

namespace caisson::shm {

/// The SOCK_SEQPACKET connection between two lanes: what lets each see the other's end, and carries
/// descriptors. Never waits.
class ControlSocket {
 public:
  ControlSocket() = default;
  explicit ControlSocket(FileDescriptor fd) : fd_(std::move(fd)) {}
  /// kResourceExhausted: too many wait there already, try again. kUnavailable: nobody listens.
  static Result<ControlSocket> connect(const std::string& path);

  [[nodiscard]] int fd() const { return fd_.get(); }
  [[nodiscard]] bool open() const { return fd_.valid(); }
  void close() { fd_.reset(); }

  /// kResourceExhausted: no room in the socket, nothing was sent. kUnavailable: the peer is gone.
  Result<void> send(const HandOver& message, int memory, int bell);
  Result<void> send(const Control& message, int memory = -1);

  struct Received {
    enum class What : std::uint8_t { kNothing, kEnd, kMessage, kRefused };
    What what = What::kNothing;
    std::array<char, 64> bytes{};
    std::size_t size = 0;
    std::array<FileDescriptor, 2> fds;
    std::size_t fd_count = 0;
  };
  Received receive();

 private:
  Result<void> send_bytes(const void* bytes, std::size_t size, const int* fds, std::size_t count);

  FileDescriptor fd_;
};

/// What a peer handed over, mapped.
struct PeerEnd {
  Mapping base;
  FileDescriptor bell;  // rung by the peer
};

/// Checks the first message of a peer: kInvalidArgument with the reason, kFailedPrecondition for another
/// version.
Result<PeerEnd> take_hand_over(ControlSocket::Received message);
/// Checks the form of any further message; what it means is the inbox's business.
Result<Control> parse_control(const ControlSocket::Received& message);

}  // namespace caisson::shm
