// ZeroMQ without anything of ours: one PAIR of sockets, blocking calls, messages without an envelope.
//   caisson_bench_zmq round-trip|one-way ipc://PATH|inproc://NAME [--cpus A,B] [--seconds S] [--size BYTES]
// ipc: two processes; inproc: two threads.

#include <zmq.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>

#include "bench/programs/measure.hpp"

namespace caisson::bench {
namespace {

void must(bool held, const char* what) {
  if (held) return;
  std::fprintf(stderr, "%s: %s\n", what, zmq_strerror(zmq_errno()));
  std::exit(1);
}

/// The end of a stream of messages; the receiver answers it with its count.
constexpr std::string_view kEnd = "end";

class Socket {
 public:
  Socket(void* context, const std::string& address, bool binds) : socket_(zmq_socket(context, ZMQ_PAIR)) {
    must(socket_ != nullptr, "zmq_socket");
    must((binds ? zmq_bind : zmq_connect)(socket_, address.c_str()) == 0, address.c_str());
  }
  void send(std::string_view data) { must(zmq_send(socket_, data.data(), data.size(), 0) >= 0, "zmq_send"); }
  std::string_view receive() {
    const int size = zmq_recv(socket_, buffer_, sizeof buffer_, 0);
    must(size >= 0 && static_cast<std::size_t>(size) <= sizeof buffer_, "zmq_recv");
    return {buffer_, static_cast<std::size_t>(size)};
  }

 private:
  void* socket_;
  char buffer_[65536];
};

void serve(Socket& socket, bool echoes) {
  for (std::uint64_t count = 0;; ++count) {
    const std::string_view message = socket.receive();
    if (message == kEnd) return socket.send(std::to_string(count));
    if (echoes) socket.send(message);
  }
}

std::string round_trips(Socket& socket, const Options& options) {
  const std::string message(options.size, 'x');
  RoundTrips trips(options.seconds);
  while (trips.begin()) {
    socket.send(message);
    socket.receive();
    trips.end();
  }
  return trips.json();
}

std::string one_way(Socket& socket, const Options& options) {
  const std::string message(options.size, 'x');
  const std::int64_t began = now_ns();
  const std::int64_t until = began + static_cast<std::int64_t>(options.seconds * 1e9);
  std::uint64_t sent = 0;
  while (now_ns() < until) {
    for (int i = 0; i < 256; ++i, ++sent) socket.send(message);
  }
  socket.send(kEnd);
  must(socket.receive() == std::to_string(sent), "messages were lost");
  const auto spent = static_cast<double>(now_ns() - began);
  return json_of({{"messages", static_cast<double>(sent)}, {"per_second", static_cast<double>(sent) / spent * 1e9}});
}

std::string measure(const Options& options) {
  const bool echoes = options.what == "round-trip";
  const auto ask = [&](void* context) {
    Socket socket(context, options.address, true);
    return echoes ? round_trips(socket, options) : one_way(socket, options);
  };
  if (options.address.starts_with("inproc://")) {
    void* context = zmq_ctx_new();
    std::thread([&options, context, echoes] {
      pin(options.cpus[1]);
      Socket socket(context, options.address, false);
      serve(socket, echoes);
    }).detach();
    pin(options.cpus[0]);
    return ask(context);
  }
  // Each process makes its context after the fork: ZeroMQ's threads do not come along.
  const int child = in_child(options.cpus[1], [&] {
    Socket socket(zmq_ctx_new(), options.address, false);
    serve(socket, echoes);
    socket.receive();  // until the parent ends this process: what was sent is then on its way
  });
  pin(options.cpus[0]);
  std::string result = ask(zmq_ctx_new());
  end_and_reap(child);
  return result;
}

}  // namespace
}  // namespace caisson::bench

int main(int count, char** arguments) {
  using namespace caisson::bench;
  const Options options = parse(count, arguments, {"round-trip", "one-way"}, true);
  std::puts(measure(options).c_str());
  std::fflush(stdout);
  std::_Exit(0);  // the contexts have threads that nobody needs to wait for
}
