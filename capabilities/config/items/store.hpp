#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bus/deadline.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "sdk/component_set.hpp"

/// The configuration API: items of configuration stores, read by apps and told to them when they change.
namespace caisson::items {

/// One piece of an app's configuration. Without a value there is no item: a store leaves those out, and
/// an app that is told of one learns that it is gone.
struct Item {
  std::string value;
  std::string version;
  std::map<std::string, std::string> metadata;

  bool operator==(const Item&) const = default;
};

/// Items by key.
using Items = std::map<std::string, Item>;

/// What one operation may name or give; beyond that the answer is an error.
inline constexpr std::size_t kMaxKeyLength = 1024;
inline constexpr std::size_t kMaxNamedKeys = 1000;
inline constexpr std::size_t kMaxItems = 10000;
inline constexpr std::size_t kMaxItemBytes = std::size_t{8} << 20;  // keys, values, versions, metadata

/// As long as it lives, its owner is told of changes. May be destroyed at any time, also from the
/// function that tells.
class Watch {
 public:
  virtual ~Watch() = default;
};

/// Where configuration items are kept. Each backend is one implementation.
///
/// Used only on the event loop's thread.
class Store : public sdk::Component {
 public:
  /// The key whose item may have changed, appeared or gone; nothing: any may have. A hint, and the only
  /// promise is that a change is followed by one: who is told reads the item and compares.
  using Changed = std::function<void(std::optional<std::string> key)>;

  /// The items of those keys (at most kMaxNamedKeys); all there are when none is named. What does not
  /// exist is left out. kResourceExhausted beyond the limits above; kUnavailable, kDeadlineExceeded.
  virtual Task<Result<Items>> get(std::vector<std::string> keys, Deadline deadline) = 0;

  /// Tells of changes of those keys, or of all when none is named; never from inside this call. Tells
  /// that any may have changed when it begins to see changes, and whenever it may have missed some
  /// (a lost connection). Destroy the watch before the store.
  virtual std::unique_ptr<Watch> watch(std::vector<std::string> keys, Changed changed) = 0;
};

}  // namespace caisson::items
