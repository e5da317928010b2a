#include "gateway/api_service.hpp"

#include <algorithm>

#include "gateway/api_access.hpp"
#include "gateway/response_head.hpp"

namespace caisson::gateway {

namespace {

HttpAnswer body_too_large(const HttpRequest& request) {
  const Route& route = *request.match.entry()->route;
  if (route.too_large.status != 0) return HttpAnswer::error(route.errors, route.too_large);
  return HttpAnswer::error(route.errors, {400, "ERR_BODY_TOO_LARGE", "the request's body is over the limit"});
}

}  // namespace

Admission ApiService::admit(HttpRequest& request) {
  const RequestHead& head = *request.head;
  Admission admission;
  request.trace.size = 0;
  if (request.table != routing_.table) request.table = routing_.table;
  const Result<void> found = request.table->find(head.method, head.path, request.match);
  const RouteEntry* const entry = request.match.entry();
  const bool open = found && entry != nullptr && entry->route->open;
  if (!open) {
    if (!is_authenticated(app_, head)) {
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

/// The views in it last as long as the request.
RoutedRequest ApiService::routed(const HttpRequest& request) const {
  const RequestHead& head = *request.head;
  const RouteEntry& entry = *request.match.entry();
  RoutedRequest routed;
  routed.manifest = entry.manifest.get();
  routed.route = entry.route;
  routed.component = request.match.selector();
  routed.key = request.match.key();
  Envelope& envelope = routed.envelope;
  envelope.route = entry.route->number;
  envelope.app = app_.id;
  envelope.method = head.method;
  envelope.path = head.path;
  envelope.query = head.query;
  envelope.traceparent = request.trace.size != 0 ? request.trace.traceparent() : head.header("traceparent");
  envelope.tracestate = head.header("tracestate");
  envelope.parameters = request.match.parameters();
  envelope.headers = request.headers;
  return routed;
}

Task<HttpAnswer> ApiService::serve(HttpRequest& request, Buffer body) {
  take_crossing_headers(*request.head, false, request.headers);
  const RoutedRequest routed_request = routed(request);
  Answer given = co_await dispatch_.call(routed_request, std::move(body));
  co_return answer(request, std::move(given));
}

Task<Opened> ApiService::open(HttpRequest& request, Buffer first) {
  take_crossing_headers(*request.head, true, request.headers);
  const RoutedRequest routed_request = routed(request);
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
