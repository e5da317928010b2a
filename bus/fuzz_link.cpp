// A link and a peer that sends any well-formed frames in any order, while this side calls, serves,
// streams, waits and gives up: no crash, no leak, nothing that grows without bound.

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/link.hpp"
#include "bus/testing/fake_clock.hpp"
#include "bus/testing/scripted_lane.hpp"

namespace caisson {
namespace {

class Bytes {
 public:
  Bytes(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  [[nodiscard]] bool empty() const { return size_ == 0; }
  std::uint8_t next() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

/// Both what the peer does and what this side does, one byte after the other.
class Play {
 public:
  Play(const std::uint8_t* data, std::size_t size)
      : bytes_(data, size), loop_(clock_), scope_(std::make_unique<TaskScope>(loop_)) {}

  void run() {
    const Side side = (bytes_.next() & 1) != 0 ? Side::kGateway : Side::kCapability;
    auto lane = std::make_unique<testing::ScriptedLane>();
    lane_ = lane.get();
    Link::Options options;
    options.max_asked = 8;
    options.max_served = 8;
    Link::Handlers handlers;
    handlers.serve = [this](Incoming request) { return serve(std::move(request)); };
    handlers.control = [](const Frame&) {};
    handlers.down = [this](const Error&) {
      if (++downs_ > 1) std::abort();
      if (drop_when_down_) drop_link();
    };
    link_ = std::make_unique<Link>(loop_, std::move(lane), side, options, std::move(handlers));
    link_->start("fuzz", "hello");
    if ((bytes_.next() & 3) != 0) lane_->hello();
    while (!bytes_.empty()) step();
    drop_when_down_ = true;
    if ((downs_ & 1) != 0)
      drop_link();
    else
      scope_.reset();  // the other order: tasks first
    drop_link();
  }

 private:
  void step() {
    const std::uint8_t what = bytes_.next();
    if (what < 160) return deliver();
    switch (what % 16) {
      case 0:
        return call();
      case 1:
        return open();
      case 2:
        return write();
      case 3:
        return end_write();
      case 4:
        return answer();
      case 5:
        return drop_one(kept_);
      case 6:
        return drop_one(opened_);
      case 7:
        return read();
      case 8:
        return toggle_room();
      case 9:
        clock_.advance(std::chrono::milliseconds(10 * bytes_.next()));
        return turn();
      case 10:
        drop_when_down_ = !drop_when_down_;
        return;
      case 11:
        return control();
      case 12:
        if (bytes_.next() == 7) drop_link();
        return;
      case 13:
        if (link_ && bytes_.next() == 7) link_->close({Errc::kAborted, "closed"});
        return;
      case 14:
        if (bytes_.next() < 16) scope_ = std::make_unique<TaskScope>(loop_);
        return;
      default:
        return turn();
    }
  }

  void turn() {
    for (int i = 0; i < 4; ++i) loop_.turn(Nanos::zero());
    if (lane_ != nullptr) lane_->sent.clear();
  }

  void deliver() {
    Envelope envelope;
    envelope.kind = static_cast<wire::Kind>(bytes_.next() % 16);
    envelope.id = bytes_.next() % 16;
    const std::uint8_t bits = bytes_.next();
    envelope.flags = bits % 8;
    if ((bits & 8) != 0) envelope.error = static_cast<Errc>(bytes_.next());
    if ((bits & 16) != 0) envelope.credit = bytes_.next() * 20'000'000u;
    if ((bits & 32) != 0) envelope.deadline_ns = std::uint64_t{bytes_.next()} << 56 | 1;
    if ((bits & 64) != 0) envelope.version = static_cast<std::uint16_t>(bytes_.next() % 4);
    if ((bits & 128) != 0) envelope.hops = bytes_.next() % 6;
    const std::uint8_t size = bytes_.next();
    if (lane_ != nullptr) lane_->deliver(envelope, std::string(std::size_t{size} * size, 'x'));
  }

  Deadline deadline() {
    const std::uint8_t byte = bytes_.next();
    return byte < 64 ? Deadline::never() : loop_.deadline_in(std::chrono::milliseconds(byte * 4 - 256));
  }

  static Task<void> ask(Link& link, Deadline deadline, bool keep, std::vector<Reply>& replies) {
    const Envelope head;
    Buffer body(std::string("request"));
    auto reply = co_await link.call(head, body, deadline);
    if (reply && keep && replies.size() < 8) replies.push_back(*std::move(reply));
  }
  void call() {
    if (link_ && scope_->size() < 64) scope_->spawn(ask(*link_, deadline(), (bytes_.next() & 1) != 0, replies_));
  }

  void open() {
    if (!link_ || opened_.size() >= 8) return;
    Buffer first(std::string("first"));
    auto call = link_->open(Envelope{}, first, deadline());
    if (call) opened_.push_back(std::make_shared<OpenCall>(*std::move(call)));
  }

  static Task<void> write_to(std::shared_ptr<OpenCall> call, std::size_t size, Deadline deadline) {
    Buffer piece(std::string(size, 'w'));
    [[maybe_unused]] const auto sent = co_await call->body.write(std::move(piece), deadline);
  }
  static Task<void> wait_for(std::shared_ptr<OpenCall> call, Deadline deadline) {
    auto reply = co_await call->reply(deadline);
    if (!reply) co_return;
    [[maybe_unused]] const auto rest = co_await reply->rest.all(1 << 20, deadline);
  }
  void write() {
    const std::uint8_t byte = bytes_.next();
    if (opened_.empty() || scope_->size() >= 64) return;
    const auto& call = opened_[byte % opened_.size()];
    if ((byte & 128) != 0)
      scope_->spawn(write_to(call, std::size_t{byte} * 1024, deadline()));
    else if (call.use_count() == 1)
      scope_->spawn(wait_for(call, deadline()));
  }
  static Task<void> finish(std::shared_ptr<OpenCall> call, Deadline deadline) {
    [[maybe_unused]] const auto sent = co_await call->body.finish(deadline);
  }
  void end_write() {
    const std::uint8_t byte = bytes_.next();
    if (opened_.empty()) return;
    const auto& call = opened_[byte % opened_.size()];
    if ((byte & 128) != 0)
      call->body.fail({Errc::kAborted, "cut"});
    else
      scope_->spawn(finish(call, deadline()));
  }

  Task<void> serve(Incoming request) {
    const std::uint8_t how = bytes_.next();
    if (how < 64) co_return;
    if (how < 128) {
      if (kept_.size() < 16) kept_.push_back(std::make_shared<Incoming>(std::move(request)));
      co_return;
    }
    const Deadline until = deadline();
    BodyReader reader = request.rest();
    [[maybe_unused]] const auto body = co_await reader.all(1 << 20, until);
    Envelope head;
    if (how < 192) {
      Buffer answer(std::string("answer"));
      [[maybe_unused]] const auto sent = co_await request.reply(head, std::move(answer));
      co_return;
    }
    Buffer first(std::string("first"));
    auto writer = co_await request.reply_streamed(head, std::move(first));
    if (!writer) co_return;
    for (int i = 0; i < how - 192; ++i) {
      Buffer piece(std::string(10'000, 's'));
      if (!co_await writer->write(std::move(piece), until)) co_return;
    }
    if ((how & 1) != 0) [[maybe_unused]]
      const auto ended = co_await writer->finish(until);
  }

  static Task<void> answer_kept(std::shared_ptr<Incoming> request, bool error) {
    if (error) {
      Error reason{Errc::kNotFound, "no"};
      [[maybe_unused]] const auto sent = co_await request->reply_error(std::move(reason));
      co_return;
    }
    Envelope head;
    Buffer body(std::string("kept"));
    [[maybe_unused]] const auto sent = co_await request->reply(head, std::move(body));
  }
  void answer() {
    const std::uint8_t byte = bytes_.next();
    if (kept_.empty() || scope_->size() >= 64) return;
    scope_->spawn(answer_kept(kept_[byte % kept_.size()], (byte & 128) != 0));
  }

  static Task<void> read_kept(std::shared_ptr<Incoming> request, Deadline deadline) {
    BodyReader reader = request->rest();
    [[maybe_unused]] const auto piece = co_await reader.next(deadline);
  }
  void read() {
    const std::uint8_t byte = bytes_.next();
    if (kept_.empty() || scope_->size() >= 64) return;
    scope_->spawn(read_kept(kept_[byte % kept_.size()], deadline()));
  }

  template <class T>
  void drop_one(std::vector<T>& some) {
    const std::uint8_t byte = bytes_.next();
    if ((byte & 128) != 0 && !replies_.empty()) return replies_.pop_back();
    if (!some.empty()) some.erase(some.begin() + byte % some.size());
  }

  static Task<void> send_later(Link& link) {
    Envelope status;
    status.kind = wire::Kind::Status;
    Buffer payload(std::string("status"));
    [[maybe_unused]] const auto sent = co_await link.send_when_room(status, std::move(payload), Deadline::never());
  }
  void control() {
    if (link_ && scope_->size() < 64) scope_->spawn(send_later(*link_));
  }

  void toggle_room() {
    if (lane_ == nullptr) return;
    lane_->full = !lane_->full;
    if (!lane_->full) lane_->writable();
  }

  void drop_link() {
    lane_ = nullptr;
    link_.reset();
  }

  Bytes bytes_;
  testing::FakeClock clock_;
  EventLoop loop_;
  testing::ScriptedLane* lane_ = nullptr;
  int downs_ = 0;
  bool drop_when_down_ = false;
  std::vector<Reply> replies_;
  std::vector<std::shared_ptr<OpenCall>> opened_;
  std::vector<std::shared_ptr<Incoming>> kept_;
  std::unique_ptr<Link> link_;
  std::unique_ptr<TaskScope> scope_;
};

}  // namespace
}  // namespace caisson

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  auto play = std::make_unique<caisson::Play>(data, size);
  play->run();
  return 0;
}
