#include "capabilities/config/items/watchers.hpp"

#include <algorithm>

namespace caisson::items {

class Watchers::Registered final : public Watch {
 public:
  Registered(std::weak_ptr<State> state, std::list<Entry>::iterator entry) : state_(std::move(state)), entry_(entry) {}
  ~Registered() override {
    const auto state = state_.lock();
    if (state == nullptr) return;  // the store has gone before
    state->entries.erase(entry_);
    state->wanted_changed();
  }

 private:
  std::weak_ptr<State> state_;
  std::list<Entry>::iterator entry_;
};

std::unique_ptr<Watch> Watchers::add(const std::vector<std::string>& keys, Store::Changed changed) {
  const auto shared = std::make_shared<const Store::Changed>(std::move(changed));
  state_->entries.push_back({{keys.begin(), keys.end()}, shared});
  auto watch = std::make_unique<Registered>(state_, std::prev(state_->entries.end()));
  state_->wanted_changed();
  return watch;
}

void Watchers::tell(const std::optional<std::string>& key) {
  for (const Entry& entry : state_->entries) {
    if (!key || entry.keys.empty() || entry.keys.contains(*key)) tell(entry, key);
  }
}

void Watchers::tell_new_ones() {
  for (Entry& entry : state_->entries) {
    if (std::exchange(entry.is_new, false)) tell(entry, std::nullopt);
  }
}

void Watchers::begin_anew() {
  for (Entry& entry : state_->entries) entry.is_new = true;
}

/// Whoever is told may destroy its watch, or the store; one that is gone by then hears nothing.
void Watchers::tell(const Entry& entry, const std::optional<std::string>& key) {
  state_->loop.post([changed = std::weak_ptr<const Store::Changed>(entry.changed), key] {
    if (const auto tell = changed.lock()) (*tell)(key);
  });
}

bool Watchers::any_watches_all() const {
  return std::ranges::any_of(state_->entries, [](const Entry& entry) { return entry.keys.empty(); });
}

std::set<std::string> Watchers::named_keys() const {
  std::set<std::string> keys;
  for (const Entry& entry : state_->entries) keys.insert(entry.keys.begin(), entry.keys.end());
  return keys;
}

}  // namespace caisson::items
