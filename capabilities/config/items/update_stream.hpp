#pragma once

#include <string>

#include "bus/deadline.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"
#include "capabilities/config/items/store.hpp"

namespace caisson::items {

/// Where the updates of a subscription go that was made over a stream. Made by a codec, whose client holds the
/// other end. One thread.
class UpdateStream {
 public:
  virtual ~UpdateStream() = default;

  /// Sends one update and returns once it is on its way; an item that is gone has empty fields. One at a time.
  virtual Task<Result<void>> tell(std::string id, std::string key, Item item) = 0;
  /// The subscription has ended: kOk when somebody asked for that, kUnavailable when this process ends and
  /// another will go on with it.
  virtual void end(Error why) = 0;
};

}  // namespace caisson::items
