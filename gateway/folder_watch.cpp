#include "gateway/folder_watch.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace caisson::gateway {

namespace {

Error file_error(std::string_view what, const std::string& path) {
  return {errno == ENOENT ? Errc::kNotFound : Errc::kInternal,
          fmt::format("cannot {} '{}': {}", what, path, std::strerror(errno))};
}

}  // namespace

FolderWatch::FolderWatch(EventLoop& loop, std::function<void()> changed)
    : changed_(std::move(changed)), watch_(loop, [this](std::uint32_t) {
        alignas(inotify_event) char events[4096];
        bool any = false;
        while (::read(fd_, events, sizeof events) > 0) any = true;
        if (any) changed_();
      }) {}

FolderWatch::~FolderWatch() {
  watch_.stop();
  if (fd_ >= 0) ::close(fd_);
}

Result<void> FolderWatch::start(const std::string& folder) {
  fd_ = ::inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  constexpr std::uint32_t kEvents = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE;
  if (fd_ < 0 || ::inotify_add_watch(fd_, folder.c_str(), kEvents) < 0) return file_error("watch", folder);
  return watch_.start(fd_, EPOLLIN);
}

Result<std::string> read_whole_file(const std::string& path, std::size_t limit) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return file_error("open", path);
  std::string content;
  char piece[16 * 1024];
  ssize_t got = 0;
  while ((got = ::read(fd, piece, sizeof piece)) > 0 && content.size() <= limit) {
    content.append(piece, static_cast<std::size_t>(got));
  }
  const Error failed = got < 0 ? file_error("read", path) : Error{};
  ::close(fd);
  if (got < 0) return failed;
  if (content.size() > limit) return Error{Errc::kOutOfRange, fmt::format("'{}' is longer than {} bytes", path, limit)};
  return content;
}

Result<void> replace_file(const std::string& path, std::string_view content) {
  const std::string next = path + ".new";
  const int fd = ::open(next.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return file_error("write", next);
  const ssize_t written = ::write(fd, content.data(), content.size());
  ::close(fd);
  if (written != static_cast<ssize_t>(content.size())) {
    const Error failed = file_error("write", next);
    ::unlink(next.c_str());
    return failed;
  }
  if (::rename(next.c_str(), path.c_str()) != 0) return file_error("replace", path);
  return ok();
}

}  // namespace caisson::gateway
