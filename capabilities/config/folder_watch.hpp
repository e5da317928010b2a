#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/log.hpp"

namespace caisson::config {

/// Says when something changed in one of several folders (inotify): a file written, renamed over,
/// deleted, or Kubernetes' `..data` link swapped. It may say so for nothing, and it sees no change
/// behind a link into another folder; so its user also looks by itself now and then.
///
/// One thread.
class FolderWatch {
 public:
  FolderWatch(EventLoop& loop, std::function<void()> changed);
  ~FolderWatch();
  FolderWatch(const FolderWatch&) = delete;
  FolderWatch& operator=(const FolderWatch&) = delete;

  /// Watches these folders from now on; call it again before each look at them, so that a folder
  /// that was replaced or appeared is watched too. False when some folder cannot be watched.
  bool watch(const std::vector<std::string>& folders);

 private:
  void drain();

  EventLoop& loop_;
  std::function<void()> changed_;
  int fd_ = -1;
  std::map<std::string, int> watched_;  // folder to inotify's number
  FdWatch on_event_;
};

}  // namespace caisson::config
