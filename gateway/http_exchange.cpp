#include "gateway/http_exchange.hpp"

namespace caisson::gateway {

namespace {

/// Bodies up to this size are collected even where they could be streamed: whole requests can be
/// repeated, and cross the bus in one frame.
constexpr std::uint64_t kCollect = 64 * 1024;
constexpr Nanos kPassOn = std::chrono::minutes(1);

}  // namespace

Task<ServedRequest> HttpExchange::serve() {
  ++counters_.requests;
  ServedRequest served;
  Admission admission = service_.admit(request_);
  if (admission.refusal) {
    served.answer = *std::move(admission.refusal);
    served.body_unwanted = true;
    co_return served;
  }

  const RequestHead& head = *request_.head;
  const bool comes_at_once = !head.chunked && head.content_length <= kCollect;
  if (admission.streaming && !comes_at_once && head.content_length <= admission.body_limit) {
    co_return co_await serve_streamed(admission);
  }
  Result<Buffer> whole = Buffer();
  if (head.has_body()) {
    auto collecting = collect(admission.body_limit);
    whole = co_await std::move(collecting);
  }
  if (!whole && whole.error().code == Errc::kOutOfRange) {
    ++counters_.requests_too_large;
    served.answer = admission.too_large(request_);
    served.body_unwanted = true;
    co_return served;
  }
  if (!whole) {
    served.unreadable = whole.error();
    co_return served;
  }
  body_.set_serving(true);
  served.answer = co_await service_.serve(request_, *std::move(whole));
  body_.set_serving(false);
  co_return served;
}

/// kOutOfRange: the body is over the limit.
Task<Result<Buffer>> HttpExchange::collect(std::size_t limit) {
  const RequestHead& head = *request_.head;
  const Error over{Errc::kOutOfRange, "the body is over the limit"};
  if (head.content_length > limit) co_return over;
  std::string body;
  body.reserve(head.content_length);
  while (true) {
    CO_ASSIGN(const std::string_view piece, co_await body_.next_piece());
    if (piece.empty()) co_return Buffer(std::move(body));
    if (body.size() + piece.size() > limit) co_return over;
    body += piece;
  }
}

Task<ServedRequest> HttpExchange::serve_streamed(const Admission& admission) {
  ServedRequest served;
  body_.set_serving(true);
  opened_ = co_await service_.open(request_, Buffer());
  if (opened_.call) beside_.emplace(loop_).spawn(pass_on(admission.body_limit));
  served.answer = co_await service_.reply(request_, opened_);
  body_.set_serving(false);
  if (over_limit_) {
    ++counters_.requests_too_large;
    served.answer = admission.too_large(request_);
  }
  co_return served;
}

Task<void> HttpExchange::pass_on(std::size_t limit) {
  BodyWriter& to = opened_.call->body;
  std::size_t seen = 0;
  while (true) {
    const auto piece = co_await body_.next_piece();
    if (!piece) {
      to.fail({Errc::kCancelled, piece.error().message});
      body_.abandon();
      co_return;
    }
    if (piece->empty()) break;
    seen += piece->size();
    if (seen > limit) {
      over_limit_ = true;
      to.fail({Errc::kOutOfRange, "the body is over the limit"});
      co_return;
    }
    Buffer copy = Buffer::copy_of(*piece);
    const auto written = co_await to.write(std::move(copy), loop_.deadline_in(kPassOn));
    if (!written) co_return;  // the answer will say why
  }
  [[maybe_unused]] const auto ended = co_await to.finish(loop_.deadline_in(kPassOn));
  body_.ended();
}

}  // namespace caisson::gateway
