#include "gateway/api_service.hpp"

#include <algorithm>

#include "gateway/response_head.hpp"
#include "net/http_headers.hpp"

namespace caisson::gateway {

namespace {

constexpr std::string_view kTokenHeader = "dapr-api-token";

/// Takes as long for a token that is nearly right as for one that is not.
bool same_token(std::string_view given, std::string_view expected) {
  unsigned difference = given.size() == expected.size() ? 0 : 1;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const char c = i < given.size() ? given[i] : '\0';
    difference |= static_cast<unsigned char>(c) ^ static_cast<unsigned char>(expected[i]);
  }
  return difference == 0;
}

HttpAnswer body_too_large(const HttpRequest& request) {
  const Route& route = *request.match.entry()->route;
  if (route.too_large.status != 0) return HttpAnswer::error(route.errors, route.too_large);
  return HttpAnswer::error(route.errors, {400, "ERR_BODY_TOO_LARGE", "the request's body is over the limit"});
}

/// Headers that end here: they concern this connection, or are carried in a field of their own.
bool ends_here(std::string_view name, bool streamed) {
  constexpr std::string_view kNames[] = {kTokenHeader, "traceparent", "tracestate", "expect"};
  if (net::is_connection_header(name)) return true;
  // Of a streamed body the length is the one thing that cannot be told from the frame.
  if (!streamed && equal_ignoring_case(name, "content-length")) return true;
  return std::ranges::any_of(kNames, [&](std::string_view other) { return equal_ignoring_case(name, other); });
}

}  // namespace

bool ApiService::authenticated(const RequestHead& head) const {
  return app_.api_token.empty() || same_token(head.header(kTokenHeader), app_.api_token);
}

Admission ApiService::admit(HttpRequest& request) {
  const RequestHead& head = *request.head;
  Admission admission;
  request.trace.size = 0;
  request.table = routing_.table;
  const Result<void> found = request.table->find(head.method, head.path, request.match);
  const RouteEntry* const entry = request.match.entry();
  const bool open = found && entry != nullptr && entry->route->open;
  if (!open) {
    if (!authenticated(head)) {
      ++counters_.requests_unauthenticated;
      admission.refusal = HttpAnswer::text(401, "invalid api token");
      return admission;
    }
    const std::string_view baggage = head.header("baggage");
    if (!baggage.empty() && !is_baggage(baggage)) {
      admission.refusal = HttpAnswer::text(400, "invalid baggage header");
      return admission;
    }
    request.trace = routing_.tracer.begin(head.header("traceparent"));
    if (request.trace.size != 0) {
      append_header(request.extra_headers, "traceparent", request.trace.traceparent());
      const std::string_view tracestate = head.header("tracestate");
      if (!tracestate.empty()) append_header(request.extra_headers, "tracestate", tracestate);
    }
    if (!baggage.empty()) append_header(request.extra_headers, "baggage", baggage);
  }
  if (!found) {
    admission.refusal = HttpAnswer::text(400, found.error().message);
    return admission;
  }
  if (entry == nullptr) {
    admission.refusal = HttpAnswer::error(
        ErrorShape::kDaprJson,
        {404, "ERR_NOT_FOUND", "no route for " + std::string(head.method) + " " + std::string(head.path)});
    return admission;
  }
  const Route& route = *entry->route;
  admission.body_limit = route.body_limit != 0 ? route.body_limit : app_.max_body_size;
  if (!route.streaming) admission.body_limit = std::min(admission.body_limit, kMaxPayload);
  admission.too_large = body_too_large;
  admission.streaming = route.streaming;
  return admission;
}

RoutedRequest ApiService::routed(const HttpRequest& request, std::vector<Field>& headers, bool streamed) const {
  const RequestHead& head = *request.head;
  const std::string_view connection = head.header("connection");
  headers.reserve(head.fields.size());
  for (const Field& field : head.fields) {
    if (ends_here(field.name, streamed)) continue;
    if (!connection.empty() && net::has_token(connection, field.name)) continue;
    headers.push_back(field);
  }
  const RouteEntry& entry = *request.match.entry();
  RoutedRequest routed;
  routed.manifest = entry.manifest.get();
  routed.route = entry.route;
  routed.component = request.match.selector();
  Envelope& envelope = routed.envelope;
  envelope.route = entry.route->number;
  envelope.app = app_.id;
  envelope.method = head.method;
  envelope.path = head.path;
  envelope.query = head.query;
  envelope.traceparent = request.trace.size != 0 ? request.trace.traceparent() : head.header("traceparent");
  envelope.tracestate = head.header("tracestate");
  envelope.parameters = request.match.parameters();
  envelope.headers = headers;
  return routed;
}

Task<HttpAnswer> ApiService::serve(HttpRequest& request, Buffer body) {
  std::vector<Field> headers;
  const RoutedRequest routed_request = routed(request, headers, false);
  Answer given = co_await dispatch_.call(routed_request, std::move(body));
  co_return answer(request, std::move(given));
}

Task<Opened> ApiService::open(HttpRequest& request, Buffer first) {
  std::vector<Field> headers;
  const RoutedRequest routed_request = routed(request, headers, true);
  co_return co_await dispatch_.open(routed_request, std::move(first));
}

Task<HttpAnswer> ApiService::reply(HttpRequest& request, Opened& opened) {
  if (!opened.call) co_return HttpAnswer::error(request.match.entry()->route->errors, opened.error);
  Answer given = co_await dispatch_.reply(opened, *request.match.entry()->route);
  co_return answer(request, std::move(given));
}

HttpAnswer ApiService::answer(HttpRequest& request, Answer given) {
  if (!given.reply) return HttpAnswer::error(request.match.entry()->route->errors, given.error);
  HttpAnswer answer;
  if (request.trace.size != 0 && given.reply->head.headers().has("traceparent")) {
    request.extra_headers.clear();
    const std::string_view baggage = request.head->header("baggage");
    if (!baggage.empty()) append_header(request.extra_headers, "baggage", baggage);
  }
  answer.reply = std::move(given.reply);
  answer.place = std::move(given.place);
  answer.slot = std::move(given.slot);
  return answer;
}

}  // namespace caisson::gateway
