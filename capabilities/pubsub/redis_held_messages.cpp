#include "capabilities/pubsub/redis_held_messages.hpp"

#include <algorithm>

namespace caisson::pubsub {

void HeldMessages::take_new(StreamEntry entry, Nanos now) {
  const auto [place, is_new] = held_.try_emplace(entry.id);
  if (!is_new) return;
  place->second.leased_at = now;
  new_.emplace_back(entry.id, std::move(entry.message));
}

void HeldMessages::take_again(StreamEntry entry, std::uint32_t attempt, Nanos now) {
  const auto [place, is_new] = held_.try_emplace(entry.id);
  Held& held = place->second;
  if (!is_new && held.state != State::kClaiming) return;
  held.state = State::kQueued;
  held.attempt = attempt;
  held.leased_at = now;
  again_.emplace_back(entry.id, std::move(entry.message));
}

std::optional<HeldMessages::Taken> HeldMessages::begin(Nanos now, Nanos lease) {
  turn_of_new_ = !turn_of_new_;
  auto taken = begin_from(turn_of_new_ ? new_ : again_, now, lease);
  if (!taken) taken = begin_from(turn_of_new_ ? again_ : new_, now, lease);
  return taken;
}

std::optional<HeldMessages::Taken> HeldMessages::begin_from(Queue& queue, Nanos now, Nanos lease) {
  while (!queue.empty()) {
    const StreamId id = queue.front().first;
    const auto found = held_.find(id);
    if (found == held_.end() || found->second.state != State::kQueued) {  // forgotten meanwhile
      queue.pop_front();
      continue;
    }
    if (now - found->second.leased_at >= lease) return std::nullopt;
    Taken taken{id, std::move(queue.front().second), found->second.attempt};
    queue.pop_front();
    found->second.state = State::kRunning;
    return taken;
  }
  return std::nullopt;
}

void HeldMessages::acknowledge(StreamId id) {
  held_[id].state = State::kAcknowledged;
  acknowledged_.push_back(id);
  ++unsettled_;
}

void HeldMessages::fail(StreamId id, Nanos due, bool counted) {
  if (due_.size() >= kWaitingLimit) {
    erase(id);
    return;
  }
  Held& held = held_[id];
  held.counted = counted;
  wait_until(id, held, due);
}

void HeldMessages::wait_until(StreamId id, Held& held, Nanos due) {
  held.state = State::kWaiting;
  held.due = due;
  due_.emplace(due, id);
}

void HeldMessages::hurry(Nanos now) {
  std::set<std::pair<Nanos, StreamId>> due;
  for (const auto& [moment, id] : due_) {
    Held& held = held_.at(id);
    held.due = std::min(held.due, now);
    due.emplace(held.due, id);
  }
  due_ = std::move(due);
}

std::vector<HeldMessages::Claim> HeldMessages::claim_due(Nanos now, std::size_t limit) {
  std::vector<Claim> claims;
  while (!due_.empty() && due_.begin()->first <= now && claims.size() < limit) {
    const StreamId id = due_.begin()->second;
    due_.erase(due_.begin());
    Held& held = held_.at(id);
    held.state = State::kClaiming;
    claims.push_back({id, held.attempt + (held.counted ? 1 : 0), Nanos::zero()});
  }
  return claims;
}

void HeldMessages::put_back(const std::vector<Claim>& claims, Nanos due) {
  for (const Claim& claim : claims) {
    const auto found = held_.find(claim.id);
    if (found != held_.end() && found->second.state == State::kClaiming) wait_until(claim.id, found->second, due);
  }
}

std::vector<StreamId> HeldMessages::take_acknowledged(std::size_t limit) {
  const std::size_t count = std::min(limit, acknowledged_.size());
  const auto end = acknowledged_.begin() + static_cast<std::ptrdiff_t>(count);
  std::vector<StreamId> ids(acknowledged_.begin(), end);
  acknowledged_.erase(acknowledged_.begin(), end);
  return ids;
}

void HeldMessages::settled(const std::vector<StreamId>& ids) {
  for (const StreamId id : ids) held_.erase(id);
  unsettled_ -= ids.size();
}

void HeldMessages::unsettled(const std::vector<StreamId>& ids) {
  acknowledged_.insert(acknowledged_.begin(), ids.begin(), ids.end());
}

std::vector<StreamId> HeldMessages::unsettled_ids() const {
  std::vector<StreamId> ids;
  for (const auto& [id, held] : held_) {
    if (held.state == State::kAcknowledged) ids.push_back(id);
  }
  return ids;
}

std::vector<StreamId> HeldMessages::ids() const {
  std::vector<StreamId> ids;
  ids.reserve(held_.size());
  for (const auto& [id, held] : held_) ids.push_back(id);
  return ids;
}

std::vector<StreamId> HeldMessages::in_doubt(Nanos now, Nanos lease) const {
  std::vector<StreamId> ids;
  for (const auto& [id, held] : held_) {
    const bool idle = held.state == State::kQueued || held.state == State::kWaiting;
    if (idle && now - held.leased_at >= lease) ids.push_back(id);
  }
  return ids;
}

void HeldMessages::renewed(Nanos at) {
  for (auto& [id, held] : held_) held.leased_at = std::max(held.leased_at, at);
}

std::vector<HeldMessages::Claim> HeldMessages::leftovers() const {
  std::vector<Claim> claims;
  for (const auto& [id, held] : held_) {
    if (held.state == State::kAcknowledged) continue;
    const bool tried = held.state == State::kWaiting && held.counted;
    claims.push_back({id, held.attempt - (tried ? 0 : 1), Nanos::zero()});
  }
  return claims;
}

std::vector<HeldMessages::Claim> HeldMessages::take_unbegun() {
  std::vector<Claim> claims;
  for (const Queue* const queue : {&new_, &again_}) {
    for (const auto& [id, message] : *queue) {
      const auto found = held_.find(id);
      if (found == held_.end() || found->second.state != State::kQueued) continue;
      claims.push_back({id, found->second.attempt - 1, Nanos::zero()});
      held_.erase(found);
    }
  }
  new_.clear();
  again_.clear();
  return claims;
}

void HeldMessages::erase(StreamId id) {
  const auto found = held_.find(id);
  if (found == held_.end()) return;
  if (found->second.state == State::kWaiting) due_.erase({found->second.due, id});
  held_.erase(found);
}

}  // namespace caisson::pubsub
