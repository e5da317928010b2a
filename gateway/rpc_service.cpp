#include "gateway/rpc_service.hpp"

#include <fmt/format.h>
#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "bus/task_scope.hpp"
#include "gateway/api_access.hpp"
#include "gateway/rpc_message.hpp"
#include "net/http_headers.hpp"
#include "sdk/base64.hpp"
#include "sdk/rpc.hpp"

namespace caisson::gateway {

namespace {

using sdk::kResumeToken;
using sdk::RpcStatus;

/// A request whose body does not go on for so long is given up.
constexpr Nanos kStall = std::chrono::seconds(30);
/// Answers up to this size are copied to stand behind their prefix, and their frame goes back at once.
constexpr std::size_t kCopy = 16 * 1024;
constexpr std::string_view kTraceHeader = "grpc-trace-bin";
/// A stream that brought nothing since it was opened again is opened so often.
constexpr int kMostVainResumes = 3;

/// Metadata that ends here: it concerns this connection or this way of framing. What a stream carries
/// is framed by the client, so its encoding goes with it.
bool ends_here(std::string_view name, bool streamed) {
  if (name == "grpc-timeout" || name == kTraceHeader || name == kResumeToken) return true;
  return !streamed && name == "grpc-encoding";
}

/// What a capability says as metadata or trailer goes to the client, except what the gateway says itself.
bool may_pass(const Field& field) {
  constexpr std::string_view kOwn[] = {"grpc-status", "grpc-message", "content-type", "content-length", kResumeToken};
  if (!net::is_token(field.name) || !net::is_header_value(field.value) || net::is_connection_header(field.name)) {
    return false;
  }
  return std::ranges::none_of(kOwn, [&](std::string_view own) { return equal_ignoring_case(field.name, own); });
}

/// Binary metadata comes with or without padding.
std::optional<std::string> decode_binary(std::string_view text) {
  std::string padded(text);
  while (padded.size() % 4 != 0) padded += '=';
  return sdk::base64_decode(padded);
}

std::string encode_binary(std::string_view bytes) {
  std::string text = sdk::base64_encode(bytes);
  while (text.ends_with('=')) text.pop_back();
  return text;
}

RpcStatus unauthenticated(bool token_given) {
  sdk::ApiError error;
  error.message = "Unauthorized";
  error.reason = "Unauthorized";
  error.info = {{"http.code", "401"},
                {"http.error_message",
                 token_given ? "authentication error: api token mismatch" : "missing api token in request metadata"}};
  return sdk::rpc_status(Errc::kUnauthenticated, error);
}

/// code, text, and what else belongs to the end of a call.
struct End {
  std::string code;
  std::string message;
  std::vector<Field> others;

  End(std::uint16_t status, std::string_view text) : code(std::to_string(status)), message(encode_rpc_text(text)) {}
  void append_to(std::vector<Field>& fields) const {
    fields.push_back({"grpc-status", code});
    if (!message.empty()) fields.push_back({"grpc-message", message});
    for (const Field& field : others) {
      if (may_pass(field)) fields.push_back(field);
    }
  }
};

/// A code from another process: one of gRPC's, else UNKNOWN.
std::uint16_t code_of(std::uint16_t status) {
  return status <= 16 ? status : static_cast<std::uint16_t>(Errc::kUnknown);
}

}  // namespace

/// One call, while it is served.
struct RpcService::Call {
  Call(std::shared_ptr<Http2Stream> on, const RequestHead& request) : stream(std::move(on)), head(request) {}

  /// The head of every answer: what gRPC and this gateway say, then `reply`'s metadata.
  [[nodiscard]] std::vector<Field> answer_head(const Frame* reply) const {
    std::vector<Field> fields;
    fields.reserve(8);
    fields.push_back({":status", "200"});
    fields.push_back({"content-type", "application/grpc"});
    if (!trace_header.empty() && (reply == nullptr || !reply->headers().has(kTraceHeader))) {
      fields.push_back({kTraceHeader, trace_header});
    }
    if (!baggage.empty()) fields.push_back({"baggage", baggage});
    if (reply == nullptr) return fields;
    for (const Field field : reply->headers()) {
      if (may_pass(field)) fields.push_back(field);
    }
    return fields;
  }
  void begin_answer(const Frame& reply) {
    if (!std::exchange(begun, true)) stream->send_head(answer_head(&reply), false);
  }
  /// Ends the answer; where none has been begun, it is one without a body.
  void finish(const End& end, const Frame* reply = nullptr) {
    std::vector<Field> fields;
    if (begun) {
      end.append_to(fields);
      stream->finish(fields);
      return;
    }
    fields = answer_head(reply);
    end.append_to(fields);
    stream->send_head(fields, true);
  }

  std::shared_ptr<Http2Stream> stream;
  const RequestHead& head;
  std::shared_ptr<const RouteTable> table;  // keeps what `match` points to
  RouteMatch match;
  const Route* route = nullptr;
  std::optional<Deadline> deadline;
  TraceContext trace;
  std::string parent;  // traceparent of the client
  std::string trace_header;
  std::string_view baggage;
  bool begun = false;  // the head of the answer is out
  // Of a resumable stream:
  std::string unfinished;  // a message of the client that has not arrived completely
  std::string resume_token;
  int vain_resumes = 0;
};

bool RpcService::takes(const RequestHead& head) {
  constexpr std::string_view kType = "application/grpc";
  const std::string_view type = head.header("content-type");
  if (head.method != "POST" || !type.starts_with(kType)) return false;
  return type.size() == kType.size() || type[kType.size()] == '+' || type[kType.size()] == ';';
}

Task<void> RpcService::serve(std::shared_ptr<Http2Stream> stream, const RequestHead& head) {
  Call call(std::move(stream), head);
  const RpcStatus status = admit(call);
  if (!status.ok()) {
    refuse(call, status);
  } else if (call.route->rpc == Rpc::kUnary) {
    co_await serve_unary(call);
  } else {
    co_await serve_stream(call);
  }
}

RpcStatus RpcService::admit(Call& call) {
  const RequestHead& head = call.head;
  if (call.stream->head_too_large()) return {Errc::kResourceExhausted, "the metadata is over the limit", {}};
  call.table = routing_.table;
  call.table->find_rpc(head.path, call.match);
  const RouteEntry* const entry = call.match.entry();
  if ((entry == nullptr || !entry->route->open) && !is_authenticated(app_, head)) {
    ++counters_.requests_unauthenticated;
    return unauthenticated(!head.header("dapr-api-token").empty());
  }
  const std::string_view baggage = head.header("baggage");
  if (!baggage.empty() && !is_baggage(baggage)) return {Errc::kInvalidArgument, "invalid baggage header", {}};
  call.baggage = baggage;
  call.parent = head.header("traceparent");
  if (const auto binary = head.header(kTraceHeader); !binary.empty()) {
    std::string parent = traceparent_of_binary(decode_binary(binary).value_or(std::string()));
    if (!parent.empty()) call.parent = std::move(parent);
  }
  call.trace = routing_.tracer.begin(call.parent);
  if (entry == nullptr) return {Errc::kUnimplemented, fmt::format("unknown method {}", head.path), {}};
  call.route = entry->route;
  if (call.trace.size != 0 && !call.route->fallback) call.trace_header = encode_binary(binary_trace(call.trace));
  if (const std::string_view timeout = head.header("grpc-timeout"); !timeout.empty()) {
    const auto span = parse_rpc_timeout(timeout);
    if (!span) return {Errc::kInternal, fmt::format("malformed grpc-timeout: {}", timeout), {}};
    call.deadline = loop_.deadline_in(*span);
  }
  return {};
}

RoutedRequest RpcService::routed(const Call& call, std::string_view component, std::span<const Field> headers) const {
  RoutedRequest routed;
  routed.manifest = call.match.entry()->manifest.get();
  routed.route = call.route;
  routed.component = component;
  routed.deadline = call.deadline;
  Envelope& envelope = routed.envelope;
  envelope.route = call.route->number;
  envelope.app = app_.id;
  envelope.method = call.head.method;
  envelope.path = call.head.path;
  envelope.traceparent = call.trace.size != 0 ? call.trace.traceparent() : std::string_view(call.parent);
  envelope.tracestate = call.head.header("tracestate");
  envelope.headers = headers;
  return routed;
}

namespace {

std::vector<Field> crossing_metadata(const RequestHead& head, bool streamed) {
  std::vector<Field> fields;
  fields.reserve(head.fields.size() + 1);  // a resume token may follow
  take_crossing_headers(head, streamed, fields);
  std::erase_if(fields, [&](const Field& field) { return ends_here(field.name, streamed); });
  return fields;
}

/// The component that the message names; empty where the route names none.
std::string_view component_in(std::string_view message, const Route& route) {
  return protobuf_string_at(message, route.selector);
}

std::size_t message_limit(const Route& route, const AppConfig& app) {
  return std::min(route.body_limit != 0 ? route.body_limit : app.max_body_size, kMaxPayload);
}

}  // namespace

// --- unary ---

Task<void> RpcService::serve_unary(Call& call) {
  const std::size_t limit = message_limit(*call.route, app_);
  Result<std::string> body = std::string();
  if (call.stream->ended()) {
    body = call.stream->take();
  } else {
    auto reading = read_body(call, limit);
    body = co_await std::move(reading);
  }
  Result<Buffer> message =
      body ? take_rpc_message(*std::move(body), call.head.header("grpc-encoding"), limit) : body.error();
  if (!message) {
    if (message.error().code == Errc::kResourceExhausted) ++counters_.requests_too_large;
    refuse(call, {message.error().code, message.error().message, {}});
    co_return;
  }
  const std::vector<Field> headers = crossing_metadata(call.head, false);
  const std::string component(component_in(message->view(), *call.route));
  const RoutedRequest request = routed(call, component, headers);
  auto asking = dispatch_.call(request, *std::move(message));
  Answer answer = co_await std::move(asking);
  if (!answer.reply) {
    refuse(call, answer.error);
    co_return;
  }

  const Frame& reply = answer.reply->head;
  End end(code_of(reply->status()), text(reply->message()));
  const Fields trailers(reply->trailers());
  for (const Field field : trailers) end.others.push_back(field);
  if (reply->status() != 0) {
    call.finish(end, &reply);
    co_return;
  }
  call.stream->send_head(call.answer_head(&reply), false);
  std::vector<Field> last;
  last.reserve(2 + end.others.size());
  end.append_to(last);
  std::string prefix = rpc_prefix(reply.payload().size());
  if (reply.payload().size() <= kCopy) {
    prefix.reserve(kRpcPrefix + reply.payload().size());
    prefix += reply.payload();
    call.stream->send(std::move(prefix));
    call.stream->finish(last);
  } else {
    call.stream->send(std::move(prefix));
    std::vector<std::pair<std::string, std::string>> kept;  // they lie in the frame, which goes with its payload
    for (const Field& field : last) kept.emplace_back(field.name, field.value);
    call.stream->send(std::move(answer.reply->head).into_payload());
    call.stream->finish(std::vector<Field>(kept.begin(), kept.end()));
  }
}

/// The whole body, as far as one message of `limit` bytes goes.
Task<Result<std::string>> RpcService::read_body(Call& call, std::size_t limit) {
  Http2Stream& stream = *call.stream;
  std::string body = stream.take();
  while (!stream.ended() || !stream.arrived().empty()) {
    const auto size = rpc_message_size(body);
    if ((size && *size > limit) || body.size() > limit + kRpcPrefix) break;  // the rest changes nothing
    auto arriving = stream.more(loop_.deadline_in(kStall).earlier(call.deadline.value_or(Deadline::never())));
    CO_TRY(co_await std::move(arriving));
    body += stream.take();
  }
  co_return body;
}

// --- streams ---

Task<void> RpcService::serve_stream(Call& call) {
  if (!call.deadline) call.deadline = Deadline::never();
  std::string first;
  std::string component;
  if (!call.route->selector.empty() || call.route->resumable) {
    const std::size_t limit = message_limit(*call.route, app_);
    auto reading = read_first(call, limit);
    Result<std::string> read = co_await std::move(reading);
    Result<std::string> message = std::string();
    if (!read) {
      message = read.error();
    } else if (!read->empty()) {
      first = *std::move(read);
      message = peek_rpc_message(first, call.head.header("grpc-encoding"), limit);
      if (call.route->resumable) {  // only the first message is sent again
        const std::size_t size = kRpcPrefix + rpc_message_size(first).value_or(0);
        call.unfinished = first.substr(size);
        first.resize(size);
      }
    }
    if (!message) {
      refuse(call, {message.error().code, message.error().message, {}});
      co_return;
    }
    component = component_in(*message, *call.route);
  }
  std::vector<Field> headers = crossing_metadata(call.head, true);
  const std::size_t own = headers.size();
  while (true) {
    headers.resize(own);
    if (!call.resume_token.empty()) headers.push_back({kResumeToken, call.resume_token});
    const RoutedRequest request = routed(call, component, headers);
    auto opening = dispatch_.open(request, Buffer::copy_of(first));
    Opened opened = co_await std::move(opening);
    if (!opened.call) {
      refuse(call, opened.error);
      co_return;
    }
    TaskScope beside(loop_);  // ends before what it writes to
    beside.spawn(pump_request(call, opened.call->body));
    auto replying = dispatch_.reply(opened, *call.route);
    Answer answer = co_await std::move(replying);
    if (!answer.reply) {
      if (opened.instance->link().down() && may_resume(call)) continue;
      refuse(call, answer.error);
      co_return;
    }
    auto passing = pass_stream(call, *answer.reply);
    const bool again = co_await std::move(passing);
    if (!again) co_return;
  }
}

/// Whether a stream that broke off may be opened again where it left off.
bool RpcService::may_resume(Call& call) { return call.route->resumable && ++call.vain_resumes <= kMostVainResumes; }

/// What arrives up to the end of the first message; nothing where there is none.
Task<Result<std::string>> RpcService::read_first(Call& call, std::size_t limit) {
  Http2Stream& stream = *call.stream;
  std::string bytes = stream.take();
  while (true) {
    const auto size = rpc_message_size(bytes);
    if (size && *size > limit) {
      ++counters_.requests_too_large;
      co_return Error{Errc::kResourceExhausted,
                      fmt::format("grpc: received message larger than max ({} vs. {})", *size, limit)};
    }
    if (size && bytes.size() >= kRpcPrefix + *size) co_return bytes;
    if (stream.ended() && stream.arrived().empty()) {
      if (bytes.empty()) co_return bytes;
      co_return Error{Errc::kInternal, "grpc: the stream ended inside a message"};
    }
    auto arriving = stream.more(*call.deadline);
    CO_TRY(co_await std::move(arriving));
    bytes += stream.take();
  }
}

/// The window opens as the bus takes what has arrived. A resumable stream goes on in whole messages: the rest
/// of one may have to go to another instance.
Task<void> RpcService::pump_request(Call& call, BodyWriter& body) {
  Http2Stream& stream = *call.stream;
  const Deadline deadline = *call.deadline;
  std::string bytes = call.route->resumable ? take_whole(call) : std::string();
  while (true) {
    if (!bytes.empty()) {
      auto writing = body.write(Buffer(std::move(bytes)), deadline);
      const auto written = co_await std::move(writing);
      if (!written) co_return;  // the answer will say why
    }
    auto arriving = stream.more(deadline);
    const auto arrived = co_await std::move(arriving);
    if (!arrived) {
      body.fail(arrived.error());
      co_return;
    }
    if (stream.arrived().empty()) break;
    bytes = call.route->resumable ? take_whole(call) : stream.take();
  }
  auto finishing = body.finish(deadline);
  [[maybe_unused]] const auto finished = co_await std::move(finishing);
}

/// The messages that have arrived completely; what is over the limit passes as it is, to be refused there.
std::string RpcService::take_whole(Call& call) {
  std::string& bytes = call.unfinished;
  bytes += call.stream->take();
  const std::size_t limit = message_limit(*call.route, app_);
  std::size_t whole = 0;
  while (const auto size = rpc_message_size(std::string_view(bytes).substr(whole))) {
    if (*size > limit) return std::exchange(bytes, {});
    if (bytes.size() - whole < kRpcPrefix + *size) break;
    whole += kRpcPrefix + *size;
  }
  std::string taken = bytes.substr(0, whole);
  bytes.erase(0, whole);
  return taken;
}

/// True when the answer broke off and its stream should be opened again.
Task<bool> RpcService::pass_stream(Call& call, Reply& reply) {
  Http2Stream& stream = *call.stream;
  const bool streamed = reply.head.streamed();
  End end(code_of(reply.head->status()), text(reply.head->message()));
  const Fields trailers(reply.head->trailers());
  for (const Field field : trailers) end.others.push_back(field);
  if (!streamed && reply.head.payload().empty()) {
    call.finish(end, &reply.head);
    co_return false;
  }
  call.resume_token = reply.head.headers().get(kResumeToken);
  call.begin_answer(reply.head);
  stream.send(Buffer::copy_of(reply.head.payload()));
  while (streamed) {
    auto reading = reply.rest.next(*call.deadline);
    Result<std::optional<Buffer>> piece = co_await std::move(reading);
    if (!piece) {
      const bool broke_off = piece.error().code == Errc::kUnavailable && !call.resume_token.empty();
      if (broke_off && may_resume(call)) co_return true;
      end = End(static_cast<std::uint16_t>(piece.error().code), piece.error().message);
      break;
    }
    if (!*piece) {
      const BodyEnd& said = reply.rest.end();
      end = End(code_of(said.status), said.message);
      for (const auto& trailer : said.trailers) end.others.push_back(trailer);
      break;
    }
    call.vain_resumes = 0;
    auto writing = stream.write(**std::move(piece), *call.deadline);
    const auto written = co_await std::move(writing);
    if (!written) {
      end = End(static_cast<std::uint16_t>(written.error().code), written.error().message);
      break;
    }
  }
  call.finish(end);
  co_return false;
}

// --- answers of the gateway's own ---

void RpcService::refuse(Call& call, const RpcStatus& status) {
  End end(static_cast<std::uint16_t>(status.code), status.message);
  const std::string details = encode_binary(status.details);
  if (!details.empty()) end.others.push_back({"grpc-status-details-bin", details});
  if (status.code == Errc::kUnimplemented) end.others.push_back({"grpc-accept-encoding", "identity,gzip"});
  call.finish(end);
}

void RpcService::refuse(Call& call, const Refusal& refusal) {
  // A request that waited until its own deadline is late, whatever it waited for.
  const bool late = refusal.kind == Errc::kUnavailable && call.deadline && call.deadline->passed(loop_.now());
  sdk::ApiError error;
  error.message = refusal.message;
  error.reason = refusal.code;
  refuse(call, sdk::rpc_status(late ? Errc::kDeadlineExceeded : refusal.kind, error));
}

}  // namespace caisson::gateway
