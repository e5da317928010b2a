// Bytes of an app, in two arbitrary cuts, through our side of HTTP/2 with a request open, and what is read of
// gRPC from the answer.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "bus/clock.hpp"
#include "bus/event_loop.hpp"
#include "gateway/http2_session.hpp"
#include "gateway/rpc_message.hpp"

namespace {

using caisson::gateway::Http2Session;
using caisson::gateway::Http2Stream;

struct Quiet final : Http2Session::Handler {
  void on_request(const std::shared_ptr<Http2Stream>&) override {}
  void on_closed(Http2Stream&) override {}
  void on_output() override {}
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  static const caisson::SystemClock clock;
  static caisson::EventLoop loop(clock);
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 2, size - 2);
  const std::size_t cut = bytes.empty() ? 0 : (data[0] * 256U + data[1]) % bytes.size();

  Quiet handler;
  Http2Session::Options options;
  options.role = Http2Session::Role::kClient;
  options.head_limit = 1024;
  Http2Session session(loop, handler, options);
  session.start();
  // An empty SETTINGS, so that what follows is looked at.
  const std::string_view settings("\0\0\0\4\0\0\0\0\0", 9);
  if (!session.receive(settings) || !session.ready()) __builtin_trap();
  const std::vector<caisson::Field> fields = {
      {":method", "POST"}, {":scheme", "http"}, {":authority", "a"}, {":path", "/a.B/C"}};
  const auto stream = session.request(fields, false);
  stream->send(caisson::Buffer::copy_of("message"));
  std::string out;
  if (!session.collect(out, 64 * 1024)) return 0;

  for (const std::string_view piece : {bytes.substr(0, cut), bytes.substr(cut)}) {
    if (!session.receive(piece)) break;
    if (!session.collect(out, 64 * 1024)) break;
    if (stream->arrived().size() > options.stream_window) __builtin_trap();
  }
  const std::string body = stream->take();
  std::ignore = caisson::gateway::take_rpc_message(body, "gzip", 1000);
  std::ignore = caisson::gateway::decode_rpc_text(stream->trailers().get("grpc-message"));
  std::ignore = session.has_room();
  if (stream->refused() && !stream->closed()) __builtin_trap();
  return 0;
}
