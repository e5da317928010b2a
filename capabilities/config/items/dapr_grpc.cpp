#include "capabilities/config/items/dapr_grpc.hpp"

#include <fmt/format.h>

#include "capabilities/config/items/dapr_errors.hpp"
#include "dapr/proto/runtime/v1/configuration.pb.h"

namespace caisson::items {

namespace {

namespace rpc = ::dapr::proto::runtime::v1;

/// The message that asks for a subscription holds keys.
constexpr std::size_t kRequestLimit = std::size_t{4} << 20;

Route configuration_route(const std::string& method, const std::string& alpha) {
  Route route = sdk::dapr_rpc(method + alpha, "configuration", alpha.empty() ? "v1" : "v1alpha1");
  route.selector = "1";
  return route;
}

sdk::Response refuse(sdk::ApiError error) { return sdk::rpc_response(sdk::rpc_status_with_reason(std::move(error))); }

sdk::RpcStatus plain(const Error& error) { return {error.code, error.message, {}}; }

template <class Message>
std::vector<std::string> keys_of(const Message& message) {
  return {message.keys().begin(), message.keys().end()};
}

void write(Item item, ::dapr::proto::common::v1::ConfigurationItem& message) {
  message.set_value(std::move(item.value));
  message.set_version(std::move(item.version));
  for (auto& [name, value] : item.metadata) (*message.mutable_metadata())[name] = std::move(value);
}

/// The body of one SubscribeConfiguration. Lives as long as its request or an update that is being written.
class BodyStream final : public UpdateStream {
 public:
  BodyStream(EventLoop& loop, BodyWriter body, Deadline deadline)
      : loop_(loop), body_(std::move(body)), deadline_(deadline) {}

  Task<Result<void>> tell(std::string id, std::string key, Item item) override {
    rpc::SubscribeConfigurationResponse message;
    message.set_id(std::move(id));
    write(std::move(item), (*message.mutable_items())[key]);
    Buffer frame(sdk::rpc_frame(message.SerializeAsString()));
    auto writing = body_.write(std::move(frame), deadline_);
    co_return co_await std::move(writing);
  }

  void end(Error why) override {
    end_ = std::move(why);
    ended_.wake_all();
  }

  /// Waits until the subscription or its time is over, and ends the body.
  Task<void> run() {
    while (!end_) {
      const Wake wake = co_await ended_.wait(loop_, deadline_);
      if (wake == Wake::kDeadline && !end_) end_ = Error{Errc::kDeadlineExceeded, "the stream's time is over"};
    }
    if (end_->code == Errc::kUnavailable) {
      body_.fail(*std::move(end_));  // for the gateway, which resumes it elsewhere
      co_return;
    }
    auto ending = body_.finish(deadline_, sdk::rpc_end(plain(*end_)));
    [[maybe_unused]] const auto ended = co_await std::move(ending);
  }

 private:
  EventLoop& loop_;
  BodyWriter body_;
  Deadline deadline_;
  std::optional<Error> end_;
  WaitQueue ended_;
};

/// Takes the stream away again when the request ends, also by being cancelled.
class Attached {
 public:
  Attached(Subscriptions& subscriptions, std::string app, std::string id, const UpdateStream* stream)
      : subscriptions_(subscriptions), app_(std::move(app)), id_(std::move(id)), stream_(stream) {}
  Attached(const Attached&) = delete;
  Attached& operator=(const Attached&) = delete;
  ~Attached() { subscriptions_.detach(app_, id_, stream_); }

 private:
  Subscriptions& subscriptions_;
  std::string app_;
  std::string id_;
  const UpdateStream* stream_;
};

}  // namespace

void DaprGrpc::define(sdk::Definition& definition) {
  for (const std::string alpha : {"", "Alpha1"}) {
    Route get_route = configuration_route("GetConfiguration", alpha);
    get_route.safe = true;
    definition.route(std::move(get_route), [this](sdk::Request& request) { return get(request); });

    Route subscribe_route = configuration_route("SubscribeConfiguration", alpha);
    subscribe_route.rpc = Rpc::kStream;
    subscribe_route.streaming = true;
    subscribe_route.resumable = true;
    subscribe_route.safe = true;
    definition.stream_route(std::move(subscribe_route),
                            [this](sdk::Request request) { return subscribe(std::move(request)); });

    Route unsubscribe_route = configuration_route("UnsubscribeConfiguration", alpha);
    definition.route(std::move(unsubscribe_route), [this](sdk::Request& request) { return unsubscribe(request); });
  }
}

Task<sdk::Response> DaprGrpc::get(sdk::Request& request) {
  rpc::GetConfigurationRequest message;
  if (const auto read = sdk::parse_message(request.body(), message); !read) {
    co_return sdk::rpc_response(plain(read.error()));
  }
  const std::vector<std::string> keys = keys_of(message);
  auto task = service_.get(std::string(request.app()), message.store_name(), keys, request.deadline());
  Answered<Items> answer = co_await std::move(task);
  if (answer.refused) co_return refuse(dapr_errors::not_read(*answer.refused, message.store_name(), keys));
  rpc::GetConfigurationResponse response;
  for (auto& [key, item] : answer.value) write(std::move(item), (*response.mutable_items())[key]);
  co_return sdk::rpc_response(response);
}

Task<void> DaprGrpc::subscribe(sdk::Request request) {
  sdk::RpcReader reader(request, kRequestLimit);
  auto reading = reader.next(request.deadline());
  const auto body = co_await std::move(reading);
  rpc::SubscribeConfigurationRequest message;
  Result<void> read = ok();
  if (!body) {
    read = body.error();
  } else if (!*body) {
    read = Error{Errc::kInternal, "the call has no message"};
  } else {
    read = sdk::parse_message(**body, message);
  }
  if (!read) {
    auto refusing = sdk::refuse_stream(std::move(request), plain(read.error()));
    co_await std::move(refusing);
    co_return;
  }
  const std::vector<std::string> keys = keys_of(message);
  auto subscribing = service_.subscribe_stream(std::string(request.app()), message.store_name(), keys,
                                               std::string(request.header(sdk::kResumeToken)), request.deadline());
  const Answered<std::string> answer = co_await std::move(subscribing);
  if (answer.refused) {
    sdk::RpcStatus status =
        sdk::rpc_status_with_reason(dapr_errors::not_subscribed(*answer.refused, message.store_name(), keys));
    auto refusing = sdk::refuse_stream(std::move(request), std::move(status));
    co_await std::move(refusing);
    co_return;
  }
  auto serving = serve_stream(std::move(request), answer.value);
  co_await std::move(serving);
}

Task<void> DaprGrpc::serve_stream(sdk::Request request, std::string id) {
  rpc::SubscribeConfigurationResponse first;
  first.set_id(id);
  // A client whose stream is taken up again knows the id.
  const bool resumed = !request.header(sdk::kResumeToken).empty();
  Buffer frame(resumed ? std::string() : sdk::rpc_frame(first.SerializeAsString()));
  const Field headers[] = {{sdk::kResumeToken, id}};
  Envelope head;
  head.headers = headers;
  auto answering = request.incoming().reply_streamed(head, std::move(frame));
  auto body = co_await std::move(answering);
  const std::string app(request.app());
  if (!body) co_return;
  const auto stream = std::make_shared<BodyStream>(context_.loop(), *std::move(body), request.deadline());
  const Attached attached(service_.subscriptions(), app, id, stream.get());
  if (const auto taken = service_.subscriptions().attach(app, id, stream); !taken) stream->end({Errc::kOk, {}});
  auto running = stream->run();
  co_await std::move(running);
}

Task<sdk::Response> DaprGrpc::unsubscribe(sdk::Request& request) {
  rpc::UnsubscribeConfigurationRequest message;
  if (const auto read = sdk::parse_message(request.body(), message); !read) {
    co_return sdk::rpc_response(plain(read.error()));
  }
  auto task = service_.unsubscribe(std::string(request.app()), message.store_name(), message.id(), /*streamed=*/true,
                                   request.deadline());
  const Answered<bool> answer = co_await std::move(task);
  if (answer.refused && answer.refused->why != Refusal::kFailed) {
    co_return refuse(dapr_errors::not_unsubscribed(*answer.refused, message.store_name()));
  }
  rpc::UnsubscribeConfigurationResponse response;
  response.set_ok(!answer.refused);
  if (answer.refused) response.set_message(answer.refused->message);
  co_return sdk::rpc_response(response);
}

}  // namespace caisson::items
