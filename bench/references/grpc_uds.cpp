// gRPC C++ between two processes over a Unix socket: unary calls one after the other, generated code, synchronous
// server and stub.
//   caisson_bench_grpc round-trip unix:/PATH [--cpus A,B] [--seconds S] [--size BYTES]

#include <grpcpp/grpcpp.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>

#include "bench/programs/measure.hpp"
#include "echo.grpc.pb.h"

namespace caisson::bench {
namespace {

class EchoService final : public Echo::Service {
  grpc::Status Call(grpc::ServerContext*, const Payload* request, Payload* reply) override {
    reply->set_data(request->data());
    return grpc::Status::OK;
  }
};

void serve(const std::string& address) {
  EchoService service;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address, grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) ::_exit(1);
  server->Wait();
}

std::string ask(const Options& options) {
  const auto stub = Echo::NewStub(grpc::CreateChannel(options.address, grpc::InsecureChannelCredentials()));
  Payload request;
  request.set_data(std::string(options.size, 'x'));
  Payload reply;
  const auto call = [&] {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    const grpc::Status status = stub->Call(&context, request, &reply);
    if (status.ok()) return;
    std::fprintf(stderr, "gRPC: %s\n", status.error_message().c_str());
    std::exit(1);
  };
  call();  // connects, which may take a second attempt
  RoundTrips trips(options.seconds);
  while (trips.begin()) {
    call();
    trips.end();
  }
  return trips.json();
}

std::string measure(const Options& options) {
  const int child = in_child(options.cpus[1], [&] { serve(options.address); });
  pin(options.cpus[0]);
  std::string result = ask(options);
  end_and_reap(child);
  return result;
}

}  // namespace
}  // namespace caisson::bench

int main(int count, char** arguments) {
  using namespace caisson::bench;
  const Options options = parse(count, arguments, {"round-trip"}, true);
  std::puts(measure(options).c_str());
}
