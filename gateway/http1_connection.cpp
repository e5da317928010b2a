#include "gateway/http1_connection.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "bus/scratch_buffer.hpp"
#include "gateway/response_head.hpp"
#include "net/http_headers.hpp"
#include "sdk/base64.hpp"

namespace caisson::gateway {

namespace {

constexpr std::size_t kReadSize = 64 * 1024;
constexpr std::size_t kLingerBytes = 4 * 1024 * 1024;

Error client_left() { return {Errc::kCancelled, "the client went away in the middle of its request"}; }

iovec piece_of(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

}  // namespace

Http1Connection::Http1Connection(EventLoop& loop, ClientSocket& socket, HttpService& service,
                                 const HttpOptions& options, GatewayCounters& counters, std::function<void()> abandon)
    : loop_(loop),
      socket_(socket),
      service_(service),
      options_(options),
      counters_(counters),
      abandon_(std::move(abandon)),
      parser_(options.header_limit) {
  socket_.when_hung_up([this] { client_hung_up(); });
}

Http1Connection::~Http1Connection() { socket_.when_hung_up(nullptr); }

Task<void> Http1Connection::run(std::string first) {
  input_ = std::move(first);
  while (true) {
    Result<bool> head = co_await read_head();
    if (!head) {
      co_await answer_unreadable(head.error());
      co_await linger();
      co_return;
    }
    if (!*head) co_return;
    if (asks_for_http2()) {
      upgrade_->rest = std::string(pending());
      const auto written =
          co_await write_bytes("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n");
      if (!written) upgrade_.reset();
      co_return;
    }
    const Next next = co_await handle();
    if (next == Next::kClose || finishing_) break;
  }
  if (!parser_.done() || !pending().empty()) co_await linger();
}

void Http1Connection::finish() {
  finishing_ = true;
  if (idle_) abandon();
}

void Http1Connection::abandon() {
  if (!std::exchange(abandoned_, true)) abandon_();
}

/// A client that only closed its sending side is gone as well, as Go's servers see it; but not
/// while a request of it is still to be read.
void Http1Connection::client_hung_up() {
  if (!serving_) return;
  if (!socket_.broken() && (!pending().empty() || !socket_.at_end())) return;
  abandon();
}

// --- reading ---

/// True with a head in parser_, false when the client closed or the connection is no longer wanted.
Task<Result<bool>> Http1Connection::read_head() {
  parser_.next_request();
  continue_sent_ = false;
  Deadline deadline = loop_.deadline_in(requests_ == 0 ? options_.header_time : options_.idle_time);
  bool timed = requests_ == 0;
  while (true) {
    while (!pending().empty()) {
      CO_ASSIGN(const auto step, parser_.feed(pending()));
      input_at_ += step.consumed;
      if (step.progress == Http1Parser::Progress::kHead) co_return true;
      if (step.consumed == 0) break;
    }
    if (parser_.begun() && !std::exchange(timed, true)) deadline = loop_.deadline_in(options_.header_time);
    if (finishing_ && !parser_.begun()) co_return false;
    idle_ = !parser_.begun();
    Result<bool> filled = fill_now();
    while (filled && !*filled) {
      const Wake wake = co_await socket_.readable(deadline);
      filled = wake == Wake::kDeadline ? Result<bool>(ClientSocket::silent()) : fill_now();
    }
    idle_ = false;
    if (filled) continue;
    if (!parser_.begun()) co_return false;  // an unused connection ends without a word
    co_return filled.error();
  }
}

/// Reads what is there; false where nothing is, kCancelled at the end of what the client sends.
Result<bool> Http1Connection::fill_now() {
  // One buffer for all connections of the thread: nothing is awaited between reading and copying.
  thread_local ScratchBuffer<kReadSize> scratch;
  ASSIGN(const auto got, socket_.read_now(scratch));
  if (!got) return false;
  if (*got == 0) return client_left();
  input_.erase(0, input_at_);
  input_at_ = 0;
  input_.append(scratch.data(), *got);
  return true;
}

/// fill_now(), waiting for it.
Task<Result<void>> Http1Connection::fill(Deadline deadline) {
  while (true) {
    CO_ASSIGN(const bool filled, fill_now());
    if (filled) co_return ok();
    const Wake wake = co_await socket_.readable(deadline);
    if (wake == Wake::kDeadline) co_return ClientSocket::silent();
  }
}

/// The next bytes of the body, valid until the next call; empty at its end.
Task<Result<std::string_view>> Http1Connection::next_piece() {
  while (!parser_.done()) {
    while (!pending().empty() && !parser_.done()) {
      CO_ASSIGN(const auto step, parser_.feed(pending()));
      input_at_ += step.consumed;
      if (!step.body.empty()) co_return step.body;
      if (step.consumed == 0) break;
    }
    if (parser_.done()) break;
    if (parser_.head().expects_continue && !std::exchange(continue_sent_, true)) {
      CO_TRY(co_await write_bytes("HTTP/1.1 100 Continue\r\n\r\n"));
    }
    CO_TRY(co_await fill(loop_.deadline_in(options_.stall_time)));
  }
  co_return std::string_view();
}

/// Reads what is left of a body that nobody wants; false when that is too much.
Task<bool> Http1Connection::discard_body() {
  const RequestHead& head = parser_.head();
  const bool waits = head.expects_continue && !continue_sent_;
  if (!parser_.done() && (waits || head.content_length > options_.drain_limit)) co_return false;
  std::size_t seen = 0;
  while (seen <= options_.drain_limit) {
    const auto piece = co_await next_piece();
    if (!piece) co_return false;
    if (piece->empty()) co_return true;
    seen += piece->size();
  }
  co_return false;
}

// --- one request ---

Task<Http1Connection::Next> Http1Connection::handle() {
  ++requests_;
  const RequestHead& head = parser_.head();
  request_.head = &head;
  request_.extra_headers.clear();
  HttpExchange exchange(loop_, service_, counters_, request_, *this);
  ServedRequest served = co_await exchange.serve();
  if (served.unreadable) {
    co_await answer_unreadable(*served.unreadable);
    co_return Next::kClose;
  }
  bool complete = parser_.done();
  if (served.body_unwanted) complete = co_await discard_body();
  co_return co_await write(served.answer, complete && head.keep_alive ? Next::kGoOn : Next::kClose);
}

void Http1Connection::set_serving(bool serving) {
  serving_ = serving;
  client_hung_up();  // it may have been gone before this began
}

/// RFC 9113's predecessor, RFC 7540 section 3.2: a request without a body may ask for HTTP/2 instead
/// of its answer. A request that asks wrongly gets its answer.
bool Http1Connection::asks_for_http2() {
  const RequestHead& head = parser_.head();
  if (head.has_body() || head.http10 || !net::has_token(head.header("upgrade"), "h2c")) return false;
  const std::string_view connection = head.header("connection");
  if (!net::has_token(connection, "upgrade") || !net::has_token(connection, "http2-settings")) return false;
  const auto given = std::ranges::count_if(
      head.fields, [](const Field& field) { return equal_ignoring_case(field.name, "http2-settings"); });
  if (given != 1) return false;
  std::string settings(head.header("http2-settings"));
  for (char& c : settings) c = c == '-' ? '+' : c == '_' ? '/' : c;  // base64url
  while (settings.size() % 4 != 0) settings += '=';
  auto decoded = sdk::base64_decode(settings);
  if (!decoded || decoded->size() % 6 != 0) return false;

  auto& upgrade = upgrade_.emplace();
  upgrade.settings = *std::move(decoded);
  upgrade.head.add(":method", head.method);
  upgrade.head.add(":path", head.query.empty() ? std::string(head.path) : fmt::format("{}?{}", head.path, head.query));
  for (const Field& field : head.fields) {
    if (net::is_connection_header(field.name) || net::has_token(connection, field.name)) continue;
    std::string name(field.name);
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    upgrade.head.add(name == "host" ? ":authority" : name, field.value);
  }
  return true;
}

// --- writing ---

/// Status line and headers, except how long the body is and the empty line.
void Http1Connection::begin_answer(const HttpAnswer& answer, bool close) {
  head_.clear();
  append_status_line(head_, answer.reply ? answer.reply->head->status() : answer.status);
  append_date(head_);
  if (answer.reply) append_reply_headers(head_, answer.reply->head.headers());
  head_ += answer.headers;
  head_ += request_.extra_headers;
  if (close) {
    head_ += "Connection: close\r\n";
  } else if (parser_.head().http10) {
    head_ += "Connection: keep-alive\r\n";
  }
}

Task<Http1Connection::Next> Http1Connection::write(HttpAnswer& answer, Next next) {
  if (finishing_) next = Next::kClose;
  if (answer.reply && answer.reply->head.streamed()) co_return co_await write_stream(answer, next);
  begin_answer(answer, next == Next::kClose);
  std::string_view body = answer.reply ? answer.reply->head.payload() : std::string_view(answer.body);
  const std::uint16_t status = answer.reply ? answer.reply->head->status() : answer.status;
  const bool to_head = parser_.head().method == "HEAD";
  if (is_bodiless(status)) {
    body = {};
  } else if (const std::string_view said =
                 answer.reply ? answer.reply->head.headers().get("content-length") : std::string_view();
             to_head && body.empty() && !said.empty() && said.find_first_not_of("0123456789") == said.npos) {
    append_header(head_, "Content-Length", said);
  } else {
    append_length(head_, body.size());
  }
  head_ += "\r\n";
  if (to_head) body = {};
  // Most answers go out in one piece: from the frame that brought them, without a copy.
  std::array<iovec, 2> pieces{piece_of(head_), piece_of(body)};
  const Result<std::span<iovec>> left = socket_.write_now(pieces);
  if (!left) co_return Next::kClose;
  if (left->empty()) co_return next;
  auto writing = socket_.write(*left, options_.stall_time);
  const Result<void> written = co_await std::move(writing);
  co_return written ? next : Next::kClose;
}

/// Passes a streamed answer on as it comes: with its length where the capability told it, else in
/// chunks, to an HTTP/1.0 client until the end of the connection.
Task<Http1Connection::Next> Http1Connection::write_stream(HttpAnswer& answer, Next next) {
  const Frame& reply = answer.reply->head;
  const std::string_view said = reply.headers().get("content-length");
  std::uint64_t left = 0;
  const auto [end, error] = std::from_chars(said.data(), said.data() + said.size(), left);
  const bool known = !said.empty() && error == std::errc() && end == said.data() + said.size();
  const bool bodiless = is_bodiless(reply->status()) || parser_.head().method == "HEAD";
  const bool chunked = !known && !parser_.head().http10;
  if (!known && !chunked) next = Next::kClose;

  begin_answer(answer, next == Next::kClose);
  if (known && !is_bodiless(reply->status())) append_header(head_, "Content-Length", said);
  if (chunked && !bodiless) head_ += "Transfer-Encoding: chunked\r\n";
  head_ += "\r\n";
  if (bodiless) co_return co_await write_bytes(head_) ? next : Next::kClose;

  std::string_view piece = reply.payload();
  Buffer owner;
  while (true) {
    if (known && piece.size() > left) co_return Next::kClose;
    left -= known ? piece.size() : 0;
    if (chunked && !piece.empty()) fmt::format_to(std::back_inserter(head_), "{:x}\r\n", piece.size());
    const auto written = co_await write_bytes(head_, piece, chunked && !piece.empty() ? "\r\n" : "");
    if (!written) co_return Next::kClose;
    head_.clear();
    serving_ = true;
    client_hung_up();
    auto more = co_await answer.reply->rest.next(Deadline::never());  // ends with link or client
    serving_ = false;
    // A body that is cut short must not look whole: the connection ends instead.
    if (!more) co_return Next::kClose;
    if (!*more) break;
    owner = **std::move(more);
    piece = owner.view();
  }
  if (known && left != 0) co_return Next::kClose;
  if (chunked && !co_await write_bytes("0\r\n\r\n")) co_return Next::kClose;
  co_return next;
}

Task<Result<void>> Http1Connection::write_bytes(std::string_view first, std::string_view second,
                                                std::string_view third) {
  std::array<iovec, 3> pieces{piece_of(first), piece_of(second), piece_of(third)};
  co_return co_await socket_.write(pieces, options_.stall_time);
}

/// What came is no request, or did not come: one answer, where there is one to give.
Task<void> Http1Connection::answer_unreadable(const Error& error) {
  HttpAnswer answer;
  switch (error.code) {
    case Errc::kOutOfRange:
      answer = HttpAnswer::text(431, "Request Header Fields Too Large");
      break;
    case Errc::kUnimplemented:
      answer = HttpAnswer::text(501, "Unsupported transfer encoding");
      break;
    case Errc::kInvalidArgument:
      answer = HttpAnswer::text(400, "400 Bad Request: " + error.message);
      break;
    case Errc::kDeadlineExceeded:
      answer = HttpAnswer::text(408, "Request Timeout");
      break;
    default:
      co_return;  // the client is gone
  }
  ++counters_.requests_malformed;
  request_.extra_headers.clear();
  begin_answer(answer, true);
  append_length(head_, answer.body.size());
  head_ += "\r\n";
  [[maybe_unused]] const auto written = co_await write_bytes(head_, answer.body);
}

/// Closing with bytes unread would make the kernel reset the connection, and the client might never
/// see the answer.
Task<void> Http1Connection::linger() {
  socket_.shut_down_writing();
  const Deadline deadline = loop_.deadline_in(std::chrono::seconds(2));
  for (std::size_t seen = 0; seen < kLingerBytes;) {
    input_.clear();
    input_at_ = 0;
    const auto filled = co_await fill(deadline);
    if (!filled) co_return;
    seen += input_.size();
  }
}

}  // namespace caisson::gateway
