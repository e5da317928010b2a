#include "gateway/http_exchange.hpp"

#include "bus/task_scope.hpp"

namespace caisson::gateway {

namespace {

/// Bodies up to this size are collected even where they could be streamed: whole requests can be
/// repeated, and cross the bus in one frame.
constexpr std::uint64_t kCollect = 64 * 1024;
constexpr Nanos kPassOn = std::chrono::minutes(1);

/// kOutOfRange: the body is over the limit.
Task<Result<Buffer>> collect(RequestBody& from, const RequestHead& head, std::size_t limit) {
  const Error over{Errc::kOutOfRange, "the body is over the limit"};
  if (head.content_length > limit) co_return over;
  std::string body;
  body.reserve(head.content_length);
  while (true) {
    CO_ASSIGN(const std::string_view piece, co_await from.next_piece());
    if (piece.empty()) co_return Buffer(std::move(body));
    if (body.size() + piece.size() > limit) co_return over;
    body += piece;
  }
}

Task<void> pass_on(EventLoop& loop, RequestBody& from, BodyWriter& to, std::size_t limit, bool& over_limit) {
  std::size_t seen = 0;
  while (true) {
    const auto piece = co_await from.next_piece();
    if (!piece) {
      to.fail({Errc::kCancelled, piece.error().message});
      from.abandon();
      co_return;
    }
    if (piece->empty()) break;
    seen += piece->size();
    if (seen > limit) {
      over_limit = true;
      to.fail({Errc::kOutOfRange, "the body is over the limit"});
      co_return;
    }
    Buffer copy = Buffer::copy_of(*piece);
    const auto written = co_await to.write(std::move(copy), loop.deadline_in(kPassOn));
    if (!written) co_return;  // the answer will say why
  }
  [[maybe_unused]] const auto ended = co_await to.finish(loop.deadline_in(kPassOn));
  from.set_serving(true);  // the client may have left since its last byte
}

}  // namespace

Task<ServedRequest> serve_request(EventLoop& loop, HttpService& service, GatewayCounters& counters,
                                  HttpRequest& request, RequestBody& body) {
  ++counters.requests;
  ServedRequest served;
  Admission admission = service.admit(request);
  if (admission.refusal) {
    served.answer = *std::move(admission.refusal);
    served.body_unwanted = true;
    co_return served;
  }

  const RequestHead& head = *request.head;
  const bool comes_at_once = !head.chunked && head.content_length <= kCollect;
  if (admission.streaming && !comes_at_once && head.content_length <= admission.body_limit) {
    bool over_limit = false;
    body.set_serving(true);
    Opened opened = co_await service.open(request, Buffer());
    TaskScope beside(loop);  // ends before what it writes to
    if (opened.call) beside.spawn(pass_on(loop, body, opened.call->body, admission.body_limit, over_limit));
    served.answer = co_await service.reply(request, opened);
    body.set_serving(false);
    if (over_limit) {
      ++counters.requests_too_large;
      served.answer = admission.too_large(request);
    }
    co_return served;
  }

  Result<Buffer> whole = co_await collect(body, head, admission.body_limit);
  if (!whole && whole.error().code == Errc::kOutOfRange) {
    ++counters.requests_too_large;
    served.answer = admission.too_large(request);
    served.body_unwanted = true;
    co_return served;
  }
  if (!whole) {
    served.unreadable = whole.error();
    co_return served;
  }
  body.set_serving(true);
  served.answer = co_await service.serve(request, *std::move(whole));
  body.set_serving(false);
  co_return served;
}

}  // namespace caisson::gateway
