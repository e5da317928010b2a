#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "bus/wire.hpp"

namespace caisson::gateway {

/// Gives every request in flight an id that stays the same over links and tries: incarnation of the
/// gateway, slot, and a generation that grows with every use of the slot. Slots are reused last in,
/// first out, so that a ledger kept per slot stays as small as the traffic allows. One thread.
class RequestWindow {
 public:
  /// Holds a slot; gives it back when destroyed. The window outlives it.
  class Slot {
   public:
    Slot() = default;
    Slot(Slot&& other) noexcept : window_(std::exchange(other.window_, nullptr)), id_(other.id_) {}
    Slot& operator=(Slot&& other) noexcept {
      std::swap(window_, other.window_);
      std::swap(id_, other.id_);
      return *this;
    }
    ~Slot() {
      if (window_ != nullptr) window_->free_.push_back(id_.slot);
    }
    [[nodiscard]] const RequestId& id() const { return id_; }

   private:
    friend class RequestWindow;
    Slot(RequestWindow* window, RequestId id) : window_(window), id_(id) {}
    RequestWindow* window_ = nullptr;
    RequestId id_;
  };

  explicit RequestWindow(std::uint64_t incarnation) : incarnation_(incarnation) {}

  Slot acquire();
  [[nodiscard]] std::size_t in_use() const { return generations_.size() - free_.size(); }
  [[nodiscard]] std::uint64_t incarnation() const { return incarnation_; }

 private:
  std::uint64_t incarnation_;
  std::vector<std::uint64_t> generations_;  // by slot
  std::vector<std::uint32_t> free_;
};

}  // namespace caisson::gateway
