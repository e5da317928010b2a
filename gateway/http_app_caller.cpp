#include <charconv>
#include <utility>
#include <vector>

#include "gateway/app_caller.hpp"
#include "gateway/http2_client.hpp"
#include "net/http1_client.hpp"

namespace caisson::gateway {

namespace {

constexpr std::string_view kAppHeader = "dapr-app-id";
/// A body of known length up to here is one piece of a reply; a longer one is streamed.
constexpr std::size_t kWholeBody = 256 * 1024;

std::optional<std::uint64_t> content_length(const Frame& frame) {
  const std::string_view value = frame.headers().get("content-length");
  std::uint64_t length = 0;
  const char* const end = value.data() + value.size();
  if (value.empty() || std::from_chars(value.data(), end, length).ptr != end) return std::nullopt;
  return length;
}

// What the two clients call the same thing.
bool has_connection(const net::Http1Client& client) { return client.idle_connections() > 0; }
bool has_connection(const Http2Client& client) { return client.connected(); }
void let_connections_go(net::Http1Client& client) { client.close_idle(); }
void let_connections_go(Http2Client& client) { client.retire(); }

/// Calls in the form of HTTP, over either version of it.
template <class Client>
class HttpAppCaller final : public AppCaller {
 public:
  HttpAppCaller(EventLoop& loop, const AppConfig& config, typename Client::Options options)
      : config_(config), client_(loop, net::Endpoint(), std::move(options)) {}

  Task<Result<void>> carry(Incoming& call) override {
    const Frame& frame = call.head();
    if (is_rpc_call(frame)) {
      co_return Error{Errc::kFailedPrecondition,
                      "app " + config_.id + " speaks " + config_.app_protocol + ", this is a gRPC call"};
    }
    const std::vector<Field> headers = headers_for_app(frame, config_);
    net::HttpRequestHead head;
    if (const std::string_view method = text(frame->method()); !method.empty()) head.method = method;
    if (const std::string_view path = text(frame->path()); !path.empty()) head.path = path;
    head.query = text(frame->query());
    head.headers = headers;
    net::HttpRequestBody body;
    body.first = frame.payload();
    if (frame.streamed()) {
      body.length = content_length(frame);
      body.rest = [rest = call.rest()](Deadline deadline) mutable { return rest.next(deadline); };
    } else {
      body.length = body.first.size();
    }
    auto calling = client_.call(head, std::move(body), call.deadline());
    CO_ASSIGN(auto answer, co_await std::move(calling));
    auto passing = pass_on(call, answer);
    co_return co_await std::move(passing);
  }

  Task<Result<Answer>> ask(std::string path, Deadline deadline) override {
    std::vector<Field> headers = {{"Content-Type", "application/json"}, {kAppHeader, config_.id}};
    if (!config_.app_token.empty()) headers.push_back({kAppTokenHeader, config_.app_token});
    net::HttpRequestHead head;
    head.path = path;
    head.headers = headers;
    net::HttpRequestBody nothing;
    auto calling = client_.call(head, std::move(nothing), deadline);
    CO_ASSIGN(auto reply, co_await std::move(calling));
    Answer answer;
    answer.status = reply.head().status;
    auto reading = whole_body(reply, kMaxQueryAnswer, deadline);
    CO_ASSIGN(answer.body, co_await std::move(reading));
    co_return answer;
  }

  [[nodiscard]] bool asks_rpcs() const override { return false; }
  [[nodiscard]] bool is_passing(std::uint16_t status) const override { return status >= 500; }
  [[nodiscard]] bool is_well(std::uint16_t status) const override { return status / 100 == 2; }
  [[nodiscard]] std::uint16_t no_answer() const override { return 0; }
  [[nodiscard]] std::uint16_t nothing_there() const override { return 404; }
  [[nodiscard]] bool connected() const override { return has_connection(client_); }
  void let_go() override { let_connections_go(client_); }
  void move_to(net::Endpoint endpoint) override { client_.move_to(std::move(endpoint)); }

 private:
  template <class Reply>
  Task<Result<void>> pass_on(Incoming& call, Reply& answer) {
    const net::ResponseHead& head = answer.head();
    std::vector<Field> headers;
    for (const auto& [name, value] : head.headers) headers.push_back({name, value});
    Envelope reply;
    reply.status = head.status;
    reply.headers = headers;
    const bool whole = answer.complete() || (head.content_length && *head.content_length <= kWholeBody);
    if (whole) {
      auto reading = whole_body(answer, kMaxPayload, call.deadline());
      CO_ASSIGN(std::string body, co_await std::move(reading));
      auto replying = call.reply(reply, Buffer(std::move(body)));
      co_return co_await std::move(replying);
    }
    auto beginning = call.reply_streamed(reply, Buffer());
    CO_ASSIGN(BodyWriter writer, co_await std::move(beginning));
    const auto end = [](Reply&) { return Result<BodyEnd>(BodyEnd()); };
    auto streaming = stream_body(answer, std::move(writer), end, call.deadline());
    co_await std::move(streaming);
    co_return ok();
  }

  const AppConfig& config_;
  Client client_;
};

}  // namespace

std::unique_ptr<AppCaller> make_http1_caller(EventLoop& loop, const AppConfig& config, net::TlsFactory tls,
                                             std::function<void()> hung_up) {
  net::Http1Client::Options options;
  options.hung_up = std::move(hung_up);
  options.tls = std::move(tls);
  return std::make_unique<HttpAppCaller<net::Http1Client>>(loop, config, std::move(options));
}

std::unique_ptr<AppCaller> make_http2_caller(EventLoop& loop, const AppConfig& config, net::TlsFactory tls,
                                             std::function<void()> hung_up) {
  Http2Client::Options options;
  options.hung_up = std::move(hung_up);
  options.tls = std::move(tls);
  return std::make_unique<HttpAppCaller<Http2Client>>(loop, config, std::move(options));
}

}  // namespace caisson::gateway
