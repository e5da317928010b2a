#include "bus/exchange.hpp"

#include <string>

namespace caisson {

namespace {

/// Names and values that a body may end with, in bytes.
constexpr std::size_t kMostTrailers = 32 * 1024;

std::size_t size_of(const BodyEnd& end) {
  std::size_t size = end.message.size();
  for (const auto& [name, value] : end.trailers) size += name.size() + value.size() + 16;
  return size;
}

}  // namespace

void ExchangeRef::retain() {
  if (exchange_ != nullptr) ++exchange_->owners;
}

void ExchangeRef::release() {
  if (--exchange_->owners == 0) delete exchange_;
}

// --- BodyReader ---

Task<Result<std::optional<Buffer>>> BodyReader::next(Deadline deadline) {
  if (!exchange_) co_return std::optional<Buffer>();
  Exchange& exchange = *exchange_;
  while (exchange.pieces.empty()) {
    if (exchange.in_error) co_return *exchange.in_error;
    if (exchange.in_ended || exchange.link == nullptr) co_return std::optional<Buffer>();
    const Wake why = co_await exchange.in_changed.wait(exchange.link->loop_, deadline);
    if (why == Wake::kDeadline) {
      co_return Error{Errc::kDeadlineExceeded, "no more of the body arrived in time"};
    }
  }
  std::optional<Buffer> piece = std::move(exchange.pieces.front());
  exchange.pieces.pop_front();
  exchange.in_unacknowledged += cost_of(piece->size());
  if (exchange.link != nullptr && !exchange.in_ended && exchange.in_unacknowledged >= kStreamWindow / 2) {
    exchange.in_budget += exchange.in_unacknowledged;
    exchange.link->owe({wire::Kind::Credit,
                        exchange.stream_flags(),
                        exchange.id(),
                        static_cast<std::uint32_t>(std::exchange(exchange.in_unacknowledged, 0)),
                        {Errc::kOk, {}}});
  }
  co_return piece;
}

Task<Result<std::string>> BodyReader::all(std::size_t limit, Deadline deadline) {
  std::string body;
  while (true) {
    CO_ASSIGN(auto piece, co_await next(deadline));
    if (!piece) co_return body;
    if (body.size() + piece->size() > limit) {
      co_return Error{Errc::kOutOfRange, "body is longer than " + std::to_string(limit) + " bytes"};
    }
    body += piece->view();
  }
}

const BodyEnd& BodyReader::end() const {
  static const BodyEnd kNone;
  return exchange_ ? exchange_->in_end : kNone;
}

// --- BodyWriter ---

BodyWriter& BodyWriter::operator=(BodyWriter&& other) {
  if (this != &other) {
    fail({Errc::kCancelled, "the body was given up"});
    exchange_ = std::move(other.exchange_);
  }
  return *this;
}

BodyWriter::~BodyWriter() { fail({Errc::kCancelled, "the body was given up"}); }

Task<Result<void>> BodyWriter::write(Buffer piece, Deadline deadline) {
  if (!exchange_) co_return Error{Errc::kFailedPrecondition, "the body has ended"};
  const ExchangeRef exchange = exchange_;
  if (exchange->link == nullptr) co_return link_down();
  Envelope data;
  data.kind = wire::Kind::StreamData;
  data.id = exchange->id();
  data.flags = exchange->stream_flags();
  const std::int64_t cost = cost_of(piece.size());
  // Looked at again after every wait: the body may have been ended meanwhile, and nothing may
  // follow its end.
  while (true) {
    if (exchange->link == nullptr) co_return link_down();
    if (exchange->out_ended) co_return Error{Errc::kCancelled, "nobody reads the body any more"};
    if (piece.empty()) co_return ok();
    EventLoop& loop = exchange->link->loop_;
    if (exchange->out_credit <= 0) {
      const Wake why = co_await exchange->out_changed.wait(loop, deadline);
      if (why == Wake::kDeadline) {
        co_return Error{Errc::kDeadlineExceeded, "the reader of the body did not keep up"};
      }
      continue;
    }
    Result<void> sent = exchange->link->publish(data, piece);
    if (sent) exchange->out_credit -= cost;
    if (!lane_is_full(sent)) co_return sent;
    const Wake why = co_await exchange->link->room_.wait(loop, deadline);
    if (why == Wake::kDeadline) {
      co_return Error{Errc::kDeadlineExceeded, "the lane had no room for the body in time"};
    }
  }
}

Task<Result<void>> BodyWriter::finish(Deadline, BodyEnd end) {
  if (!exchange_) co_return ok();
  if (size_of(end) > kMostTrailers) {
    const Error too_long{Errc::kOutOfRange, "the body's trailers are over the limit"};
    fail(too_long);
    co_return too_long;
  }
  const ExchangeRef exchange = std::move(exchange_);
  if (exchange->link == nullptr) co_return link_down();
  if (std::exchange(exchange->out_ended, true)) co_return ok();
  exchange->link->owe(
      {wire::Kind::StreamEnd, exchange->stream_flags(), exchange->id(), 0, {Errc::kOk, {}}, std::move(end)});
  co_return ok();
}

void BodyWriter::fail(Error error) {
  const ExchangeRef exchange = std::move(exchange_);
  if (!exchange || exchange->link == nullptr) return;
  if (std::exchange(exchange->out_ended, true)) return;
  exchange->out_changed.wake_all();
  if (error.code == Errc::kOk) error.code = Errc::kUnknown;  // a cut body never looks whole
  exchange->link->owe({wire::Kind::StreamEnd, exchange->stream_flags(), exchange->id(), 0, std::move(error)});
}

// --- OpenCall ---

Task<Result<Reply>> OpenCall::reply(Deadline deadline) {
  Exchange& state = *exchange;
  while (!state.reply && !state.reply_error) {
    if (state.link == nullptr) co_return link_down();
    const Deadline until = deadline.earlier(state.deadline);
    const Wake why = co_await state.reply_arrived.wait(state.link->loop_, until);
    if (why == Wake::kDeadline) {
      co_return Error{Errc::kDeadlineExceeded, "no answer before the deadline"};
    }
  }
  if (state.reply_error) co_return *state.reply_error;
  // A whole answer holds no place in the window, however long its frame is kept.
  const bool whole = state.in_ended && state.pieces.empty() && !state.in_error && state.in_end.empty();
  Reply answer{*std::move(state.reply), whole ? BodyReader() : BodyReader(exchange)};
  state.reply.reset();
  co_return answer;
}

// --- Incoming ---

namespace {

/// The views in `reply` need to live only until this is awaited for the first time.
Task<Result<void>> answer_when_room(ExchangeRef exchange, Envelope reply, Buffer body, bool streamed,
                                    Deadline deadline) {
  while (true) {
    Result<void> sent = exchange->answer(reply, body, streamed);
    if (!lane_is_full(sent)) co_return sent;
    const Wake why = co_await exchange->link->room().wait(exchange->link->loop(), deadline);
    if (why == Wake::kDeadline) co_return sent;
  }
}

}  // namespace

Result<void> Incoming::try_reply(const Envelope& reply, Buffer& body) {
  return exchange_->answer(reply, body, /*streamed=*/false);
}

Task<Result<void>> Incoming::reply(const Envelope& reply, Buffer body) {
  return answer_when_room(exchange_, reply, std::move(body), /*streamed=*/false, deadline_);
}

Task<Result<void>> Incoming::reply_error(Error error) {
  Envelope out;
  out.error = error.code == Errc::kOk ? Errc::kUnknown : error.code;
  out.message = std::string_view(error.message).substr(0, kLongestMessage);
  co_return co_await reply(out, Buffer());
}

Task<Result<BodyWriter>> Incoming::reply_streamed(const Envelope& reply, Buffer first) {
  const ExchangeRef exchange = exchange_;
  auto answering = answer_when_room(exchange, reply, std::move(first), /*streamed=*/true, deadline_);
  CO_TRY(co_await std::move(answering));
  exchange->out_ended = exchange->cancelled;
  co_return BodyWriter(exchange);
}

}  // namespace caisson
