#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "capabilities/config/items/subscriptions.hpp"

/// What Subscriptions keeps of one subscription; for its own two sources.
namespace caisson::items {

inline constexpr Nanos kFirstRetry = std::chrono::milliseconds(100);
inline constexpr Nanos kLongestRetry = std::chrono::seconds(30);
inline constexpr Nanos kFirstReadRetry = std::chrono::milliseconds(250);

inline bool is_there(const sdk::AppState& app) { return app.reachable && app.healthy && !app.protocol.empty(); }

/// A key whose item is to be looked at.
struct Subscriptions::Due {
  Nanos not_before{};
  Nanos pause = kFirstRetry;  // before the try after the next
};

struct Subscriptions::Active {
  Subscription subscription;
  Told told;
  std::shared_ptr<Store> store;  // null: none to be had
  std::string type;
  std::unique_ptr<Watch> watch;  // after the store
  bool all_due = false;
  std::map<std::string, Due, std::less<>> due;
  std::set<std::string, std::less<>> under_way;
  bool paused = false;
  std::shared_ptr<UpdateStream> stream;  // of a streamed one; null: it is gone
  Nanos stream_gone{};                   // since when
  bool over = false;                     // it is being removed
  bool stirred = false;                  // something has changed since run() looked
  WaitQueue wake;
  TaskScope::Id task = 0;

  void stir() {
    stirred = true;
    wake.wake_all();
  }

  void hint(const std::optional<std::string>& key) {
    if (!key || due.size() >= kMaxItems) {
      all_due = true;
    } else if (key->size() <= kMaxKeyLength) {
      due.try_emplace(*key);
    }
    stir();
  }
};

}  // namespace caisson::items
