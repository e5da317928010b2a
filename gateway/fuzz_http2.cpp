// Any bytes after HTTP/2's preface, in pieces whose sizes the first byte chooses: a session never crashes,
// keeps its promises about streams, and what it collects is bounded. Every request is answered at once.
#include <cstdlib>
#include <string>
#include <vector>

#include "bus/clock.hpp"
#include "bus/event_loop.hpp"
#include "gateway/http2_session.hpp"

namespace {

using namespace caisson;
using namespace caisson::gateway;

class Stopped final : public Clock {
 public:
  [[nodiscard]] Nanos now() const override { return std::chrono::seconds(1); }
};

class Answering final : public Http2Session::Handler {
 public:
  void on_request(const std::shared_ptr<Http2Stream>& stream) override { requests.push_back(stream); }
  void on_closed(Http2Stream& stream) override {
    if (!stream.closed()) std::abort();
  }
  void on_output() override {}
  std::vector<std::shared_ptr<Http2Stream>> requests;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  static const Stopped clock;
  static EventLoop loop(clock);
  const std::size_t piece = data[0] == 0 ? size : data[0];
  const std::string bytes = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string("\0\0\0\4\0\0\0\0\0", 9) +
                            std::string(reinterpret_cast<const char*>(data) + 1, size - 1);

  Answering handler;
  Http2Session session(loop, handler, {.head_limit = 4096, .max_streams = 8});
  session.start();
  for (std::size_t at = 0; at < bytes.size() && !session.over(); at += piece) {
    const Result<void> received = session.receive(std::string_view(bytes).substr(at, piece));
    for (const auto& stream : handler.requests) {
      if (stream->closed()) continue;
      [[maybe_unused]] const std::string body = stream->take();
      const Field fields[] = {{":status", "200"}, {"x", stream->head().get(":path")}};
      const Field trailers[] = {{"grpc-status", "0"}};
      stream->send_head(fields, stream->head_too_large());
      stream->send(Buffer::copy_of("answer"));
      stream->finish(trailers);
    }
    handler.requests.clear();
    if (session.streams() > 64) std::abort();
    std::string out;
    const Result<void> collected = session.collect(out, 64 * 1024);
    if (out.size() > 256 * 1024) std::abort();
    if (!received || !collected) break;
  }
  return 0;
}
