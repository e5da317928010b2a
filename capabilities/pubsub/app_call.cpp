#include "capabilities/pubsub/app_call.hpp"

#include <algorithm>

namespace caisson::pubsub {

namespace {

constexpr std::size_t kAnswerLimit = 1024 * 1024;

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return out;
}

bool is_token(std::string_view name) {
  constexpr std::string_view kMarks = "!#$%&'*+-.^_`|~";
  return !name.empty() && std::ranges::all_of(name, [&](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || kMarks.find(c) != std::string_view::npos;
  });
}

/// Whether message metadata may become a header: it must be one, and not one of the call's own.
bool may_be_header(std::string_view name, std::string_view value) {
  for (const std::string_view own :
       {"content-type", "content-length", "transfer-encoding", "connection", "host", "upgrade", "te", "trailer",
        "expect", "dapr-api-token", "traceparent", "tracestate", "pubsubname"}) {
    if (name == own) return false;
  }
  const bool printable = std::ranges::none_of(
      value, [](char c) { return (static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7F; });
  return is_token(name) && printable;
}

}  // namespace

Task<Result<AppReply>> call_app(sdk::Context& context, Envelope call, MessageMetadata headers, std::string body,
                                Deadline deadline) {
  std::vector<Field> fields(call.headers.begin(), call.headers.end());
  for (const auto& [name, value] : headers) fields.push_back({name, value});
  call.target = "app";
  call.method = "POST";
  call.headers = fields;
  Buffer payload(std::move(body));
  auto calling = context.call(call, std::move(payload), deadline);
  CO_ASSIGN(Reply reply, co_await std::move(calling));
  AppReply whole{reply.head->status(), std::string(reply.head.payload())};
  if (!reply.head.streamed()) co_return whole;
  auto reading = reply.rest.all(kAnswerLimit, deadline);
  const auto rest = co_await std::move(reading);
  if (rest) {
    whole.body += *rest;
  } else if (rest.error().code == Errc::kOutOfRange) {
    whole.body.clear();
  } else {
    // Whatever it was, the app has got the event.
    co_return Error{Errc::kUnknown, rest.error().message};
  }
  co_return whole;
}

Attempt attempt_after(const Error& error) {
  switch (error.code) {
    // Nothing was sent. A link that breaks says kUnavailable as well: then the app may have got the event,
    // and gets it again, as after any broken connection.
    case Errc::kUnavailable:
    case Errc::kFailedPrecondition:
    case Errc::kResourceExhausted:
    case Errc::kPermissionDenied:
      return {Attempt::Kind::kAway, 0, error.message};
    case Errc::kUnknown:
    case Errc::kCancelled:
      return {Attempt::Kind::kBroken, 0, error.message};
    default:
      return {Attempt::Kind::kFailed, 0, error.message};
  }
}

MessageMetadata metadata_headers(const MessageMetadata& metadata) {
  MessageMetadata headers;
  for (const auto& [name, value] : metadata) {
    std::string header = lower(name);
    if (may_be_header(header, value)) headers.emplace(std::move(header), value);
  }
  return headers;
}

}  // namespace caisson::pubsub
