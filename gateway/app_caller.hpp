#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "bus/event_loop.hpp"
#include "bus/link.hpp"
#include "gateway/app_config.hpp"
#include "net/endpoint.hpp"
#include "net/tls_session.hpp"

namespace caisson::gateway {

/// Speaks the protocol of one app: carries calls to it and asks it, over connections that it keeps.
/// Whether the app is there, and how much it is called at a time, is AppChannel's business. One thread.
class AppCaller {
 public:
  struct Answer {
    std::uint16_t status = 0;
    std::string body;
  };

  virtual ~AppCaller() = default;

  /// Carries one call and answers it. An error: no answer has been begun; its code says why, as of
  /// AppChannel::serve(). kFailedPrecondition: the call has not the form that this protocol carries.
  virtual Task<Result<void>> carry(Incoming& call) = 0;
  /// Asks the app for what has no input: GET of a path, or a method with an empty message. The answer
  /// has the protocol's own status.
  virtual Task<Result<Answer>> ask(std::string path, Deadline deadline) = 0;

  /// Its queries are methods (Manifest::app_rpc_queries), not paths.
  [[nodiscard]] virtual bool asks_rpcs() const = 0;
  /// An answer with this status may be another one soon.
  [[nodiscard]] virtual bool is_passing(std::uint16_t status) const = 0;
  /// The answer of an app that is well, to a health probe.
  [[nodiscard]] virtual bool is_well(std::uint16_t status) const = 0;
  /// Stands for the answer of an app that could not be asked.
  [[nodiscard]] virtual std::uint16_t no_answer() const = 0;
  /// The answer of an app that has nothing to say.
  [[nodiscard]] virtual std::uint16_t nothing_there() const = 0;

  /// A connection is open whose end would tell of the app's.
  [[nodiscard]] virtual bool connected() const = 0;
  /// Lets unused connections go; those in use end with their calls.
  virtual void let_go() = 0;
  /// Where the app is from now on.
  virtual void move_to(net::Endpoint endpoint) = 0;
};

/// The one that speaks `config.app_protocol`: http, https, h2c, grpc or grpcs. `hung_up` is called when
/// a connection ended. `config` outlives it. kUnimplemented: another protocol; kUnavailable: no TLS.
Result<std::unique_ptr<AppCaller>> make_app_caller(EventLoop& loop, const AppConfig& config,
                                                   std::function<void()> hung_up);

/// Each for one form of call: HTTP over HTTP/1.1, HTTP over HTTP/2, and gRPC.
std::unique_ptr<AppCaller> make_http1_caller(EventLoop& loop, const AppConfig& config, net::TlsFactory tls,
                                             std::function<void()> hung_up);
std::unique_ptr<AppCaller> make_http2_caller(EventLoop& loop, const AppConfig& config, net::TlsFactory tls,
                                             std::function<void()> hung_up);
std::unique_ptr<AppCaller> make_rpc_caller(EventLoop& loop, const AppConfig& config, net::TlsFactory tls,
                                           std::function<void()> hung_up);

/// A call in the form of gRPC (docs/wire-format.md).
bool is_rpc_call(const Frame& call);

/// The headers of a call as they go to the app: with the app's token and the frame's trace context. The
/// fields point into the frame and into `config`.
std::vector<Field> headers_for_app(const Frame& call, const AppConfig& config);

/// A header by which the app knows that it is this runtime that calls.
inline constexpr std::string_view kAppTokenHeader = "dapr-api-token";
/// The longest answer to a query.
inline constexpr std::size_t kMaxQueryAnswer = 1024 * 1024;

/// Everything that is left of an answer's body, kOutOfRange when it is longer than `limit`.
template <class Reply>
Task<Result<std::string>> whole_body(Reply& reply, std::size_t limit, Deadline deadline) {
  std::string body;
  while (true) {
    auto reading = reply.next(deadline);
    CO_ASSIGN(auto piece, co_await std::move(reading));
    if (!piece) co_return body;
    if (body.size() + piece->size() > limit) co_return Error{Errc::kOutOfRange, "the answer is too long"};
    body += piece->view();
  }
}

/// Passes an answer's body on as it arrives, then `end`'s word. Whoever does not read it any more ends
/// it: dropping the answer then stops the app.
template <class Reply, class End>
Task<void> stream_body(Reply& reply, BodyWriter writer, End end, Deadline deadline) {
  while (true) {
    auto reading = reply.next(deadline);
    auto piece = co_await std::move(reading);
    if (!piece) co_return writer.fail(std::move(piece).error());
    if (!*piece) break;
    auto writing = writer.write(std::move(**piece), deadline);
    const auto written = co_await std::move(writing);
    if (!written) co_return;
  }
  Result<BodyEnd> last = end(reply);
  if (!last) co_return writer.fail(std::move(last).error());
  auto finishing = writer.finish(deadline, *std::move(last));
  [[maybe_unused]] const auto finished = co_await std::move(finishing);
}

}  // namespace caisson::gateway
