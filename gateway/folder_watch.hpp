#pragma once

#include <functional>
#include <string>

#include "bus/event_loop.hpp"
#include "bus/result.hpp"

namespace caisson::gateway {

/// Tells that files of one folder were written, added or removed (inotify). One thread.
class FolderWatch {
 public:
  /// `changed` is called once per turn of the loop, however many files there were.
  FolderWatch(EventLoop& loop, std::function<void()> changed);
  FolderWatch(const FolderWatch&) = delete;
  FolderWatch& operator=(const FolderWatch&) = delete;
  ~FolderWatch();

  Result<void> start(const std::string& folder);

 private:
  int fd_ = -1;
  std::function<void()> changed_;
  FdWatch watch_;
};

/// The content of a file of at most `limit` bytes; kNotFound, kOutOfRange, or kInternal.
Result<std::string> read_whole_file(const std::string& path, std::size_t limit);
/// Replaces a file in one step, with mode 0644.
Result<void> replace_file(const std::string& path, std::string_view content);

}  // namespace caisson::gateway
