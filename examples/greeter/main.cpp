// A private API as a compartment of its own: GET /v1.0/greet/{name}. It is built on the same sdk as
// the capabilities that come with Caisson; a running gateway takes it in when its manifest appears
// in the manifests folder, and serves it when the process has linked up (README.md beside this).

#include <fmt/format.h>

#include "sdk/capability.hpp"
#include "sdk/http_reply.hpp"

namespace {

using namespace caisson;

class Greeter final : public sdk::Capability {
 public:
  explicit Greeter(sdk::Context& context) : context_(context) {}

  void define(sdk::Definition& definition) override {
    definition.manifest().takes_config = false;
    Route greet;
    greet.method = "GET";
    greet.path = "/v1.0/greet/{name}";
    greet.safe = true;  // the gateway may send it again when this process dies
    definition.route(greet, [this](sdk::Request& request) { return say_hello(request); });
  }

  void start() override { greetings_ = context_.counters().counter("greetings_total"); }

 private:
  Task<sdk::Response> say_hello(sdk::Request& request) {
    const std::string_view name = request.parameter("name");
    if (name.size() > 64) {
      const sdk::ApiError error{.status = 400, .code = "ERR_NAME", .message = "name is over 64 bytes"};
      co_return sdk::error_response(error);
    }
    greetings_.add();
    sdk::Response response;
    response.headers.emplace_back("content-type", "text/plain");
    response.body = Buffer(fmt::format("Hello {}, from {}\n", name, request.app()));
    co_return response;
  }

  sdk::Context& context_;
  sdk::Counter greetings_;
};

}  // namespace

int main(int argc, char** argv) {
  return sdk::run(argc, argv, "greeter", [](sdk::Context& context) { return std::make_unique<Greeter>(context); });
}
