#pragma once

#include <sys/socket.h>

#include <string>

#include "bus/result.hpp"

namespace caisson {

/// A Unix socket that listens at a path, made so that only its owner can connect (and, in a
/// set-group-ID folder, the folder's group: how a capability of another user gets in), that a file left
/// by a killed process is replaced, and that two processes never take it from each other: whoever
/// holds the lock on `PATH.lock` owns the path. The lock file stays, the socket file is removed in
/// the end.
class SocketFile {
 public:
  /// kAlreadyExists, with the path, when another holder is alive.
  static Result<SocketFile> listen(const std::string& path) { return listen(path, SOCK_STREAM); }
  /// `type`: SOCK_STREAM or SOCK_SEQPACKET.
  static Result<SocketFile> listen(const std::string& path, int type);
  SocketFile(SocketFile&& other) noexcept;
  SocketFile& operator=(SocketFile&& other) noexcept;
  ~SocketFile() { close(); }

  /// The caller closes it.
  [[nodiscard]] int take_listening_fd();

 private:
  SocketFile(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}
  Result<void> bind(int type);
  void close();

  std::string path_;
  int lock_fd_ = -1;
  int listening_fd_ = -1;
};

}  // namespace caisson
