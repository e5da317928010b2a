#include "capabilities/state/sqlite_turn.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <thread>
#include <utility>

namespace caisson::state {

namespace {

constexpr off_t kNext = 0;
constexpr off_t kTurn = 1;
/// A blocking wait could not be given up. A commit takes longer than this.
constexpr Nanos kLook = std::chrono::microseconds(200);

bool set(int fd, off_t byte, short type) {
  struct flock range {};
  range.l_type = type;
  range.l_whence = SEEK_SET;
  range.l_start = byte;
  range.l_len = 1;
  return ::fcntl(fd, F_OFD_SETLK, &range) == 0;
}

bool lock_until(int fd, off_t byte, std::chrono::steady_clock::time_point until) {
  while (!set(fd, byte, F_WRLCK)) {
    if (std::chrono::steady_clock::now() >= until) return false;
    std::this_thread::sleep_for(kLook);
  }
  return true;
}

}  // namespace

SqliteTurn::SqliteTurn(SqliteTurn&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

SqliteTurn& SqliteTurn::operator=(SqliteTurn&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

SqliteTurn::~SqliteTurn() {
  if (fd_ >= 0) ::close(fd_);
}

Result<SqliteTurn> SqliteTurn::open(const std::string& path) {
  const std::string name = path + ".lock";
  const int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Error{Errc::kUnavailable, fmt::format("{}: {}", name, std::strerror(errno))};
  return SqliteTurn(fd);
}

void SqliteTurn::take(Nanos patience) {
  if (fd_ < 0) return;
  const auto until = std::chrono::steady_clock::now() + patience;
  if (!lock_until(fd_, kNext, until)) return;
  lock_until(fd_, kTurn, until);
  set(fd_, kNext, F_UNLCK);
}

void SqliteTurn::give_back() {
  if (fd_ >= 0) set(fd_, kTurn, F_UNLCK);
}

}  // namespace caisson::state
