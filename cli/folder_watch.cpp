#include "cli/folder_watch.hpp"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>

#include "cli/run_dir.hpp"

namespace caisson::cli {

namespace {

/// A file is often written in several steps; looking after this pause sees them together.
constexpr Nanos kSettle = std::chrono::milliseconds(20);

}  // namespace

FolderWatch::FolderWatch(EventLoop& loop, std::function<void()> changed)
    : changed_(std::move(changed)),
      soon_(loop, [this] { changed_(); }),
      watch_(loop, [this](std::uint32_t) { drain(); }) {}

FolderWatch::~FolderWatch() {
  watch_.stop();
  if (fd_ >= 0) ::close(fd_);
}

Result<void> FolderWatch::start(const std::vector<std::string>& folders) {
  fd_ = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  if (fd_ < 0) return Error{Errc::kResourceExhausted, fmt::format("inotify: {}", std::strerror(errno))};
  for (const std::string& folder : folders) {
    constexpr std::uint32_t kChanges = IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE | IN_CREATE;
    if (::inotify_add_watch(fd_, folder.c_str(), kChanges) < 0) {
      return Error{Errc::kFailedPrecondition, fmt::format("cannot watch {}: {}", folder, std::strerror(errno))};
    }
  }
  return watch_.start(fd_, EPOLLIN);
}

void FolderWatch::drain() {
  alignas(inotify_event) char events[16 * 1024];
  while (::read(fd_, events, sizeof events) > 0) {
  }
  if (!soon_.started()) soon_.start_after(kSettle);
}

}  // namespace caisson::cli
