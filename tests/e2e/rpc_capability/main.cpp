// The capability of grpc_test.py: the four kinds of gRPC methods over bytes that mean nothing, each
// message of a call in the one word that says what to do with it.
//   /caisson.test.Rpc/Unary          "fail:CODE:TEXT" ends so, "big:N" gives N bytes, "wait" waits until the
//                                    caller leaves or its time is over; all else comes back
//   /caisson.test.Rpc/Expand         server stream: "N:SIZE" gives N messages of SIZE bytes
//   /caisson.test.Rpc/Count          client stream: how many messages and bytes came
//   /caisson.test.Rpc/Chat           bidi: each message comes back
#include <fmt/format.h>

#include <charconv>

#include "bus/event_loop.hpp"
#include "sdk/capability.hpp"
#include "sdk/rpc.hpp"

namespace {

using namespace caisson;

constexpr std::size_t kLimit = 8 * 1024 * 1024;

std::size_t number(std::string_view text) {
  std::size_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

/// Counts, when its task ends without having been told that it is finished.
struct Abandoned {
  explicit Abandoned(sdk::Counter& in) : counter(in) {}
  Abandoned(const Abandoned&) = delete;
  ~Abandoned() {
    if (!finished) counter.add();
  }
  sdk::Counter& counter;
  bool finished = false;
};

class RpcCapability final : public sdk::Capability {
 public:
  explicit RpcCapability(sdk::Context& context) : context_(context) {}

  void define(sdk::Definition& definition) override {
    definition.manifest().takes_config = false;
    const auto route = [](Rpc kind, const char* path) {
      Route made;
      made.rpc = kind;
      made.method = "POST";
      made.path = path;
      made.errors = ErrorShape::kGrpc;
      return made;
    };
    definition.route(route(Rpc::kUnary, "/caisson.test.Rpc/Unary"), [this](sdk::Request& r) { return unary(r); });
    definition.stream_route(route(Rpc::kStream, "/caisson.test.Rpc/Expand"),
                            [this](sdk::Request r) { return expand(std::move(r)); });
    definition.stream_route(route(Rpc::kStream, "/caisson.test.Rpc/Count"),
                            [this](sdk::Request r) { return count(std::move(r)); });
    definition.stream_route(route(Rpc::kStream, "/caisson.test.Rpc/Chat"),
                            [this](sdk::Request r) { return chat(std::move(r)); });
  }

  void start() override {
    abandoned_ = context_.counters().counter("rpc_abandoned_total");
    written_ = context_.counters().counter("rpc_bytes_written_total");
  }

 private:
  Task<sdk::Response> unary(sdk::Request& request) {
    const std::string_view said = request.body();
    if (said.starts_with("fail:")) {
      const auto colon = said.find(':', 5);
      co_return sdk::rpc_response(
          {static_cast<Errc>(number(said.substr(5, colon - 5))), std::string(said.substr(colon + 1)), {}});
    }
    if (said.starts_with("big:")) co_return sdk::rpc_response(std::string(number(said.substr(4)), 'x'));
    if (said == "wait") {
      Abandoned abandoned(abandoned_);
      WaitQueue nobody;
      co_await nobody.wait(context_.loop(), request.deadline());
      co_return sdk::rpc_response("waited");
    }
    sdk::Response response = sdk::rpc_response(std::string(said));
    response.headers.emplace_back("x-path", std::string(request.path()));
    response.headers.emplace_back("x-mine", std::string(request.header("x-mine")));
    response.trailers.emplace_back("x-mine-bin", std::string(request.header("x-mine-bin")));
    co_return response;
  }

  Task<void> expand(sdk::Request request) {
    Abandoned abandoned(abandoned_);
    sdk::RpcReader reader = reader_of(request);
    auto reading = reader.next(request.deadline());
    const auto asked = co_await std::move(reading);
    auto writer = co_await begin(request);
    if (!asked || !*asked || !writer) co_return;
    const std::string_view said = **asked;
    const std::size_t times = number(said);
    const std::string message(number(said.substr(said.find(':') + 1)), 'y');
    for (std::size_t i = 0; i < times; ++i) {
      auto writing = writer->write(Buffer(sdk::rpc_frame(message)), request.deadline());
      const auto written = co_await std::move(writing);
      if (!written) co_return;
      written_.add(message.size());
    }
    auto finishing = writer->finish(request.deadline(), sdk::rpc_end({}));
    [[maybe_unused]] const auto finished = co_await std::move(finishing);
    abandoned.finished = true;
  }

  Task<void> count(sdk::Request request) {
    sdk::RpcReader reader = reader_of(request);
    std::size_t messages = 0;
    std::size_t bytes = 0;
    while (true) {
      auto reading = reader.next(request.deadline());
      const auto message = co_await std::move(reading);
      if (!message || !*message) break;
      ++messages;
      bytes += (*message)->size();
    }
    auto writer = co_await begin(request);
    if (!writer) co_return;
    Buffer answer(sdk::rpc_frame(fmt::format("{} {}", messages, bytes)));
    auto writing = writer->write(std::move(answer), request.deadline());
    [[maybe_unused]] const auto written = co_await std::move(writing);
    auto finishing = writer->finish(request.deadline(), sdk::rpc_end({}));
    [[maybe_unused]] const auto finished = co_await std::move(finishing);
  }

  Task<void> chat(sdk::Request request) {
    Abandoned abandoned(abandoned_);
    auto writer = co_await begin(request);
    if (!writer) co_return;
    sdk::RpcReader reader = reader_of(request);
    while (true) {
      auto reading = reader.next(request.deadline());
      const auto message = co_await std::move(reading);
      if (!message) co_return;
      if (!*message) break;
      auto writing = writer->write(Buffer(sdk::rpc_frame(**message)), request.deadline());
      const auto written = co_await std::move(writing);
      if (!written) co_return;
    }
    auto finishing = writer->finish(request.deadline(), sdk::rpc_end({}));
    [[maybe_unused]] const auto finished = co_await std::move(finishing);
    abandoned.finished = true;
  }

  static sdk::RpcReader reader_of(sdk::Request& request) {
    return {std::string(request.body()), request.incoming().rest(), std::string(request.header("grpc-encoding")),
            kLimit};
  }

  static Task<Result<BodyWriter>> begin(sdk::Request& request) {
    const Field headers[] = {{"x-lead", "yes"}};
    Envelope head;
    head.headers = headers;
    auto replying = request.incoming().reply_streamed(head, Buffer());
    co_return co_await std::move(replying);
  }

  sdk::Context& context_;
  sdk::Counter abandoned_;
  sdk::Counter written_;
};

}  // namespace

int main(int argc, char** argv) {
  return sdk::run(argc, argv, "rpctest",
                  [](sdk::Context& context) { return std::make_unique<RpcCapability>(context); });
}
