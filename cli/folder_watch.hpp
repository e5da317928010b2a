#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"

namespace caisson::cli {

/// Calls a function soon after anything in one of some folders changed (inotify; several changes in a
/// row make one call). One thread.
class FolderWatch {
 public:
  FolderWatch(EventLoop& loop, std::function<void()> changed);
  ~FolderWatch();

  /// kFailedPrecondition names a folder that cannot be watched.
  Result<void> start(const std::vector<std::string>& folders);

 private:
  void drain();

  int fd_ = -1;
  std::function<void()> changed_;
  Timer soon_;
  FdWatch watch_;
};

}  // namespace caisson::cli
