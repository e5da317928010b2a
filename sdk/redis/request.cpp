#include "sdk/redis/request.hpp"

#include "sdk/redis/connection.hpp"

namespace caisson::redis {

Request::Request(std::span<const Command> commands, std::span<Reply> replies, Nanos blocks_for)
    : commands_(commands), replies_(replies), blocks_for_(blocks_for) {
  for (const Command& command : commands) size_ += command.size();
}

Request::~Request() {
  if (queue_ != nullptr) queue_->remove(*this);
  if (connection_ != nullptr) connection_->forget(*this);
}

void Request::take(Reply reply) {
  replies_[answered_++] = std::move(reply);
  if (answered_ < replies_.size()) return;
  connection_ = nullptr;
  done_.wake_all();
}

void Request::fail(Error error) {
  connection_ = nullptr;
  failure_.emplace(std::move(error));
  done_.wake_all();
}

void RequestQueue::push_back(Request& request) {
  list_.push_back(request);
  added(request);
}

void RequestQueue::push_front(Request& request) {
  list_.push_front(request);
  added(request);
}

void RequestQueue::added(Request& request) {
  request.queue_ = this;
  ++count_;
  bytes_ += request.size();
}

Request& RequestQueue::pop_front() {
  Request& request = list_.front();
  remove(request);
  return request;
}

void RequestQueue::remove(Request& request) {
  request.unlink();
  request.queue_ = nullptr;
  --count_;
  bytes_ -= request.size();
}

void RequestQueue::fail_all(const Error& error) {
  while (!empty()) pop_front().fail(error);
}

}  // namespace caisson::redis
