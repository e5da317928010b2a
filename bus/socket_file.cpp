#include "bus/socket_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace caisson {

namespace {

constexpr int kBacklog = 128;

/// 0660 where the folder is set-group-ID: its group was put there to connect. Else 0600.
mode_t mode_in_folder_of(const std::string& path) {
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  struct stat about {};
  return ::stat(folder.c_str(), &about) == 0 && (about.st_mode & S_ISGID) != 0 ? 0660 : 0600;
}

Error failure(const std::string& what, const std::string& path) {
  Errc code = Errc::kInternal;
  if (errno == EACCES || errno == EPERM || errno == EROFS) code = Errc::kPermissionDenied;
  if (errno == ENOENT || errno == ENOTDIR) code = Errc::kNotFound;
  if (errno == EMFILE || errno == ENFILE || errno == ENOSPC) code = Errc::kResourceExhausted;
  return {code, what + " " + path + ": " + std::strerror(errno)};
}

}  // namespace

Result<SocketFile> SocketFile::listen(const std::string& path, int type) {
  const std::string lock_path = path + ".lock";
  const int lock_fd = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (lock_fd < 0) return failure("cannot open", lock_path);
  SocketFile file(path, lock_fd);
  if (::flock(lock_fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return failure("cannot lock", lock_path);
    file.path_.clear();  // not ours to remove
    return Error{Errc::kAlreadyExists, "another process listens on " + path};
  }
  TRY(file.bind(type));
  return file;
}

Result<void> SocketFile::bind(int type) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path_.size() >= sizeof address.sun_path) {
    return Error{Errc::kInvalidArgument, "path is too long for a socket: " + path_};
  }
  std::memcpy(address.sun_path, path_.data(), path_.size());
  listening_fd_ = ::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listening_fd_ < 0) return failure("cannot open a socket for", path_);
  // The file takes its mode from the socket: it is never open to others, not for a moment.
  if (::fchmod(listening_fd_, mode_in_folder_of(path_)) != 0) return failure("cannot restrict", path_);
  struct stat found {};
  if (::lstat(path_.c_str(), &found) == 0) {
    if (!S_ISSOCK(found.st_mode)) {
      const Error error{Errc::kAlreadyExists, "a file that is no socket is in the way: " + path_};
      path_.clear();
      return error;
    }
    if (::unlink(path_.c_str()) != 0) return failure("cannot replace", path_);
  }
  const mode_t umask_before = ::umask(0);
  const int bound = ::bind(listening_fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  ::umask(umask_before);
  if (bound != 0) return failure("cannot listen on", path_);
  if (::listen(listening_fd_, kBacklog) != 0) return failure("cannot listen on", path_);
  return ok();
}

SocketFile::SocketFile(SocketFile&& other) noexcept
    : path_(std::exchange(other.path_, {})),
      lock_fd_(std::exchange(other.lock_fd_, -1)),
      listening_fd_(std::exchange(other.listening_fd_, -1)) {}

SocketFile& SocketFile::operator=(SocketFile&& other) noexcept {
  if (this != &other) {
    close();
    path_ = std::exchange(other.path_, {});
    lock_fd_ = std::exchange(other.lock_fd_, -1);
    listening_fd_ = std::exchange(other.listening_fd_, -1);
  }
  return *this;
}

int SocketFile::take_listening_fd() { return std::exchange(listening_fd_, -1); }

void SocketFile::close() {
  if (listening_fd_ >= 0) ::close(std::exchange(listening_fd_, -1));
  // First the file, then the lock: nobody else's file is removed.
  if (lock_fd_ >= 0 && !path_.empty()) ::unlink(path_.c_str());
  if (lock_fd_ >= 0) ::close(std::exchange(lock_fd_, -1));
}

}  // namespace caisson
