// A lane between two processes, through the interface that the runtime uses: envelopes encoded, verified.
//   caisson_bench_lane round-trip|one-way shm://PATH|ipc://PATH|tcp://127.0.0.1:0|inproc://NAME
//                      [--cpus A,B] [--seconds S] [--size BYTES] [--spin]
// inproc has both ends in one process and one event loop. --size is the payload's; the envelope comes on top.

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <string>

#include "bench/programs/measure.hpp"
#include "bench/programs/system_calls.hpp"
#include "bus/event_loop.hpp"
#include "bus/transport.hpp"

namespace caisson::bench {
namespace {

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "%s\n", why.c_str());
  std::exit(1);
}

/// The last message of a stream; the receiver answers it with what it has counted.
constexpr std::uint64_t kEnd = ~std::uint64_t{0};

struct Counted {
  std::uint64_t messages;
  std::uint64_t system_calls;
};

Envelope envelope(wire::Kind kind, std::uint64_t id) {
  Envelope made;
  made.kind = kind;
  made.id = id;
  if (kind == wire::Kind::Request) made.deadline_ns = 1;
  if (kind == wire::Kind::Reply) made.status = 200;
  return made;
}

/// Answers each request with its payload, or counts them and answers the last.
class Server final : public Lane::Receiver {
 public:
  Server(EventLoop& loop, std::unique_ptr<Lane> lane, bool echoes)
      : loop_(loop), echoes_(echoes), lane_(std::move(lane)) {
    lane_->start(*this);
  }

 private:
  void on_frame(Frame frame) override {
    const std::uint64_t id = frame->id();
    if (echoes_) return answer(id, std::move(frame).into_payload());
    if (id != kEnd) return void(++counted_);
    const Counted counted{counted_, system_calls()};
    answer(id, Buffer::copy_of({reinterpret_cast<const char*>(&counted), sizeof counted}));
  }
  void on_writable() override {}
  void on_down(Error) override { loop_.stop(); }

  /// One answer at a time, so there is always room.
  void answer(std::uint64_t id, Buffer payload) {
    const auto sent = lane_->publish(envelope(wire::Kind::Reply, id), payload);
    if (!sent) fail("answer: " + sent.error().message);
  }

  EventLoop& loop_;
  bool echoes_;
  std::uint64_t counted_ = 0;
  std::unique_ptr<Lane> lane_;
};

/// One request after the other.
class Asker final : public Lane::Receiver {
 public:
  Asker(EventLoop& loop, std::unique_ptr<Lane> lane, const Options& options)
      : loop_(loop), message_(options.size, 'x'), trips_(options.seconds), lane_(std::move(lane)) {
    lane_->start(*this);
    if (trips_.begin()) ask();
  }
  std::string json() { return trips_.json(); }

 private:
  void on_frame(Frame frame) override {
    if (frame->id() != id_ || frame.payload() != message_) fail("not the answer to what was asked");
    trips_.end();
    if (!trips_.begin()) return loop_.stop();
    ask();
  }
  void on_writable() override { publish(); }
  void on_down(Error reason) override { fail("lane: " + reason.message); }

  void ask() {
    ++id_;
    publish();
  }
  void publish() {
    Buffer payload({}, message_);
    const auto sent = lane_->publish(envelope(wire::Kind::Request, id_), payload);
    // A lane that is not connected yet has no room; on_writable() goes on.
    if (!sent && sent.error().code != Errc::kResourceExhausted) fail("request: " + sent.error().message);
  }

  EventLoop& loop_;
  std::string message_;
  std::uint64_t id_ = 0;
  RoundTrips trips_;
  std::unique_ptr<Lane> lane_;
};

/// As many messages as the lane takes, in batches between which its loop turns.
class Sender final : public Lane::Receiver {
 public:
  Sender(EventLoop& loop, std::unique_ptr<Lane> lane, const Options& options)
      : loop_(loop), message_(options.size, 'x'), lane_(std::move(lane)) {
    lane_->start(*this);
    began_ = now_ns();
    until_ = began_ + static_cast<std::int64_t>(options.seconds * 1e9);
    calls_before_ = system_calls();
    send();
  }
  std::string json() {
    const auto messages = static_cast<double>(sent_);
    const double calls = static_cast<double>(calls_here_ + there_->system_calls);
    return json_of({{"messages", messages},
                    {"per_second", messages / static_cast<double>(spent_) * 1e9},
                    {"system_calls_per_message", calls / messages}});
  }

 private:
  void send() {
    constexpr int kBatch = 256;
    for (int i = 0; i < kBatch; ++i) {
      if (!publish(sent_)) return;  // on_writable() goes on
      ++sent_;
    }
    if (now_ns() < until_) return loop_.post([this] { send(); });
    ended_ = true;
    publish(kEnd);
  }
  bool publish(std::uint64_t id) {
    Buffer payload({}, message_);
    const auto sent = lane_->publish(envelope(wire::Kind::Request, id), payload);
    if (!sent && sent.error().code != Errc::kResourceExhausted) fail("message: " + sent.error().message);
    return static_cast<bool>(sent);
  }

  void on_frame(Frame frame) override {
    spent_ = now_ns() - began_;
    calls_here_ = system_calls() - calls_before_;
    there_.emplace();
    if (frame.payload().size() != sizeof *there_) fail("not the count that was asked for");
    std::memcpy(&*there_, frame.payload().data(), sizeof *there_);
    if (there_->messages != sent_) fail("messages were lost");
    loop_.stop();
  }
  void on_writable() override {
    if (ended_)
      publish(kEnd);
    else
      send();
  }
  void on_down(Error reason) override { fail("lane: " + reason.message); }

  EventLoop& loop_;
  std::string message_;
  bool ended_ = false;
  std::uint64_t sent_ = 0;
  std::uint64_t calls_before_ = 0;
  std::uint64_t calls_here_ = 0;
  std::int64_t began_ = 0;
  std::int64_t until_ = 0;
  std::int64_t spent_ = 0;
  std::optional<Counted> there_;
  std::unique_ptr<Lane> lane_;
};

/// One end's clock, loop and lanes. Its thread is kept on `cpu`; where it spins only once it has its lane, because a
/// lane that is made by a process with one CPU never spins.
struct End {
  End(const Options& options, int its_cpu) : cpu(its_cpu), transport(loop, options.spin ? Spin::kOn : Spin::kOff) {
    if (!options.spin) pin(cpu);
  }

  SystemClock clock;
  EventLoop loop{clock};
  int cpu;
  Transport transport;
  std::unique_ptr<LaneListener> listener;
  std::unique_ptr<Server> server;

  std::string listen(const Options& options) {
    auto made = transport.make_listener(options.address);
    if (!made) fail(made.error().message);
    listener = *std::move(made);
    const bool echoes = options.what == "round-trip";
    const auto listening = listener->listen([this, echoes](std::unique_ptr<Lane> lane) {
      pin(cpu);
      server = std::make_unique<Server>(loop, std::move(lane), echoes);
    });
    if (!listening) fail(listening.error().message);
    return listener->address();
  }

  std::string ask(const Options& options, const std::string& address) {
    auto lane = transport.connect(address);
    if (!lane) fail(lane.error().message);
    pin(cpu);
    if (options.what == "round-trip") {
      Asker asker(loop, *std::move(lane), options);
      loop.run();
      return asker.json();
    }
    Sender sender(loop, *std::move(lane), options);
    loop.run();
    return sender.json();
  }
};

std::string measure(const Options& options) {
  if (options.address.starts_with("inproc://")) {
    End both(options, options.cpus[0]);
    const std::string address = both.listen(options);
    std::string result = both.ask(options, address);
    both.server.reset();
    return result;
  }
  int pipe[2];
  if (::pipe(pipe) != 0) fail("pipe");
  const int child = in_child(-1, [&] {
    End end(options, options.cpus[1]);
    const std::string address = end.listen(options);
    if (::write(pipe[1], address.data(), address.size()) < 0) fail("write");
    end.loop.run();
  });
  ::close(pipe[1]);  // or a child that has ended would not be noticed
  char address[4096];
  const auto length = ::read(pipe[0], address, sizeof address);
  if (length <= 0) fail("the listener did not come up");
  std::string result =
      End(options, options.cpus[0]).ask(options, std::string(address, static_cast<std::size_t>(length)));
  end_and_reap(child);
  return result;
}

}  // namespace
}  // namespace caisson::bench

int main(int count, char** arguments) {
  using namespace caisson::bench;
  const Options options = parse(count, arguments, {"round-trip", "one-way"}, true);
  std::puts(measure(options).c_str());
}
