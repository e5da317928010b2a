#include "gateway/instance.hpp"

#include <simdjson.h>

#include "bus/sealed_memory.hpp"

namespace caisson::gateway {

namespace {

constexpr std::size_t kLargestStatus = 256 * 1024;
constexpr std::size_t kMostWaitingFrames = 4096;

}  // namespace

void Instance::Place::release() {
  if (instance_ == nullptr) return;
  const std::shared_ptr<Instance> instance = std::move(instance_);
  --instance->in_flight_;
  instance->admit();
}

void Instance::admit() {
  if (!has_room()) return;
  queue_.offer(manifest_->max_in_flight - in_flight_);
}

void Instance::lane_is_full() {
  if (std::exchange(lane_full_, true)) return;
  scope_.spawn(await_lane());
}

Task<void> Instance::await_lane() {
  co_await link_->room().wait(loop_, Deadline::never());
  lane_full_ = false;
  if (link_ != nullptr) admit();
}

void Instance::post(ControlFrame frame) {
  if (link_ == nullptr || link_->down()) return;
  if (outbox_.size() >= kMostWaitingFrames) {
    link_->close({Errc::kResourceExhausted, "the peer takes no control frames"});
    return;
  }
  outbox_.push_back(std::move(frame));
  if (outbox_.size() == 1) scope_.spawn(drain_outbox());
}

Task<void> Instance::drain_outbox() {
  while (!outbox_.empty() && link_ != nullptr && !link_->down()) {
    const ControlFrame& next = outbox_.front();
    std::vector<Field> headers;
    for (const auto& [name, value] : next.headers) headers.push_back({name, value});
    Envelope envelope;
    envelope.kind = next.kind;
    envelope.target = next.target;
    envelope.app = next.app;
    envelope.status = next.status;
    envelope.error = next.error;
    envelope.message = next.message;
    envelope.headers = headers;
    Buffer payload = next.shared != nullptr ? another(*next.shared) : Buffer::copy_of(next.payload);
    const Result<void> sent = link_->send(envelope, payload);
    if (!sent && sent.error().code == Errc::kResourceExhausted) {
      co_await link_->room().wait(loop_, Deadline::never());
      continue;
    }
    outbox_.pop_front();
  }
  outbox_.clear();
  admit();
}

Result<void> Instance::set_status(std::string_view json) {
  if (json.size() > kLargestStatus) return Error{Errc::kInvalidArgument, "the status is over the limit"};
  simdjson::dom::parser parser;
  simdjson::dom::element status;
  if (parser.parse(json.data(), json.size()).get(status) != simdjson::SUCCESS || !status.is_object()) {
    return Error{Errc::kInvalidArgument, "the status is no JSON object"};
  }
  std::map<std::string, bool, std::less<>> told;
  simdjson::dom::array components;
  if (status["components"].get(components) == simdjson::SUCCESS) {
    for (const auto component : components) {
      std::string_view name;
      std::string_view state;
      const bool is_up = component["state"].get(state) == simdjson::SUCCESS && state == "UP";
      if (component["name"].get(name) == simdjson::SUCCESS) told.emplace(name, is_up);
    }
  }
  components_ = std::move(told);
  facts.status = json;
  return ok();
}

void Instance::lost() {
  outbox_.clear();
  queue_.close();
}

}  // namespace caisson::gateway
