#include "gateway/request_window.hpp"

namespace caisson::gateway {

RequestWindow::Slot RequestWindow::acquire() {
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(generations_.size()));
    generations_.push_back(0);
  }
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  RequestId id;
  id.incarnation = incarnation_;
  id.slot = slot;
  id.generation = ++generations_[slot];
  return Slot(this, id);
}

}  // namespace caisson::gateway
