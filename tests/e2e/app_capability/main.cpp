// The capability of grpc_app_test.py: passes calls of its own methods on to the app, whose method stands in
// the metadata `x-method`, and says what the app answered when it was asked.
//   /caisson.test.Relay/Unary     one message each way
//   /caisson.test.Relay/Stream    as they come
//   /caisson.test.Relay/Answer    "INCARNATION HEALTHY STATUS BODY" of the app's last answer
#include <fmt/format.h>

#include <map>

#include "bus/event_loop.hpp"
#include "bus/pump.hpp"
#include "bus/task_scope.hpp"
#include "sdk/capability.hpp"
#include "sdk/rpc.hpp"

namespace {

using namespace caisson;

constexpr std::string_view kMethodHeader = "x-method";

/// The call that a request becomes; points into the request.
struct AppCall {
  explicit AppCall(const sdk::Request& request) {
    for (const Field field : request.headers()) {
      if (field.name != kMethodHeader && field.name != "content-type") headers.push_back(field);
    }
    headers.push_back({"content-type", "application/grpc"});
    call.target = "app";
    call.app = request.app();
    call.path = request.header(kMethodHeader);
    call.traceparent = request.traceparent();
    call.headers = headers;
  }
  AppCall(const AppCall&) = delete;

  std::vector<Field> headers;
  Envelope call;
};

std::vector<std::pair<std::string, std::string>> pairs_of(Fields fields) {
  std::vector<std::pair<std::string, std::string>> pairs;
  for (const Field field : fields) pairs.emplace_back(field.name, field.value);
  return pairs;
}

constexpr const char* kQuery = "/caisson.test.App/List";

class AppCapability final : public sdk::Capability {
 public:
  explicit AppCapability(sdk::Context& context) : context_(context) {}

  void define(sdk::Definition& definition) override {
    definition.manifest().takes_config = false;
    definition.manifest().calls = {"app"};
    definition.manifest().app_rpc_queries = {kQuery};
    const auto route = [](Rpc kind, const char* path) {
      Route made;
      made.rpc = kind;
      made.method = "POST";
      made.path = path;
      made.errors = ErrorShape::kGrpc;
      return made;
    };
    definition.route(route(Rpc::kUnary, "/caisson.test.Relay/Unary"), [this](sdk::Request& r) { return unary(r); });
    definition.route(route(Rpc::kUnary, "/caisson.test.Relay/Answer"), [this](sdk::Request& r) { return answer(r); });
    definition.stream_route(route(Rpc::kStream, "/caisson.test.Relay/Stream"),
                            [this](sdk::Request r) { return stream(std::move(r)); });
  }

  void app_answered(const sdk::AppAnswer& answer) override {
    if (answer.path == kQuery) answers_[answer.app] = answer;  // those of other capabilities come, too
  }

 private:
  Task<sdk::Response> unary(sdk::Request& request) {
    const AppCall call(request);
    auto calling = context_.call(call.call, Buffer::copy_of(request.body()), request.deadline());
    const auto reply = co_await std::move(calling);
    if (!reply) co_return sdk::rpc_response({reply.error().code, "relay: " + reply.error().message, {}});
    sdk::Response response;
    response.status = reply->head->status();
    response.message = text(reply->head->message());
    response.headers = pairs_of(reply->head.headers());
    response.trailers = pairs_of(Fields(reply->head->trailers()));
    response.body = Buffer::copy_of(reply->head.payload());
    co_return response;
  }

  Task<sdk::Response> answer(sdk::Request& request) {
    const std::string app(request.app());
    const sdk::AppAnswer& last = answers_[app];
    const auto state = context_.apps().find(app);
    const bool healthy = state != context_.apps().end() && state->second.healthy;
    co_return sdk::rpc_response(fmt::format("{} {} {} {}", last.incarnation, healthy, last.status, last.body));
  }

  Task<void> stream(sdk::Request request) {
    const AppCall call(request);
    auto open = context_.open_call(call.call, Buffer::copy_of(request.body()), request.deadline());
    if (!open) {
      Error error = open.error();
      auto refusing = request.incoming().reply_error(std::move(error));
      [[maybe_unused]] const auto refused = co_await std::move(refusing);
      co_return;
    }
    TaskScope beside(context_.loop());
    beside.spawn(pump(request.incoming().rest(), std::move(open->body), request.deadline()));
    auto answering = open->reply(request.deadline());
    auto reply = co_await std::move(answering);
    if (!reply) {
      Error error = reply.error();
      auto refusing = request.incoming().reply_error(std::move(error));
      [[maybe_unused]] const auto refused = co_await std::move(refusing);
      co_return;
    }
    const auto metadata = pairs_of(reply->head.headers());
    const std::vector<Field> headers(metadata.begin(), metadata.end());
    Envelope head;
    head.headers = headers;
    auto beginning = request.incoming().reply_streamed(head, Buffer());
    auto writer = co_await std::move(beginning);
    if (!writer) co_return;
    auto passing = pump(std::move(reply->rest), std::move(*writer), request.deadline());
    co_await std::move(passing);
  }

  sdk::Context& context_;
  std::map<std::string, sdk::AppAnswer> answers_;
};

}  // namespace

int main(int argc, char** argv) {
  return sdk::run(argc, argv, "apptest",
                  [](sdk::Context& context) { return std::make_unique<AppCapability>(context); });
}
