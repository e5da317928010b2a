#pragma once

#include <list>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "bus/event_loop.hpp"
#include "capabilities/config/items/store.hpp"

namespace caisson::items {

/// Who watches a store, for its backend: hands hints to those they concern, in a later turn of the loop.
/// Watches may outlive it and then hear of nothing. One thread.
class Watchers {
 public:
  /// Called when the keys that somebody watches have changed.
  explicit Watchers(
      EventLoop& loop, std::function<void()> wanted_changed = [] {})
      : state_(std::make_shared<State>(State{loop, std::move(wanted_changed), {}})) {}
  Watchers(const Watchers&) = delete;
  Watchers& operator=(const Watchers&) = delete;

  std::unique_ptr<Watch> add(const std::vector<std::string>& keys, Store::Changed changed);

  /// The item of that key may have changed, or any.
  void tell(const std::optional<std::string>& key);
  /// Tells those that were not told so since they were added, or since begin_anew(), that any may have
  /// changed: from now on they hear of changes.
  void tell_new_ones();
  void begin_anew();

  [[nodiscard]] bool empty() const { return state_->entries.empty(); }
  /// Somebody watches every key.
  [[nodiscard]] bool any_watches_all() const;
  /// The keys that are watched by name.
  [[nodiscard]] std::set<std::string> named_keys() const;

 private:
  struct Entry {
    std::set<std::string, std::less<>> keys;  // empty: all
    std::shared_ptr<const Store::Changed> changed;
    bool is_new = true;
  };
  struct State {
    EventLoop& loop;
    std::function<void()> wanted_changed;
    std::list<Entry> entries;
  };
  class Registered;
  void tell(const Entry& entry, const std::optional<std::string>& key);

  std::shared_ptr<State> state_;
};

}  // namespace caisson::items
