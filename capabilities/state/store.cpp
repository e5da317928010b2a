#include "capabilities/state/store.hpp"

namespace caisson::state {

Task<std::vector<Result<std::optional<Entry>>>> Store::get_many(std::vector<std::string> keys, Deadline deadline) {
  std::vector<Result<std::optional<Entry>>> found;
  found.reserve(keys.size());
  for (std::string& key : keys) {
    auto task = get(std::move(key), deadline);
    found.push_back(co_await std::move(task));
  }
  co_return found;
}

}  // namespace caisson::state
