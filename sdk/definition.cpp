#include "bus/log.hpp"
#include "sdk/capability.hpp"

namespace caisson::sdk {

namespace {

/// A reply that cannot be delivered (link down, client gone) is nobody's error any more.
Task<void> answer(const Handler* handler, Request request) {
  auto handling = (*handler)(request);
  Response response = co_await std::move(handling);
  if (request.try_reply(response)) co_return;
  auto replying = request.reply(std::move(response));
  [[maybe_unused]] const Result<void> sent = co_await std::move(replying);
}

StreamHandler answering(Handler handler) {
  return [shared = std::make_shared<Handler>(std::move(handler))](Request request) {
    return answer(shared.get(), std::move(request));
  };
}

}  // namespace

Definition::Definition(std::string capability) {
  manifest_.capability = std::move(capability);
  manifest_.version = CAISSON_VERSION;
  manifest_.schema_version = kSchemaVersion;
}

void Definition::route(Route route, Handler handler) { stream_route(std::move(route), answering(std::move(handler))); }

void Definition::stream_route(Route route, StreamHandler handler) {
  route.number = static_cast<std::uint16_t>(manifest_.routes.size() + 1);
  routes_.push_back(std::move(handler));
  manifest_.routes.push_back(std::move(route));
}

void Definition::serve_call(std::string name, Handler handler) {
  serve_call_stream(std::move(name), answering(std::move(handler)));
}

void Definition::serve_call_stream(std::string name, StreamHandler handler) {
  manifest_.serves.push_back(name);
  calls_.emplace(std::move(name), std::move(handler));
}

const StreamHandler* Definition::find(std::uint16_t route, std::string_view call) const {
  if (!call.empty()) {
    const auto found = calls_.find(call);
    return found == calls_.end() ? nullptr : &found->second;
  }
  return route == 0 || route > routes_.size() ? nullptr : &routes_[route - 1];
}

}  // namespace caisson::sdk
