#include "gateway/http2_connection.hpp"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "bus/scratch_buffer.hpp"
#include "gateway/http2_answer.hpp"
#include "gateway/http_exchange.hpp"

namespace caisson::gateway {

namespace {

constexpr std::size_t kReadSize = 64 * 1024;
constexpr std::size_t kWriteSize = 64 * 1024;
/// Room that an idle connection keeps for its next write.
constexpr std::size_t kKeep = 16 * 1024;
constexpr Nanos kPingAfter = std::chrono::seconds(10);
constexpr Nanos kPingTime = std::chrono::seconds(5);

Http2Session::Options session_options(const Services& services, const HttpOptions& options) {
  Http2Session::Options session;
  // The metadata of a call has room as far as an envelope does, plain HTTP what HTTP/1.1 has.
  if (services.rpc == nullptr) session.head_limit = options.header_limit;
  return session;
}

/// The head in the form that HTTP/1.1's has. Its views live as long as the stream.
RequestHead head_of(const Http2Stream& stream) {
  RequestHead head;
  head.keep_alive = true;
  head.chunked = !stream.ended();
  head.content_length = stream.ended() ? stream.arrived().size() : 0;
  const Http2Fields& fields = stream.head();
  head.fields.reserve(fields.size());
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const Field field = fields[i];
    if (field.name == ":method") {
      head.method = field.value;
    } else if (field.name == ":path") {
      const auto question = field.value.find('?');
      head.path = field.value.substr(0, question);
      if (question != field.value.npos) head.query = field.value.substr(question + 1);
    } else if (field.name == ":authority" || !field.name.starts_with(':')) {
      head.fields.push_back(field);
    }
    if (field.name == "content-length") {
      std::from_chars(field.value.data(), field.value.data() + field.value.size(), head.content_length);
      head.chunked = false;
    }
  }
  return head;
}

}  // namespace

Http2Connection::Http2Connection(EventLoop& loop, ClientSocket& socket, const Services& services,
                                 const HttpOptions& options, GatewayCounters& counters)
    : loop_(loop),
      socket_(socket),
      services_(services),
      options_(options),
      counters_(counters),
      session_(loop, *this, session_options(services, options)),
      scope_(loop) {}

Task<void> Http2Connection::run(std::string first, std::optional<Http2Upgrade> upgrade) {
  if (upgrade && !session_.upgrade(*upgrade)) {
    ++counters_.requests_malformed;
    co_return;
  }
  session_.start();
  scope_.spawn(write_all());
  if (receive(first)) scope_.spawn(read_all());
  co_await ended_.wait(loop_, Deadline::never());
}

void Http2Connection::finish() { session_.go_away(); }

// --- bytes ---

Task<void> Http2Connection::read_all() {
  // One buffer for all connections of the thread: nothing is awaited between reading and parsing.
  thread_local ScratchBuffer<kReadSize> scratch;
  bool pinged = false;
  Nanos used = loop_.now();  // when the connection last had a stream
  while (true) {
    // A client that takes no answers is not asked for more.
    while (writing_) co_await written_.wait(loop_, Deadline::never());
    auto reading = socket_.read(scratch, loop_.deadline_in(pinged ? kPingTime : kPingAfter));
    const auto got = co_await std::move(reading);
    if (got && *got == 0) break;
    if (got) {
      pinged = false;
      if (!receive(std::string_view(scratch.data(), *got))) co_return;  // the writer says why, and ends
      if (session_.streams() != 0) used = loop_.now();
      continue;
    }
    if (got.error().code != Errc::kDeadlineExceeded || pinged) break;
    look_for_stalls();
    if (session_.streams() != 0) used = loop_.now();
    if (loop_.now() - used >= options_.idle_time) {
      session_.terminate(NGHTTP2_NO_ERROR);
      co_return;
    }
    session_.ping();
    pinged = true;
  }
  end();
}

/// False when the session is at its end.
bool Http2Connection::receive(std::string_view bytes) {
  const Result<void> received = session_.receive(bytes);
  if (!received) ++counters_.requests_malformed;
  serve_begun();
  output_.wake_all();
  return static_cast<bool>(received);
}

void Http2Connection::serve_begun() {
  for (std::size_t i = 0; i < begun_.size(); ++i) {
    if (begun_[i]->closed()) continue;  // reset in the same breath
    begun_[i]->served_by = scope_.spawn(serve(begun_[i]));
  }
  begun_.clear();
}

Task<void> Http2Connection::write_all() {
  while (true) {
    out_.clear();
    const Result<void> collected = session_.collect(out_, kWriteSize);
    if (!collected && out_.empty()) break;
    if (out_.empty()) {
      if (session_.over()) break;
      if (out_.capacity() > kKeep) out_ = std::string();
      co_await output_.wait(loop_, Deadline::never());
      continue;
    }
    std::array<iovec, 1> pieces{iovec{out_.data(), out_.size()}};
    writing_ = true;
    auto sending = socket_.write(pieces, options_.stall_time);
    const auto sent = co_await std::move(sending);
    writing_ = false;
    written_.wake_all();
    if (!sent) break;
  }
  end();
}

/// Streams whose client takes nothing of a complete answer, and heads that do not end.
void Http2Connection::look_for_stalls() {
  session_.for_each([this](Http2Stream& stream) {
    const Nanos still = loop_.now() - stream.progress();
    if (!stream.begun() && still >= options_.header_time) session_.terminate(NGHTTP2_PROTOCOL_ERROR);
    if (stream.finished() && stream.waiting() != 0 && still >= options_.stall_time) stream.reset(NGHTTP2_CANCEL);
  });
}

// --- streams ---

void Http2Connection::on_closed(Http2Stream& stream) {
  if (stream.served_by != 0) scope_.cancel(stream.served_by);  // does nothing where it has ended
}

Task<void> Http2Connection::serve(std::shared_ptr<Http2Stream> stream) {
  RequestHead head = head_of(*stream);
  if (services_.rpc != nullptr && RpcService::takes(head)) {
    co_await services_.rpc->serve(stream, head);
  } else {
    co_await serve_http(*stream, head);
  }
}

namespace {

/// The body of a stream's request.
class StreamBody final : public RequestBody {
 public:
  StreamBody(EventLoop& loop, Http2Stream& stream, Nanos patience)
      : loop_(loop), stream_(stream), patience_(patience) {}

  Task<Result<std::string_view>> next_piece() override {
    auto arriving = stream_.more(loop_.deadline_in(patience_));
    CO_TRY(co_await std::move(arriving));
    piece_ = stream_.take();
    co_return std::string_view(piece_);
  }
  void set_serving(bool) override {}  // a client that leaves resets its streams, which ends their tasks
  void ended() override {}
  void abandon() override { stream_.reset(NGHTTP2_CANCEL); }

 private:
  EventLoop& loop_;
  Http2Stream& stream_;
  Nanos patience_;
  std::string piece_;
};

/// What HTTP/1.1 has and HTTP/2 says otherwise: Host, and one Cookie header (RFC 9113 section 8.2.3).
/// `cookies` keeps what the head then points to.
void in_http1_words(RequestHead& head, std::string& cookies) {
  const bool has_host = !head.header("host").empty();
  std::size_t pieces = 0;
  for (Field& field : head.fields) {
    if (field.name == ":authority" && !has_host) field.name = "host";
    if (field.name != "cookie") continue;
    if (pieces++ != 0) cookies += "; ";
    cookies += field.value;
  }
  const bool merge = pieces > 1;
  std::erase_if(head.fields,
                [&](const Field& field) { return field.name.starts_with(':') || (merge && field.name == "cookie"); });
  if (merge) head.fields.push_back({"cookie", cookies});
}

}  // namespace

Task<void> Http2Connection::serve_http(Http2Stream& stream, RequestHead& head) {
  std::string cookies;
  in_http1_words(head, cookies);
  HttpRequest request;
  request.head = &head;
  Http2Answer answer(loop_, stream, options_.stall_time, head.method == "HEAD");
  if (stream.head_too_large() || head.path.empty()) {
    ++counters_.requests_malformed;
    const bool large = stream.head_too_large();
    HttpAnswer refusal = large ? HttpAnswer::text(431, "Request Header Fields Too Large")
                               : HttpAnswer::text(400, "400 Bad Request: this is no proxy");
    co_await answer.write(std::move(refusal), {});
    co_return;
  }
  StreamBody body(loop_, stream, options_.stall_time);
  HttpExchange exchange(loop_, services_.http, counters_, request, body);
  ServedRequest served = co_await exchange.serve();
  if (served.unreadable && served.unreadable->code == Errc::kDeadlineExceeded) {
    ++counters_.requests_malformed;
    served.answer = HttpAnswer::text(408, "Request Timeout");
  } else if (served.unreadable) {
    co_return;  // the client is gone
  }
  // As over HTTP/1.1: most clients look at an answer only once they have sent everything.
  for (std::size_t seen = 0; served.body_unwanted && seen <= options_.drain_limit;) {
    auto arriving = body.next_piece();
    const auto piece = co_await std::move(arriving);
    if (!piece || piece->empty()) break;
    seen += piece->size();
  }
  co_await answer.write(std::move(served.answer), request.extra_headers);
}

}  // namespace caisson::gateway
