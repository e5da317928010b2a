#include "config-cache/durable_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace caisson::config {

namespace {

/// A descriptor that closes itself.
class Fd {
 public:
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() {
    if (fd_ >= 0) ::close(fd_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

Error failed(std::string_view what, const std::string& path) {
  const Errc code = errno == ENOENT ? Errc::kNotFound : errno == ENOSPC ? Errc::kResourceExhausted : Errc::kUnavailable;
  return {code, fmt::format("{} {}: {}", what, path, std::strerror(errno))};
}

Result<void> write_all(int fd, std::string_view bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return failed("cannot write", path);
    bytes.remove_prefix(static_cast<std::size_t>(written));
  }
  return ok();
}

Result<void> write_and_sync(const std::string& path, std::string_view bytes) {
  // Anew, so that neither another's permissions nor a link decide where the bytes go.
  ::unlink(path.c_str());
  const Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (file.get() < 0) return failed("cannot create", path);
  TRY(write_all(file.get(), bytes, path));
  if (::fsync(file.get()) != 0) return failed("cannot write to disk", path);
  return ok();
}

}  // namespace

Result<void> write_file_durably(const std::string& path, std::string_view bytes) {
  const std::string temporary = path + ".new";
  if (const auto written = write_and_sync(temporary, bytes); !written) {
    ::unlink(temporary.c_str());
    return written;
  }
  if (::rename(temporary.c_str(), path.c_str()) != 0) return failed("cannot replace", path);
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const Fd directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (directory.get() < 0 || ::fsync(directory.get()) != 0) return failed("cannot write to disk", folder);
  return ok();
}

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  // O_NONBLOCK: a pipe in the file's place must not hold up the reader.
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.get() < 0) return failed("cannot open", path);
  struct stat about {};
  if (::fstat(file.get(), &about) != 0) return failed("cannot read", path);
  if (!S_ISREG(about.st_mode)) return Error{Errc::kInvalidArgument, path + " is not a regular file"};
  std::string out;
  char piece[16 * 1024];
  while (true) {
    const ssize_t size = ::read(file.get(), piece, sizeof piece);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) return failed("cannot read", path);
    if (size == 0) return out;
    out.append(piece, static_cast<std::size_t>(size));
    if (out.size() > limit) return Error{Errc::kOutOfRange, fmt::format("{} is larger than {} bytes", path, limit)};
  }
}

DurableFile::~DurableFile() {
  if (writer_.joinable()) writer_.join();
}

void DurableFile::replace(std::string bytes) {
  if (path_.empty()) return;
  const std::lock_guard lock(mutex_);
  pending_ = std::move(bytes);
  if (writing_) return;
  if (writer_.joinable()) writer_.join();  // it has given up the mutex for good: a matter of microseconds
  writing_ = true;
  writer_ = std::thread([this] { write_pending(); });
}

void DurableFile::write_pending() {
  while (true) {
    std::string bytes;
    {
      const std::lock_guard lock(mutex_);
      if (!pending_) {
        writing_ = false;
        return;
      }
      bytes = *std::exchange(pending_, std::nullopt);
    }
    if (const auto written = write_file_durably(path_, bytes); !written) {
      log_limit_.log(LogLevel::kError, fmt::format("{} keeps what it held before: {}", path_, written.error().message));
    }
  }
}

}  // namespace caisson::config
