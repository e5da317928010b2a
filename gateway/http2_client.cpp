#include "gateway/http2_client.hpp"

#include <fmt/format.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <charconv>
#include <vector>

#include "bus/task_scope.hpp"
#include "gateway/http2_session.hpp"

namespace caisson::gateway {

namespace {

constexpr std::size_t kReadSize = 16 * 1024;
/// Read without a pause, so that an upstream that floods does not hold up the loop.
constexpr std::size_t kReadAtOnce = 256 * 1024;
constexpr std::size_t kWriteSize = 64 * 1024;
/// An upstream that takes nothing for so long is gone.
constexpr Nanos kWriteTimeout = std::chrono::seconds(30);
constexpr Nanos kOpenTimeout = std::chrono::seconds(5);

bool has_body(const net::HttpRequestBody& body) { return body.rest || !body.first.empty(); }

std::string_view trim(std::string_view value) {
  while (!value.empty() && (value.front() == ' ' || value.front() == '\t')) value.remove_prefix(1);
  while (!value.empty() && (value.back() == ' ' || value.back() == '\t')) value.remove_suffix(1);
  return value;
}

/// The head of a request as HTTP/2 has it: pseudo-headers first, names in lower case.
class RequestFields {
 public:
  RequestFields(const net::HttpRequestHead& head, const net::HttpRequestBody& body, std::string_view scheme,
                std::string_view authority)
      : path_(head.path) {
    if (!head.query.empty()) path_.append("?").append(head.query);
    // All names are written before the first view of one is taken.
    for (const Field& header : head.headers) names_ += header.name;
    std::ranges::transform(names_, names_.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c; });
    fields_ = {{":method", head.method}, {":scheme", scheme}, {":authority", authority}, {":path", path_}};
    std::size_t at = 0;
    for (const Field& header : head.headers) {
      const std::string_view name = std::string_view(names_).substr(at, header.name.size());
      at += header.name.size();
      const bool te = name == "te" && header.value == "trailers";  // RFC 9113 section 8.2.2 lets this one through
      if (te || !net::is_left_out(head, name)) fields_.push_back({name, trim(header.value)});
    }
    const bool implied = body.length == 0 && head.method != "POST" && head.method != "PUT" && head.method != "PATCH";
    if (!body.length || implied) return;
    length_ = std::to_string(*body.length);
    fields_.push_back({"content-length", length_});
  }
  RequestFields(const RequestFields&) = delete;

  [[nodiscard]] std::span<const Field> all() const { return fields_; }

 private:
  std::string path_;
  std::string names_;
  std::string length_;
  std::vector<Field> fields_;
};

Result<net::ResponseHead> response_head(const Http2Fields& fields) {
  net::ResponseHead head;
  std::vector<std::pair<std::string, std::string>> headers;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    const auto [name, value] = fields[i];
    if (name == ":status") {
      const char* const end = value.data() + value.size();
      const auto [stop, error] = std::from_chars(value.data(), end, head.status);
      if (error != std::errc() || stop != end) head.status = 0;
    } else if (!name.starts_with(':')) {
      headers.emplace_back(name, value);
    }
    std::uint64_t length = 0;
    if (name == "content-length" &&
        std::from_chars(value.data(), value.data() + value.size(), length).ec == std::errc()) {
      head.content_length = length;
    }
  }
  if (head.status < 200 || head.status > 999) return Error{Errc::kUnknown, "the answer has no status"};
  head.headers = std::move(headers);
  return head;
}

}  // namespace

/// One connection: two tasks, one that reads and one that writes. Kept by the client while it takes new
/// requests and by every exchange on it.
class Http2Client::Connection final : private Http2Session::Handler {
 public:
  Connection(EventLoop& loop, std::unique_ptr<net::TcpStream> stream, std::function<void()> ended)
      : loop_(loop), ended_(std::move(ended)), socket_(std::move(stream)), scope_(loop) {
    Http2Session::Options options;
    options.role = Http2Session::Role::kClient;
    session_ = std::make_unique<Http2Session>(loop, static_cast<Http2Session::Handler&>(*this), options);
    socket_->keep_alive();
    session_->start();
    scope_.spawn(write());
    scope_.spawn(read());
  }

  /// Until the upstream has shown that it speaks HTTP/2.
  Task<Result<void>> greeted(Deadline deadline) {
    while (session_ != nullptr && !session_->ready()) {
      const Wake wake = co_await changed_.wait(loop_, deadline);
      if (wake == Wake::kDeadline) co_return Error{Errc::kDeadlineExceeded, "no greeting in HTTP/2 came in time"};
    }
    if (session_ == nullptr) co_return why_;
    co_return ok();
  }

  [[nodiscard]] bool usable() const { return session_ != nullptr && !session_->going_away(); }
  [[nodiscard]] Http2Session& session() { return *session_; }
  [[nodiscard]] std::size_t streams() const { return session_ == nullptr ? 0 : session_->streams(); }
  /// Woken when a stream ended, or the connection is no longer usable.
  [[nodiscard]] WaitQueue& changed() { return changed_; }
  [[nodiscard]] bool encrypted() const { return socket_->encrypted(); }
  /// Why a stream that was not answered is closed.
  [[nodiscard]] Error why() const {
    return session_ == nullptr ? why_ : Error{Errc::kUnknown, "the upstream reset the stream"};
  }

 private:
  void on_request(const std::shared_ptr<Http2Stream>&) override {}
  void on_closed(Http2Stream&) override { changed_.wake_all(); }
  void on_output() override { output_.wake_all(); }

  Task<void> read() {
    std::vector<char> bytes(kReadSize);
    std::size_t at_once = 0;
    Error why;
    while (true) {
      auto reading = socket_->read(bytes, Deadline::never());
      const auto got = co_await std::move(reading);
      if (!got || *got == 0) {
        why = {Errc::kUnknown, got ? "the upstream closed the connection" : got.error().message};
        break;
      }
      const auto received = session_->receive({bytes.data(), *got});
      changed_.wake_all();
      output_.wake_all();  // what HTTP/2 itself has to answer
      if (!received) {
        why = {Errc::kUnknown, received.error().message};
        break;
      }
      if (session_->over()) {
        why = {Errc::kUnknown, "the upstream let the connection go"};
        break;
      }
      at_once += *got;
      if (at_once < kReadAtOnce) continue;
      at_once = 0;
      co_await loop_.sleep_until(Deadline::at(loop_.now()));
    }
    end(std::move(why));
  }

  Task<void> write() {
    std::string out;
    while (session_ != nullptr) {
      out.clear();
      const auto collected = session_->collect(out, kWriteSize);
      if (!collected) co_return end(collected.error());
      if (out.empty() && session_->over()) break;  // said its last: GOAWAY, or that this is no HTTP/2
      if (out.empty()) {
        co_await output_.wait(loop_, Deadline::never());
        continue;
      }
      const net::TcpStream::Parts parts = {out, "", ""};
      auto writing = socket_->write_all(parts, loop_.deadline_in(kWriteTimeout));
      const auto written = co_await std::move(writing);
      if (!written) break;
    }
    socket_->shut_down();  // the reader sees it, after what the upstream said before
  }

  /// All its streams end.
  void end(Error why) {
    if (session_ == nullptr) return;
    why_ = std::move(why);
    session_.reset();
    socket_->shut_down();
    changed_.wake_all();
    output_.wake_all();
    ended_();
  }

  EventLoop& loop_;
  std::function<void()> ended_;
  Error why_;
  WaitQueue changed_;
  WaitQueue output_;
  std::unique_ptr<net::TcpStream> socket_;
  std::unique_ptr<Http2Session> session_;  // null: the connection has ended
  TaskScope scope_;                        // last: its tasks use the rest
};

/// One request and its answer.
struct Http2Reply::Exchange {
  Exchange(EventLoop& loop, std::shared_ptr<Http2Client::Connection> on, std::shared_ptr<Http2Stream> opened)
      : connection(std::move(on)), stream(std::move(opened)), upload(loop) {}
  Exchange(const Exchange&) = delete;
  ~Exchange() {
    // What is still to be sent points to the caller's memory.
    stream->reset(NGHTTP2_CANCEL);
  }

  std::shared_ptr<Http2Client::Connection> connection;
  std::shared_ptr<Http2Stream> stream;
  net::ResponseHead head;
  net::HttpRequestBody body;
  std::optional<Error> source_error;
  TaskScope upload;  // last: its task uses the rest

  static Task<void> send_rest(Exchange& exchange, Deadline deadline);
  static Task<Result<void>> await_head(Exchange& exchange, Deadline deadline);
  [[nodiscard]] Error broken(Error error) const;
};

/// What a client's calls share; lives until the last of them has ended.
struct Http2Client::Shared : std::enable_shared_from_this<Shared> {
  Shared(EventLoop& event_loop, net::Endpoint where, Options how)
      : loop(event_loop), endpoint(std::move(where)), options(std::move(how)), scope(event_loop) {}

  EventLoop& loop;
  net::Endpoint endpoint;
  Options options;
  std::shared_ptr<Connection> current;
  bool opening = false;
  WaitQueue opened;
  Error last_error;
  Nanos pause{};       // until the next try; zero while connections can be opened
  Nanos not_before{};  // and when that is
  TaskScope scope;     // last: its task uses the rest

  static Task<Result<std::shared_ptr<Connection>>> take(Shared& shared, Deadline deadline);
  static Task<void> open(Shared& shared);
  static Task<Result<std::shared_ptr<Connection>>> connect(Shared& shared, Deadline deadline);
};

// --- the connection that all share ---

/// One with room for another stream.
Task<Result<std::shared_ptr<Http2Client::Connection>>> Http2Client::Shared::take(Shared& shared, Deadline deadline) {
  bool tried = false;
  while (true) {
    const std::shared_ptr<Connection> connection = shared.current;
    if (connection != nullptr && connection->usable()) {
      if (connection->session().has_room()) co_return connection;
      const Wake wake = co_await connection->changed().wait(shared.loop, deadline);
      if (wake == Wake::kDeadline) {
        co_return Error{Errc::kResourceExhausted, "the upstream was busy with other calls until the deadline"};
      }
      continue;
    }
    shared.current.reset();
    if (!shared.opening) {
      if (tried || shared.loop.now() < shared.not_before) co_return shared.last_error;
      shared.opening = true;
      shared.scope.spawn(open(shared));
    }
    tried = true;
    if (!shared.opening) continue;
    const Wake wake = co_await shared.opened.wait(shared.loop, deadline);
    if (wake == Wake::kDeadline) co_return Error{Errc::kUnavailable, "no connection was opened until the deadline"};
  }
}

Task<void> Http2Client::Shared::open(Shared& shared) {
  const net::Endpoint endpoint = shared.endpoint;
  auto connecting = connect(shared, shared.loop.deadline_in(kOpenTimeout));
  auto connection = co_await std::move(connecting);
  if (!(shared.endpoint == endpoint)) {
    shared.last_error = {Errc::kUnavailable, "the upstream has moved"};
  } else if (connection) {
    shared.current = *std::move(connection);
    shared.pause = Nanos::zero();
    shared.last_error = {Errc::kUnavailable, "the upstream closed the connection"};
  } else {
    shared.last_error = {Errc::kUnavailable, connection.error().message};
    shared.pause = std::clamp(shared.pause * 2, shared.options.first_pause, shared.options.longest_pause);
    shared.not_before = shared.loop.now() + shared.pause;
  }
  shared.opening = false;
  shared.opened.wake_all();
}

Task<Result<std::shared_ptr<Http2Client::Connection>>> Http2Client::Shared::connect(Shared& shared, Deadline deadline) {
  std::unique_ptr<net::TlsSession> tls;
  if (shared.options.tls) {
    CO_ASSIGN(tls, shared.options.tls());
  }
  const net::Endpoint endpoint = shared.endpoint;
  auto connecting = net::TcpStream::connect(shared.loop, endpoint, std::move(tls), deadline);
  CO_ASSIGN(auto stream, co_await std::move(connecting));
  std::function<void()> ended = [weak = shared.weak_from_this()] {
    if (const auto alive = weak.lock()) alive->options.hung_up();
  };
  auto connection = std::make_shared<Connection>(shared.loop, std::move(stream), std::move(ended));
  auto greeting = connection->greeted(deadline);
  const auto greeted = co_await std::move(greeting);
  if (!greeted) {
    co_return Error{Errc::kUnavailable,
                    fmt::format("{} does not speak HTTP/2: {}", endpoint.text, greeted.error().message)};
  }
  co_return connection;
}

// --- one exchange ---

Error Http2Reply::Exchange::broken(Error error) const {
  if (source_error) return *source_error;
  if (error.code == Errc::kDeadlineExceeded) return error;
  return connection->why();
}

Task<void> Http2Reply::Exchange::send_rest(Exchange& exchange, Deadline deadline) {
  while (true) {
    auto reading = exchange.body.rest(deadline);
    auto piece = co_await std::move(reading);
    if (!piece) {
      exchange.source_error = std::move(piece).error();
      exchange.stream->reset(NGHTTP2_CANCEL);
      co_return;
    }
    if (!*piece) {
      exchange.stream->finish();
      co_return;
    }
    auto writing = exchange.stream->write(std::move(**piece), deadline);
    const auto written = co_await std::move(writing);
    if (!written) co_return;  // the reader sees why
  }
}

Task<Result<void>> Http2Reply::Exchange::await_head(Exchange& exchange, Deadline deadline) {
  auto waiting = exchange.stream->head_arrived(deadline);
  const auto arrived = co_await std::move(waiting);
  if (!arrived) {
    if (exchange.stream->refused()) co_return Error{Errc::kUnavailable, "the upstream refused the stream"};
    co_return exchange.broken(arrived.error());
  }
  if (exchange.stream->head_too_large()) co_return Error{Errc::kUnknown, "the head of the answer is over the limit"};
  CO_ASSIGN(exchange.head, response_head(exchange.stream->head()));
  co_return ok();
}

// --- Http2Reply ---

Http2Reply::Http2Reply(std::unique_ptr<Exchange> exchange) : exchange_(std::move(exchange)) {}
Http2Reply::Http2Reply(Http2Reply&&) noexcept = default;
Http2Reply& Http2Reply::operator=(Http2Reply&&) noexcept = default;
Http2Reply::~Http2Reply() = default;

net::ResponseHead& Http2Reply::head() { return exchange_->head; }
bool Http2Reply::complete() const { return exchange_->stream->ended(); }
const Http2Fields& Http2Reply::trailers() const { return exchange_->stream->trailers(); }

Task<Result<std::optional<Buffer>>> Http2Reply::next(Deadline deadline) {
  auto waiting = exchange_->stream->more(deadline);
  const auto more = co_await std::move(waiting);
  if (!more) co_return exchange_->broken(more.error());
  std::string bytes = exchange_->stream->take();
  if (bytes.empty()) co_return std::optional<Buffer>();
  co_return std::optional<Buffer>(Buffer(std::move(bytes)));
}

// --- Http2Client ---

Http2Client::Http2Client(EventLoop& loop, net::Endpoint endpoint, Options options)
    : shared_(std::make_shared<Shared>(loop, std::move(endpoint), std::move(options))) {}

Http2Client::~Http2Client() {
  shared_->options.hung_up = [] {};
  shared_->current.reset();
}

bool Http2Client::connected() const { return shared_->current != nullptr && shared_->current->usable(); }
std::size_t Http2Client::streams() const { return shared_->current == nullptr ? 0 : shared_->current->streams(); }
void Http2Client::retire() { shared_->current.reset(); }

void Http2Client::move_to(net::Endpoint endpoint) {
  if (!(shared_->endpoint == endpoint)) retire();
  shared_->endpoint = std::move(endpoint);
  shared_->pause = shared_->not_before = Nanos::zero();
}

Task<Result<Http2Reply>> Http2Client::call(net::HttpRequestHead head, net::HttpRequestBody body, Deadline deadline) {
  const std::shared_ptr<Shared> shared = shared_;
  CO_TRY(net::check(head));
  bool again = !body.rest;
  while (true) {
    auto taking = Shared::take(*shared, deadline);
    CO_ASSIGN(const std::shared_ptr<Connection> connection, co_await std::move(taking));
    const RequestFields fields(head, body, connection->encrypted() ? "https" : "http", shared->endpoint.text);
    auto stream = connection->session().request(fields.all(), !has_body(body));
    if (stream == nullptr) co_return Error{Errc::kUnavailable, "the upstream takes no more requests"};
    auto exchange = std::make_unique<Http2Reply::Exchange>(shared->loop, connection, std::move(stream));
    if (!body.first.empty()) exchange->stream->send(Buffer(MemoryRef(), body.first));
    if (body.rest) {
      exchange->body = std::move(body);
      exchange->upload.spawn(Http2Reply::Exchange::send_rest(*exchange, deadline));
    } else if (has_body(body)) {
      exchange->stream->finish();
    }
    auto answering = Http2Reply::Exchange::await_head(*exchange, deadline);
    auto answered = co_await std::move(answering);
    if (answered) co_return Http2Reply(std::move(exchange));
    if (answered.error().code != Errc::kUnavailable || !std::exchange(again, false)) {
      co_return std::move(answered).error();
    }
  }
}

}  // namespace caisson::gateway
