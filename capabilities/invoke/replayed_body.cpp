#include "capabilities/invoke/replayed_body.hpp"

#include <algorithm>

namespace caisson::invoke {

namespace {

constexpr std::size_t kPrefix = 5;

}  // namespace

void MessageCounter::feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (left_ > 0) {
      const std::size_t taken = std::min(left_, bytes.size());
      left_ -= taken;
      bytes.remove_prefix(taken);
      continue;
    }
    if (prefix_ == 0) {
      ++begun_;
      size_ = 0;
    } else {
      size_ = (size_ << 8) | static_cast<unsigned char>(bytes.front());
    }
    bytes.remove_prefix(1);
    if (++prefix_ < kPrefix) continue;
    prefix_ = 0;
    left_ = size_;
  }
}

ReplayedBody::ReplayedBody(std::string_view first, BodyReader rest, bool streamed, bool one_message)
    : rest_(std::move(rest)), one_message_(one_message), ended_(!streamed) {
  refused_ = !take(first);
}

bool ReplayedBody::take(std::string_view piece) {
  messages_.feed(piece);
  if (kept_.size() + piece.size() > kMostKept) settle();
  if (keeping_) kept_ += piece;
  return !one_message_ || messages_.begun() <= 1;
}

Error ReplayedBody::refusal() {
  return {Errc::kFailedPrecondition, "cannot use resiliency policies with retries on streaming RPCs"};
}

void ReplayedBody::settle() {
  keeping_ = false;
  kept_ = {};
}

Task<void> ReplayedBody::send(BodyWriter to, Deadline deadline) {
  if (!kept_.empty()) {
    auto writing = to.write(Buffer::copy_of(kept_), deadline);
    const Result<void> written = co_await std::move(writing);
    if (!written) co_return;
  }
  while (!ended_ && !refused_) {
    auto reading = rest_.next(deadline);
    Result<std::optional<Buffer>> piece = co_await std::move(reading);
    if (!piece) {
      to.fail(std::move(piece).error());
      co_return;
    }
    ended_ = !*piece;
    if (ended_) break;
    refused_ = !take((*piece)->view());
    if (refused_) break;
    auto writing = to.write(std::move(**piece), deadline);
    const Result<void> written = co_await std::move(writing);
    if (!written) co_return;  // the app has gone, or has answered without reading on
  }
  if (refused_) {
    to.fail(refusal());
    co_return;
  }
  auto ending = to.finish(deadline);
  [[maybe_unused]] const Result<void> ended = co_await std::move(ending);
}

}  // namespace caisson::invoke
