#include "capabilities/config/folder_watch.hpp"

#include <fmt/format.h>
#include <sys/inotify.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace caisson::config {

namespace {

constexpr std::uint32_t kEvents = IN_CREATE | IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE | IN_ATTRIB |
                                  IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;

}  // namespace

FolderWatch::FolderWatch(EventLoop& loop, std::function<void()> changed)
    : loop_(loop), changed_(std::move(changed)), on_event_(loop_, [this](std::uint32_t) { drain(); }) {
  fd_ = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  const bool watching = fd_ >= 0 && on_event_.start(fd_, EPOLLIN).has_value();
  if (!watching) {
    log(LogLevel::kWarning,
        fmt::format("folders cannot be watched ({}); they are looked at every second instead", std::strerror(errno)));
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
}

FolderWatch::~FolderWatch() {
  on_event_.stop();
  if (fd_ >= 0) ::close(fd_);
}

bool FolderWatch::watch(const std::vector<std::string>& folders) {
  bool all = fd_ >= 0;
  for (const std::string& folder : folders) {
    if (fd_ < 0) break;
    const int number = ::inotify_add_watch(fd_, folder.c_str(), kEvents);
    all = all && number >= 0;
    const auto [known, added] = watched_.try_emplace(folder, number);
    if (added || known->second == number) continue;
    // Another folder stands in its place now; the watch of the old one would stay for ever.
    if (known->second >= 0) ::inotify_rm_watch(fd_, known->second);
    known->second = number;
  }
  return all;
}

void FolderWatch::drain() {
  alignas(inotify_event) char events[4096];
  bool any = false;
  while (::read(fd_, events, sizeof events) > 0) any = true;
  if (any) changed_();
}

}  // namespace caisson::config
