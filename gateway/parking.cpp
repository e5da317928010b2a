#include "gateway/parking.hpp"

namespace caisson::gateway {

/// Counts one parked request, however its task ends.
struct Parking::Place {
  Place(Parking& owner, Lot& of, std::size_t size) : parking(owner), lot(of), bytes(size) {
    ++lot.count;
    parking.bytes_ += bytes;
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    --lot.count;
    parking.bytes_ -= bytes;
  }

  Parking& parking;
  Lot& lot;
  std::size_t bytes;
};

Task<Result<void>> Parking::wait(std::string_view process, std::size_t bytes, Deadline until) {
  auto found = lots_.find(process);
  if (found == lots_.end()) found = lots_.try_emplace(std::string(process)).first;
  Lot& lot = found->second;  // lots are never removed: one per process that was ever missed
  if (lot.count >= limits_.entries || bytes_ + bytes > limits_.bytes) {
    co_return Error{Errc::kUnavailable, "no instance is there, and too many requests wait for one"};
  }
  const Place place(*this, lot, bytes);
  const Wake wake = co_await lot.arrived.wait(loop_, until);
  if (wake == Wake::kDeadline) {
    co_return Error{Errc::kUnavailable, "no instance came in time"};
  }
  co_return ok();
}

void Parking::wake(std::string_view process) {
  const auto found = lots_.find(process);
  if (found != lots_.end()) found->second.arrived.wake_all();
}

void Parking::wake_all() {
  for (auto& [process, lot] : lots_) lot.arrived.wake_all();
}

std::size_t Parking::parked(std::string_view process) const {
  const auto found = lots_.find(process);
  return found == lots_.end() ? 0 : found->second.count;
}

}  // namespace caisson::gateway
