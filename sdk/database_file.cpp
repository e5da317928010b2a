#include "sdk/database_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>
#include <utility>

namespace caisson::sdk {

namespace {

Error held(const std::string& path) {
  return {Errc::kAlreadyExists, fmt::format("{} is open in another component or process", path)};
}

}  // namespace

FileLock::FileLock(FileLock&& other) noexcept : fd_(std::exchange(other.fd_, -1)), alone_(other.alone_) {}

FileLock& FileLock::operator=(FileLock&& other) noexcept {
  if (this != &other) {
    if (fd_ >= 0) ::close(fd_);
    fd_ = std::exchange(other.fd_, -1);
    alone_ = other.alone_;
  }
  return *this;
}

FileLock::~FileLock() {
  if (fd_ >= 0) ::close(fd_);
}

Result<FileLock> FileLock::open(const std::string& path) {
  const std::string name = path + ".lock";
  const int fd = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return Error{Errc::kUnavailable, fmt::format("{}: {}", name, std::strerror(errno))};
  return FileLock(fd);
}

Result<FileLock> FileLock::take(const std::string& path) {
  ASSIGN(FileLock lock, open(path));
  if (::flock(lock.fd_, LOCK_EX | LOCK_NB) != 0) return held(path);
  return lock;
}

Result<FileLock> FileLock::take_shared(const std::string& path) {
  ASSIGN(FileLock lock, open(path));
  lock.alone_ = ::flock(lock.fd_, LOCK_EX | LOCK_NB) == 0;
  if (!lock.alone_ && ::flock(lock.fd_, LOCK_SH | LOCK_NB) != 0) return held(path);
  return lock;
}

Result<void> FileLock::share() {
  // Not one step for the kernel: it lets go first.
  if (::flock(fd_, LOCK_SH | LOCK_NB) != 0) return Error{Errc::kAlreadyExists, "another process was quicker"};
  alone_ = false;
  return ok();
}

Result<std::string> move_aside(const std::string& path, const std::string& utc) {
  std::string target = fmt::format("{}.damaged-{}", path, utc);
  for (int again = 2; ::access(target.c_str(), F_OK) == 0; ++again) {
    target = fmt::format("{}.damaged-{}-{}", path, utc, again);
  }
  // The database itself last: if this is interrupted, it is found damaged again and nothing is lost.
  for (const char* const suffix : {"-wal", "-shm", ""}) {
    const std::string from = path + suffix;
    const std::string to = target + suffix;
    if (std::rename(from.c_str(), to.c_str()) != 0 && errno != ENOENT) {
      return Error{Errc::kUnavailable,
                   fmt::format("{} is damaged and cannot be moved aside: {}", from, std::strerror(errno))};
    }
  }
  return target;
}

Result<std::string> database_path(const Context& context, const ComponentSpec& spec) {
  const std::string text = spec.metadata.get("connectionString");
  std::string_view given = text;
  if (given.starts_with("file:")) given.remove_prefix(5);
  given = given.substr(0, given.find('?'));
  if (!given.empty()) return std::string(given);
  if (context.data_dir().empty()) {
    return Error{Errc::kInvalidArgument, "metadata 'connectionString' is empty, and there is no data directory"};
  }
  if (spec.name.find('/') != std::string::npos) {
    return Error{Errc::kInvalidArgument, "a component's name must not hold '/'"};
  }
  if (::mkdir(context.data_dir().c_str(), 0700) != 0 && errno != EEXIST) {
    return Error{Errc::kUnavailable, fmt::format("{}: {}", context.data_dir(), std::strerror(errno))};
  }
  return fmt::format("{}/{}.db", context.data_dir(), spec.name);
}

}  // namespace caisson::sdk
