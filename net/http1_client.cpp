#include "net/http1_client.hpp"

#include <fmt/format.h>
#include <sys/epoll.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "bus/task_scope.hpp"
#include "net/http_headers.hpp"

namespace caisson::net {

namespace {

constexpr std::size_t kReadSize = 64 * 1024;

struct Failure {
  Error error;
  bool sent = false;      // something of the request may have arrived
  bool answered = false;  // a byte of the answer came
};

bool is_idempotent(std::string_view method) {
  constexpr std::string_view kMethods[] = {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"};
  return std::ranges::find(kMethods, method) != std::end(kMethods);
}

bool is_target(std::string_view text, std::string_view refused) {
  return std::ranges::all_of(text, [&](char c) {
    const auto byte = static_cast<unsigned char>(c);
    return byte > ' ' && byte != 0x7F && refused.find(c) == std::string_view::npos;
  });
}

bool is_own_header(std::string_view name) {
  constexpr std::string_view kNames[] = {"host", "content-length", "expect"};
  return is_connection_header(name) ||
         std::ranges::any_of(kNames, [&](std::string_view own) { return equal_ignoring_case(name, own); });
}

bool is_named_by_connection(const HttpRequestHead& head, std::string_view name) {
  return std::ranges::any_of(head.headers, [&](const Field& header) {
    return equal_ignoring_case(header.name, "connection") && has_token(header.value, name);
  });
}

void append_framing(std::string& out, std::string_view method, const HttpRequestBody& body) {
  if (body.rest && !body.length) {
    out += "Transfer-Encoding: chunked\r\n";
    return;
  }
  const std::uint64_t length = body.rest ? *body.length : body.first.size();
  const bool implied = length == 0 && method != "POST" && method != "PUT" && method != "PATCH";
  if (implied) return;
  std::array<char, 20> digits;
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), length).ptr;
  out.append("Content-Length: ").append(digits.data(), end).append("\r\n");
}

std::string write_head(const HttpRequestHead& head, const HttpRequestBody& body, std::string_view host) {
  std::string out;
  out.reserve(512);
  out.append(head.method).append(" ").append(head.path);
  if (!head.query.empty()) out.append("?").append(head.query);
  out.append(" HTTP/1.1\r\nHost: ").append(host).append("\r\n");
  const bool any_named = std::ranges::any_of(
      head.headers, [](const Field& header) { return equal_ignoring_case(header.name, "connection"); });
  for (const Field& header : head.headers) {
    if (is_own_header(header.name) || (any_named && is_named_by_connection(head, header.name))) continue;
    out.append(header.name).append(": ").append(header.value).append("\r\n");
  }
  append_framing(out, head.method, body);
  out += "\r\n";
  return out;
}

/// Holds a streamed body to the Content-Length that was announced for it.
class BodyLength {
 public:
  explicit BodyLength(const HttpRequestBody& body) : known_(body.length.has_value()) {
    if (known_) left_ = *body.length - std::min<std::uint64_t>(*body.length, body.first.size());
  }
  [[nodiscard]] bool known() const { return known_; }

  /// Counts one piece, or the end.
  std::optional<Error> account(const std::optional<Buffer>& piece) {
    if (!known_) return std::nullopt;
    if (!piece && left_ != 0) return Error{Errc::kInvalidArgument, "the body is shorter than its Content-Length"};
    if (piece && piece->size() > left_) {
      return Error{Errc::kInvalidArgument, "the body is longer than its Content-Length"};
    }
    if (piece) left_ -= piece->size();
    return std::nullopt;
  }

 private:
  bool known_;
  std::uint64_t left_ = 0;
};

}  // namespace

Result<void> check(const HttpRequestHead& head) {
  if (!is_token(head.method) || head.method == "CONNECT") {
    return Error{Errc::kInvalidArgument, "the method is none that can be sent"};
  }
  if (head.path.empty() || head.path.front() != '/' || !is_target(head.path, "?#")) {
    return Error{Errc::kInvalidArgument, "the path is not one that can be sent"};
  }
  if (!is_target(head.query, "#")) return Error{Errc::kInvalidArgument, "the query is not one that can be sent"};
  for (const Field& header : head.headers) {
    if (!is_token(header.name) || !is_header_value(header.value)) {
      return Error{Errc::kInvalidArgument, "a header is not one that can be sent"};
    }
  }
  return ok();
}

bool is_left_out(const HttpRequestHead& head, std::string_view name) {
  return is_own_header(name) || is_named_by_connection(head, name);
}

/// One request and its answer on one connection.
struct HttpReply::Connection {
  Connection(EventLoop& event_loop, std::unique_ptr<TcpStream> stream, bool to_head)
      : loop(event_loop), socket(std::move(stream)), parser(to_head) {}

  /// Lets `task` run as long as the connection is used.
  void upload(Task<void> task) { uploading.emplace(loop).spawn(std::move(task)); }

  EventLoop& loop;
  std::unique_ptr<TcpStream> socket;
  Http1ResponseParser parser;
  bool sent = false;  // the whole request
  std::optional<Error> source_error;
  HttpRequestBody body;
  std::optional<TaskScope> uploading;  // last: its task uses the rest
};

/// What a client's calls share; lives until the last of them has ended.
struct HttpReply::Shared : std::enable_shared_from_this<Shared> {
  struct Idle {
    std::unique_ptr<TcpStream> socket;
    Nanos since;
  };

  Shared(EventLoop& event_loop, Endpoint where, Http1Client::Options how)
      : loop(event_loop),
        endpoint(std::move(where)),
        options(std::move(how)),
        sweep(event_loop, [this] { close_unused(); }),
        bytes(kReadSize) {}

  EventLoop& loop;
  Endpoint endpoint;
  Http1Client::Options options;
  bool closed = false;
  std::vector<Idle> idle;  // the most recently used last
  Timer sweep;
  std::vector<char> bytes;  // what was read last, until it is parsed

  void keep(std::unique_ptr<TcpStream> socket);
  std::unique_ptr<TcpStream> take();
  void drop(const TcpStream* socket);
  void close_unused();

  static Task<Result<std::unique_ptr<TcpStream>>> open(Shared& shared, Deadline deadline);
  static Task<Result<void>> receive(Shared& shared, Connection& connection, Deadline deadline);
  static Task<std::optional<Failure>> exchange(Shared& shared, Connection& connection, std::string head,
                                               Deadline deadline);
  static Task<void> send_rest(Connection& connection, std::string head, std::string_view first, std::string_view suffix,
                              Deadline deadline);
  static Task<Result<void>> send_stream(Connection& connection, Deadline deadline);
};

// --- kept connections ---

void HttpReply::Shared::keep(std::unique_ptr<TcpStream> socket) {
  // Whether it is quiet indeed is asked when it is taken; TLS has something to read out first.
  const bool quiet = socket->encrypted() ? socket->quiet() : socket->seems_quiet();
  if (closed || idle.size() >= options.max_idle || !quiet) return;
  // Not dropped inside the socket's own event: the call that brought the news still runs in it.
  socket->on_event([this, gone = socket.get()](std::uint32_t events) {
    if ((events & ~std::uint32_t{EPOLLOUT}) == 0) return;
    loop.post([weak = weak_from_this(), gone] {
      if (const auto shared = weak.lock()) shared->drop(gone);
    });
  });
  idle.push_back({std::move(socket), loop.now()});
  if (!sweep.started()) sweep.start_after(options.idle_time);
}

std::unique_ptr<TcpStream> HttpReply::Shared::take() {
  while (!idle.empty()) {
    std::unique_ptr<TcpStream> socket = std::move(idle.back().socket);
    idle.pop_back();
    socket->on_event(nullptr);
    if (socket->quiet()) return socket;
    options.hung_up();
  }
  return nullptr;
}

void HttpReply::Shared::drop(const TcpStream* socket) {
  const auto found = std::ranges::find_if(idle, [&](const Idle& entry) { return entry.socket.get() == socket; });
  if (found == idle.end() || found->socket->quiet()) return;  // in use meanwhile, or another at its address
  idle.erase(found);
  if (!closed) options.hung_up();
}

void HttpReply::Shared::close_unused() {
  const Nanos now = loop.now();
  while (idle.size() > 1 && now - idle.front().since >= options.idle_time) idle.erase(idle.begin());
  if (idle.size() > 1) sweep.start_after(options.idle_time);
}

Task<Result<std::unique_ptr<TcpStream>>> HttpReply::Shared::open(Shared& shared, Deadline deadline) {
  std::unique_ptr<TlsSession> tls;
  if (shared.options.tls) {
    CO_ASSIGN(tls, shared.options.tls());
  }
  auto connecting = TcpStream::connect(shared.loop, shared.endpoint, std::move(tls), deadline);
  co_return co_await std::move(connecting);
}

// --- one exchange ---

/// Sends the request and reads until the answer's head is there. Nothing: it is there.
Task<std::optional<Failure>> HttpReply::Shared::exchange(Shared& shared, Connection& connection, std::string head,
                                                         Deadline deadline) {
  Failure failure;
  std::string_view first = connection.body.first;
  std::string prefix;
  std::string_view suffix;
  if (connection.body.rest && !connection.body.length && !first.empty()) {
    prefix = fmt::format("{:x}\r\n", first.size());
    suffix = "\r\n";
  }
  head += prefix;
  TcpStream::Parts parts = {head, first, suffix};
  const Result<std::size_t> written = connection.socket->write_some(parts);
  if (!written) {
    failure.error = {Errc::kUnavailable, "the connection was closed before the request was sent"};
    co_return failure;
  }
  failure.sent = true;
  const bool all = TcpStream::advance(parts, *written);
  if (all && !connection.body.rest) {
    connection.sent = true;
  } else {
    // The rest goes out while the answer is read: an upstream may begin to answer before it has
    // read everything, and stop reading until its answer is taken.
    connection.upload(send_rest(connection, std::string(parts[0]), parts[1], parts[2], deadline));
  }
  while (!connection.parser.head_done()) {
    Result<void> received = co_await receive(shared, connection, deadline);
    if (received) continue;
    failure.error = std::move(received).error();
    failure.answered = connection.parser.began();
    co_return failure;
  }
  co_return std::nullopt;
}

/// Reads once and parses. Only while the answer is not complete.
Task<Result<void>> HttpReply::Shared::receive(Shared& shared, Connection& connection, Deadline deadline) {
  const Result<std::size_t> got = co_await connection.socket->read(shared.bytes, deadline);
  if (connection.source_error) co_return *connection.source_error;
  if (!got && got.error().code == Errc::kDeadlineExceeded) co_return got.error();
  if (!got) co_return Error{Errc::kUnknown, "the connection broke: " + got.error().message};
  if (*got == 0 && !connection.parser.began()) {
    co_return Error{Errc::kUnknown, "the connection was closed without an answer"};
  }
  const std::string_view bytes(shared.bytes.data(), *got);
  const Result<void> parsed = *got == 0 ? connection.parser.end() : connection.parser.feed(bytes);
  if (!parsed) co_return Error{Errc::kUnknown, parsed.error().message};
  co_return ok();
}

Task<void> HttpReply::Shared::send_rest(Connection& connection, std::string head, std::string_view first,
                                        std::string_view suffix, Deadline deadline) {
  const TcpStream::Parts parts = {head, first, suffix};
  // A failure to write is seen by the reader, together with an answer that may have come before it.
  if (!co_await connection.socket->write_all(parts, deadline)) co_return;
  if (connection.body.rest) {
    const Result<void> streamed = co_await send_stream(connection, deadline);
    if (!streamed) co_return;
  }
  connection.sent = true;
}

Task<Result<void>> HttpReply::Shared::send_stream(Connection& connection, Deadline deadline) {
  BodyLength length(connection.body);
  while (true) {
    Result<std::optional<Buffer>> piece = co_await connection.body.rest(deadline);
    if (piece) {
      if (std::optional<Error> wrong = length.account(*piece)) piece = *std::move(wrong);
    }
    if (!piece) {
      connection.source_error = piece.error();
      connection.socket->shut_down();
      co_return piece.error();
    }
    if (!*piece) break;
    const std::string_view bytes = (*piece)->view();
    if (bytes.empty()) continue;  // an empty chunk would end the body
    const std::string prefix = length.known() ? std::string() : fmt::format("{:x}\r\n", bytes.size());
    const TcpStream::Parts parts = {prefix, bytes, length.known() ? "" : "\r\n"};
    CO_TRY(co_await connection.socket->write_all(parts, deadline));
  }
  if (length.known()) co_return ok();
  const TcpStream::Parts end = {"0\r\n\r\n", "", ""};
  co_return co_await connection.socket->write_all(end, deadline);
}

// --- HttpReply ---

HttpReply::HttpReply(std::shared_ptr<Shared> shared, std::unique_ptr<Connection> connection)
    : shared_(std::move(shared)), connection_(std::move(connection)) {}
HttpReply::HttpReply(HttpReply&&) noexcept = default;
HttpReply& HttpReply::operator=(HttpReply&&) noexcept = default;
HttpReply::~HttpReply() { settle(); }

ResponseHead& HttpReply::head() { return connection_->parser.head(); }

bool HttpReply::complete() const { return connection_->parser.done(); }

/// Keeps the connection, or lets it close.
void HttpReply::settle() {
  if (connection_ == nullptr || connection_->socket == nullptr) return;
  if (!connection_->parser.connection_reusable() || !connection_->sent || connection_->source_error) return;
  shared_->keep(std::move(connection_->socket));
}

Task<Result<std::optional<Buffer>>> HttpReply::next(Deadline deadline) {
  Http1ResponseParser& parser = connection_->parser;
  while (!parser.has_body() && !parser.done()) {
    CO_TRY(co_await Shared::receive(*shared_, *connection_, deadline));
  }
  if (parser.done()) settle();
  if (!parser.has_body()) co_return std::optional<Buffer>();
  std::optional<Buffer> piece = Buffer(parser.take_body());
  co_return piece;
}

// --- Http1Client ---

Http1Client::Http1Client(EventLoop& loop, Endpoint endpoint, Options options)
    : shared_(std::make_shared<Shared>(loop, std::move(endpoint), std::move(options))) {}

Http1Client::~Http1Client() {
  shared_->closed = true;
  shared_->options.hung_up = [] {};
  shared_->sweep.cancel();
  shared_->idle.clear();
}

std::size_t Http1Client::idle_connections() const { return shared_->idle.size(); }
void Http1Client::close_idle() { shared_->idle.clear(); }

void Http1Client::move_to(Endpoint endpoint) {
  if (!(shared_->endpoint == endpoint)) close_idle();
  shared_->endpoint = std::move(endpoint);
}

Task<Result<HttpReply>> Http1Client::call(HttpRequestHead head, HttpRequestBody body, Deadline deadline) {
  const std::shared_ptr<Shared> shared = shared_;
  CO_TRY(check(head));
  const std::string text = write_head(head, body, shared->endpoint.text);
  // What cannot be sent twice does not go on a connection that may be closed at this moment.
  bool may_reuse = !body.rest;
  while (true) {
    std::unique_ptr<TcpStream> socket = may_reuse ? shared->take() : nullptr;
    const bool reused = socket != nullptr;
    if (!reused) {
      auto connecting = Shared::open(*shared, deadline);
      CO_ASSIGN(socket, co_await std::move(connecting));
    }
    auto connection = std::make_unique<Connection>(shared->loop, std::move(socket), head.method == "HEAD");
    connection->body = reused ? HttpRequestBody{body.first, nullptr, body.length} : std::move(body);
    std::optional<Failure> failure = co_await Shared::exchange(*shared, *connection, text, deadline);
    if (!failure) co_return HttpReply(shared, std::move(connection));
    if (!reused) co_return std::move(failure->error);
    const bool stale = failure->error.code != Errc::kDeadlineExceeded && !failure->answered;
    if (!stale || (failure->sent && !is_idempotent(head.method))) co_return std::move(failure->error);
    may_reuse = false;
  }
}

}  // namespace caisson::net
