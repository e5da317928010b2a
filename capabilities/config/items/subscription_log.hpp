#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "capabilities/config/items/subscription.hpp"
#include "sdk/blocking_thread.hpp"
#include "sdk/sqlite_database.hpp"

namespace caisson::items {

/// Subscriptions and what was told last under each, on disk, so that a restart of this process (SIGKILL
/// included) neither loses a change nor tells one twice.
///
///   subscriptions      id, app, store, incarnation; in the order they were made
///   subscription_keys  subscription, key; none: all keys
///   streams            subscriptions whose updates go to a stream
///   told               subscription, key, fingerprint
///
/// A subscription is on the disk before it is acknowledged. What was told is written without waiting for
/// the disk: that survives the end of the process; after a power failure an app may be told again.
///
/// Used on the event loop's thread; the database on one of its own.
class SubscriptionLog {
 public:
  struct Stored {
    Subscription subscription;
    Told told;
  };

  /// An empty path: nothing is kept.
  SubscriptionLog(EventLoop& loop, std::string path);

  /// Opens or creates the file and gives what it holds. A damaged file is moved aside, which the log
  /// says. kUnavailable, kAlreadyExists (another process has it). May be tried again.
  Task<Result<std::vector<Stored>>> open(Deadline deadline);
  /// Adds one and removes those it replaces, all or nothing.
  Task<Result<void>> add(Stored added, std::vector<std::string> replaced, Deadline deadline);
  Task<Result<void>> remove(std::string id, Deadline deadline);
  /// Notes what the app was told; nothing: that the item is gone. Has no effect after remove().
  Task<Result<void>> note(std::string id, std::string key, std::optional<Fingerprint> told, Deadline deadline);

 private:
  struct Tables;
  template <class T>
  Task<Result<T>> run(std::function<Result<T>(Tables&)> work, Deadline deadline);

  const std::string path_;
  std::shared_ptr<Tables> tables_;  // of the thread, except for making and dropping it
  std::unique_ptr<sdk::BlockingThread> thread_;
};

}  // namespace caisson::items
