// iceoryx (Debian's) between two processes: request and response of 128 bytes, both sides asleep in a WaitSet.
//   caisson_bench_iceoryx round-trip [--cpus A,B] [--seconds S]
// Needs its daemon, iox-roudi, to run.

#include <cstdio>
#include <iceoryx_posh/popo/client.hpp>
#include <iceoryx_posh/popo/server.hpp>
#include <iceoryx_posh/popo/wait_set.hpp>
#include <iceoryx_posh/runtime/posh_runtime.hpp>
#include <string>

#include "bench/programs/measure.hpp"

namespace caisson::bench {
namespace {

struct Message {
  char bytes[128];
};

/// A service of this run's own: the daemon keeps one of a process that was killed for a while.
iox::capro::ServiceDescription service(const std::string& name) {
  return {"caisson", "bench", iox::capro::IdString_t(iox::cxx::TruncateToCapacity, name)};
}

[[noreturn]] void fail(const char* why) {
  std::fprintf(stderr, "iceoryx: %s\n", why);
  std::exit(1);
}

void serve(const std::string& name) {
  iox::runtime::PoshRuntime::initRuntime(iox::RuntimeName_t(iox::cxx::TruncateToCapacity, name + "-server"));
  iox::popo::Server<Message, Message> server(service(name));
  iox::popo::WaitSet<> waits;
  waits.attachState(server, iox::popo::ServerState::HAS_REQUEST).or_else([](auto) {
    fail("cannot wait for requests");
  });
  for (;;) {
    waits.wait();
    while (server.take().and_then([&](const auto& request) {
      server.loan(request)
          .and_then([&](auto& response) {
            *response = *request;
            response.send().or_else([](auto) { fail("cannot send a response"); });
          })
          .or_else([](auto) { fail("no memory for a response"); });
    })) {
    }
  }
}

std::string ask(const std::string& name, const Options& options) {
  iox::runtime::PoshRuntime::initRuntime(iox::RuntimeName_t(iox::cxx::TruncateToCapacity, name + "-client"));
  iox::popo::Client<Message, Message> client(service(name));
  iox::popo::WaitSet<> waits;
  waits.attachState(client, iox::popo::ClientState::HAS_RESPONSE).or_else([](auto) {
    fail("cannot wait for responses");
  });
  const std::int64_t give_up = now_ns() + 10'000'000'000;
  while (client.getConnectionState() != iox::ConnectionState::CONNECTED) {
    if (now_ns() > give_up) fail("the server did not come up");
  }
  RoundTrips trips(options.seconds);
  while (trips.begin()) {
    client.loan()
        .and_then([&](auto& request) {
          request->bytes[0] = 'x';
          request.send().or_else([](auto) { fail("cannot send a request"); });
        })
        .or_else([](auto) { fail("no memory for a request"); });
    bool answered = false;
    while (!answered) {
      waits.wait();
      while (client.take().and_then([&](const auto&) { answered = true; })) {
      }
    }
    trips.end();
  }
  return trips.json();
}

std::string measure(const Options& options) {
  const std::string name = "caisson-iceoryx-" + std::to_string(now_ns());
  const int child = in_child(options.cpus[1], [&] { serve(name); });
  pin(options.cpus[0]);
  std::string result = ask(name, options);
  end_and_reap(child);
  return result;
}

}  // namespace
}  // namespace caisson::bench

int main(int count, char** arguments) {
  using namespace caisson::bench;
  const Options options = parse(count, arguments, {"round-trip"}, false);
  std::puts(measure(options).c_str());
}
