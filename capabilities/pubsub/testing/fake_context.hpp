#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bus/testing/fake_clock.hpp"
#include "bus/testing/run.hpp"
#include "sdk/capability.hpp"

namespace caisson::pubsub::testing {

/// A whole frame in memory of its own.
class FrameMemory final : public Memory {
 public:
  static Frame make(const Envelope& envelope, std::string payload) {
    auto* const memory = new FrameMemory(envelope, std::move(payload));
    const auto verified = verify_envelope(memory->bytes());
    if (!verified) std::abort();
    return {MemoryRef(memory), *verified, memory->payload_};
  }
  void release() noexcept override { delete this; }

 private:
  FrameMemory(const Envelope& envelope, std::string payload) : payload_(std::move(payload)) {
    flatbuffers::FlatBufferBuilder builder;
    const auto encoded = encode(builder, envelope);
    words_.resize((encoded.size() + 7) / 8);
    size_ = encoded.size();
    std::memcpy(words_.data(), encoded.data(), encoded.size());
  }
  ~FrameMemory() = default;
  [[nodiscard]] std::span<const std::uint8_t> bytes() const {
    return {reinterpret_cast<const std::uint8_t*>(words_.data()), size_};
  }

  std::string payload_;
  std::vector<std::uint64_t> words_;  // aligned as envelopes must be
  std::size_t size_ = 0;
};

/// A call to an app as it was made.
struct AppCall {
  std::string app;
  std::string method;
  std::string path;
  std::string query;
  std::string traceparent;
  std::map<std::string, std::string> headers;
  std::string body;
};

/// Stands for the process and its gateways: apps answer from a script.
class FakeContext final : public sdk::Context {
 public:
  /// What an app says: a status and a body, or an error.
  struct Answer {
    std::uint16_t status = 200;
    std::string body;
    Errc error = Errc::kOk;
  };

  FakeContext() : loop_(clock_) {}

  EventLoop& loop() override { return loop_; }
  [[nodiscard]] const std::string& data_dir() const override { return data_dir_; }
  [[nodiscard]] const std::string& instance() const override { return instance_; }
  sdk::Counters& counters() override { return counters_; }
  [[nodiscard]] const std::vector<std::string>& arguments() const override { return arguments_; }
  [[nodiscard]] const std::map<std::string, sdk::AppState>& apps() const override { return apps_; }
  Result<OpenCall> open_call(Envelope, Buffer, Deadline) override {
    return Error{Errc::kUnimplemented, "not used by this capability"};
  }
  void status_changed() override { ++status_changes; }
  void publish_config(std::string, std::string) override {}

  Task<Result<Reply>> call(Envelope call, Buffer body, Deadline deadline) override {
    AppCall seen{std::string(call.app),   std::string(call.method),      std::string(call.path),
                 std::string(call.query), std::string(call.traceparent), {},
                 body.to_string()};
    for (const Field& field : call.headers) seen.headers.emplace(field.name, field.value);
    calls.push_back(seen);
    while (hold) {
      const Wake wake = co_await released.wait(loop_, deadline);
      if (wake == Wake::kDeadline) {
        co_return Error{Errc::kDeadlineExceeded, "no answer in time"};
      }
    }
    const Answer answer = next_answer(seen);
    if (answer.error != Errc::kOk) co_return Error{answer.error, "scripted"};
    Envelope head;
    head.kind = wire::Kind::Reply;
    head.id = 1;
    head.status = answer.status;
    Frame frame = FrameMemory::make(head, answer.body);
    Reply reply{std::move(frame), BodyReader()};
    co_return Result<Reply>(std::move(reply));
  }

  /// The next answer: the scripted ones first, then `otherwise`.
  Answer next_answer(const AppCall& seen) {
    if (decide) return decide(seen);
    if (script.empty()) return otherwise;
    Answer answer = script.front();
    script.pop_front();
    return answer;
  }
  void release() {
    hold = false;
    released.wake_all();
  }

  caisson::testing::FakeClock clock_;
  EventLoop loop_;
  sdk::Counters counters_;
  std::string data_dir_;
  std::string instance_ = "pubsub-1";
  std::vector<std::string> arguments_;
  std::map<std::string, sdk::AppState> apps_;
  std::vector<AppCall> calls;
  std::deque<Answer> script;
  std::function<Answer(const AppCall&)> decide;
  Answer otherwise;
  bool hold = false;
  WaitQueue released;
  int status_changes = 0;
};

}  // namespace caisson::pubsub::testing
