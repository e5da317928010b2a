#pragma once

#include <cstddef>
#include <cstdint>

#include "bus/deadline.hpp"
#include "bus/event_loop.hpp"
#include "bus/intrusive_list.hpp"
#include "bus/result.hpp"
#include "bus/task.hpp"

namespace caisson::gateway {

/// Lets at most `limit` holders through at a time, the others in the order they came; at most
/// `max_waiting` of those. One thread; outlives its turns.
class ConcurrencyGate {
 public:
  ConcurrencyGate(EventLoop& loop, std::int64_t limit, std::size_t max_waiting)
      : loop_(loop), limit_(limit), max_waiting_(max_waiting) {}

  /// One holder's place: waits in line, then is inside until it dies.
  class Turn : public ListNode {
   public:
    explicit Turn(ConcurrencyGate& gate) : gate_(gate) {}
    ~Turn() { gate_.leave(*this); }
    /// kResourceExhausted: too many wait already, or the deadline came first.
    Task<Result<void>> take(Deadline deadline);

   private:
    friend class ConcurrencyGate;
    ConcurrencyGate& gate_;
    bool waiting_ = false;
    bool inside_ = false;
    WaitQueue called_;
  };

  [[nodiscard]] std::size_t inside() const { return inside_; }
  [[nodiscard]] std::size_t waiting() const { return waiting_; }

 private:
  [[nodiscard]] bool has_place() const { return limit_ <= 0 || inside_ < static_cast<std::size_t>(limit_); }
  void leave(Turn& turn);

  EventLoop& loop_;
  std::int64_t limit_;  // not above zero: none
  std::size_t max_waiting_;
  std::size_t inside_ = 0;
  std::size_t waiting_ = 0;
  IntrusiveList<Turn> line_;
};

}  // namespace caisson::gateway
