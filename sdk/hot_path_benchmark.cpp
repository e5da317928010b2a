// What one request costs a process besides its sockets: the envelope, the link, the SDK and the event loop. Both sides
// of a link alone, over a lane that does what every lane does (copy, verify, encode) and nothing else; then both
// together over inproc://. CPU time per request. Run it with --benchmark_filter=NAME for one of them.

#include <benchmark/benchmark.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "bus/inproc_lane.hpp"
#include "bus/link.hpp"
#include "sdk/http_reply.hpp"
#include "sdk/process.hpp"

namespace caisson {
namespace {

constexpr std::uint16_t kRoute = 1;
constexpr int kBatch = 32;  // requests in flight
constexpr std::string_view kBody = R"({"name":"cart","items":[{"id":1,"count":2},{"id":7,"count":1}]})";
const std::string kKey = "orders-4711";

/// What a lane has copied out of the peer's memory, taken from a stock as lanes do.
class Copies {
 public:
  MemoryRef copy(const std::vector<std::uint8_t>& envelope) {
    if (free_.empty()) free_.push_back(std::make_unique<Copy>(*this));
    Copy* const copy = free_.back().release();
    free_.pop_back();
    std::memcpy(copy->bytes, envelope.data(), envelope.size());
    return MemoryRef(copy);
  }
  static std::uint8_t* bytes(const MemoryRef& memory) { return static_cast<Copy*>(memory.get())->bytes; }

 private:
  struct Copy final : Memory {
    explicit Copy(Copies& owner) : stock(owner) {}
    void release() noexcept override { stock.free_.emplace_back(this); }
    Copies& stock;
    alignas(kEnvelopeAlignment) std::uint8_t bytes[1024];
  };
  std::vector<std::unique_ptr<Copy>> free_;
};

/// A lane whose peer is the benchmark.
class BenchmarkLane final : public Lane {
 public:
  void start(Receiver& receiver) override {
    receiver_ = &receiver;
    Envelope hello;
    hello.kind = wire::Kind::Hello;
    deliver(encoded(hello), 0, {});
  }
  Result<Buffer> loan(std::size_t size) override { return Buffer(std::string(size, '\0')); }
  Result<void> publish(const Envelope& envelope, Buffer& payload) override {
    benchmark::DoNotOptimize(encode(builder_, envelope).data());
    last_id = envelope.id;
    ++published;
    payload = Buffer();
    return ok();
  }
  [[nodiscard]] const LaneCounters& counters() const override { return counters_; }

  static std::vector<std::uint8_t> encoded(const Envelope& envelope) {
    flatbuffers::FlatBufferBuilder builder;
    const auto bytes = encode(builder, envelope);
    return {bytes.begin(), bytes.end()};
  }

  /// Delivers the envelope under another id.
  void deliver(const std::vector<std::uint8_t>& envelope, std::uint64_t id, std::string_view payload) {
    MemoryRef memory = copies_.copy(envelope);
    std::uint8_t* const bytes = Copies::bytes(memory);
    if (id != 0) {
      const auto* const field = flatbuffers::GetRoot<flatbuffers::Table>(bytes)->GetAddressOf(wire::Envelope::VT_ID);
      std::memcpy(bytes + (field - bytes), &id, sizeof id);
    }
    const auto verified = verify_envelope({bytes, envelope.size()});
    if (!verified) std::abort();
    receiver_->on_frame(Frame(std::move(memory), *verified, payload));
  }

  std::uint64_t last_id = 0;
  std::uint64_t published = 0;

 private:
  Copies copies_;
  Receiver* receiver_ = nullptr;
  flatbuffers::FlatBufferBuilder builder_;
  LaneCounters counters_;
};

Envelope request(std::vector<Field>& parameters, std::vector<Field>& headers) {
  parameters = {{"store", "cart-store"}, {"key", kKey}};
  headers = {{"host", "localhost:3500"}, {"accept", "*/*"}};
  Envelope out;
  out.kind = wire::Kind::Request;
  out.id = 1;
  out.request = {1, 2, 3};
  out.route = kRoute;
  out.app = "shop";
  out.deadline_ns = static_cast<std::uint64_t>((SystemClock().now() + std::chrono::hours(1)).count());
  out.method = "GET";
  out.path = "/v1.0/state/cart-store/orders-4711";
  out.parameters = parameters;
  out.headers = headers;
  return out;
}

/// One capability whose route answers at once, or waits for `go` first as for a backend.
class OneRoute final : public sdk::Capability {
 public:
  OneRoute(sdk::Context& context, bool waits) : context_(context), waits_(waits) {}

  void define(sdk::Definition& definition) override {
    Route route;
    route.method = "GET";
    route.path = "/v1.0/state/{store}/{key}";
    if (waits_)
      definition.route(route, [this](sdk::Request& request) { return get_later(request); });
    else
      definition.route(route, [this](sdk::Request& request) { return get(request); });
  }

  WaitQueue go;

 private:
  static sdk::Response entry(const sdk::Request& request) {
    if (request.parameter("key") != kKey) std::abort();
    sdk::Response response = sdk::json_response(std::string(kBody));
    response.headers.emplace_back("etag", "7");
    return response;
  }
  Task<sdk::Response> get(sdk::Request& request) { co_return entry(request); }
  Task<sdk::Response> get_later(sdk::Request& request) {
    const Wake why = co_await go.wait(context_.loop(), request.deadline());
    if (why == Wake::kDeadline) std::abort();
    co_return entry(request);
  }

  sdk::Context& context_;
  bool waits_;
};

/// A process with that capability, and the app `shop` behind the lane it adopted.
class Served {
 public:
  Served(EventLoop& loop, bool waits)
      : process(loop, {"state", "state-1", {}, {}, {}}, [this, waits](sdk::Context& context) {
          auto made = std::make_unique<OneRoute>(context, waits);
          capability = made.get();
          return made;
        }) {
    [[maybe_unused]] const auto started = process.start();
  }
  static Envelope app() {
    Envelope out;
    out.kind = wire::Kind::App;
    out.app = "shop";
    return out;
  }

  OneRoute* capability = nullptr;
  sdk::Process process;
};

// --- the benchmarks ---

void encode_request(benchmark::State& state) {
  std::vector<Field> parameters, headers;
  const Envelope envelope = request(parameters, headers);
  flatbuffers::FlatBufferBuilder builder;
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(encode(builder, envelope).data());
}
BENCHMARK(encode_request);

void verify_request(benchmark::State& state) {
  std::vector<Field> parameters, headers;
  const auto bytes = BenchmarkLane::encoded(request(parameters, headers));
  for ([[maybe_unused]] auto _ : state) benchmark::DoNotOptimize(verify_envelope(bytes));
}
BENCHMARK(verify_request);

/// The capability's side: frame in, handler that answers at once, reply out.
void serve(benchmark::State& state) {
  SystemClock clock;
  EventLoop loop(clock);
  Served served(loop, /*waits=*/false);
  auto made = std::make_unique<BenchmarkLane>();
  BenchmarkLane& lane = *made;
  served.process.adopt(std::move(made));
  lane.deliver(BenchmarkLane::encoded(Served::app()), 0, {});
  std::vector<Field> parameters, headers;
  const auto bytes = BenchmarkLane::encoded(request(parameters, headers));
  std::uint64_t id = 0;
  for ([[maybe_unused]] auto _ : state) {
    lane.deliver(bytes, ++id, {});
    if (lane.last_id != id) std::abort();
  }
}
BENCHMARK(serve);

/// The same with a handler that waits, until its deadline at most, in batches of requests per turn of the loop.
void serve_after_wait(benchmark::State& state) {
  SystemClock clock;
  EventLoop loop(clock);
  Served served(loop, /*waits=*/true);
  auto made = std::make_unique<BenchmarkLane>();
  BenchmarkLane& lane = *made;
  served.process.adopt(std::move(made));
  lane.deliver(BenchmarkLane::encoded(Served::app()), 0, {});
  std::vector<Field> parameters, headers;
  const auto bytes = BenchmarkLane::encoded(request(parameters, headers));
  std::uint64_t id = 0;
  while (state.KeepRunningBatch(kBatch)) {
    for (int i = 0; i < kBatch; ++i) lane.deliver(bytes, ++id, {});
    served.capability->go.wake_all();
    loop.turn(Nanos::zero());
    if (lane.last_id != id) std::abort();
  }
}
BENCHMARK(serve_after_wait);

Task<void> ask_once(Link& link, const Envelope& envelope, Deadline deadline, int& answered) {
  Buffer body;
  auto asked = link.ask(envelope, body, deadline);
  if (!asked) std::abort();
  auto replying = asked->reply(deadline);
  const auto reply = co_await std::move(replying);
  if (!reply || reply->head->status() != 200) std::abort();
  ++answered;
}

/// The gateway's side: ask, wait, answer in; batches of requests per turn of the loop.
void ask(benchmark::State& state) {
  SystemClock clock;
  EventLoop loop(clock);
  auto made = std::make_unique<BenchmarkLane>();
  BenchmarkLane& lane = *made;
  Link link(loop, std::move(made), Side::kGateway, {}, {});
  link.start("gateway", "{}");
  TaskScope scope(loop);
  std::vector<Field> parameters, headers;
  const Envelope envelope = request(parameters, headers);
  std::vector<Field> reply_headers{{"content-type", "application/json"}, {"etag", "7"}};
  Envelope reply;
  reply.kind = wire::Kind::Reply;
  reply.id = 1;
  reply.status = 200;
  reply.headers = reply_headers;
  const auto bytes = BenchmarkLane::encoded(reply);
  const Deadline deadline = loop.deadline_in(std::chrono::hours(1));
  int answered = 0;
  while (state.KeepRunningBatch(kBatch)) {
    const std::uint64_t before = lane.last_id;
    answered = 0;
    for (int i = 0; i < kBatch; ++i) scope.spawn(ask_once(link, envelope, deadline, answered));
    for (std::uint64_t id = lane.last_id - kBatch + 1; id <= lane.last_id; ++id) lane.deliver(bytes, id, kBody);
    loop.turn(Nanos::zero());
    if (answered != kBatch || lane.last_id == before) std::abort();
  }
}
BENCHMARK(ask);

/// Both sides in one process.
void over_inproc(benchmark::State& state) {
  SystemClock clock;
  EventLoop loop(clock);
  Served served(loop, /*waits=*/false);
  auto [gateway_end, capability_end] = make_inproc_lanes(loop, 1024);
  Link link(loop, std::move(gateway_end), Side::kGateway, {}, {});
  link.start("gateway", "{}");
  served.process.adopt(std::move(capability_end));
  while (!link.ready() || !served.process.linked()) loop.turn(Nanos::zero());
  Buffer nothing;
  [[maybe_unused]] const auto sent = link.send(Served::app(), nothing);
  TaskScope scope(loop);
  std::vector<Field> parameters, headers;
  const Envelope envelope = request(parameters, headers);
  const Deadline deadline = loop.deadline_in(std::chrono::hours(1));
  int answered = 0;
  while (state.KeepRunningBatch(kBatch)) {
    answered = 0;
    for (int i = 0; i < kBatch; ++i) scope.spawn(ask_once(link, envelope, deadline, answered));
    while (answered < kBatch) loop.turn(Nanos::zero());
  }
}
BENCHMARK(over_inproc);

/// A task that is awaited and ends without waiting.
void await_task(benchmark::State& state) {
  SystemClock clock;
  EventLoop loop(clock);
  TaskScope scope(loop);
  struct Tasks {
    static Task<int> one() { co_return 1; }
    static Task<void> all(benchmark::State& state) {
      for ([[maybe_unused]] auto _ : state) {
        auto task = one();
        benchmark::DoNotOptimize(co_await std::move(task));
      }
    }
  };
  scope.spawn(Tasks::all(state));
}
BENCHMARK(await_task);

}  // namespace
}  // namespace caisson

BENCHMARK_MAIN();
