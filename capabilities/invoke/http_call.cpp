#include "capabilities/invoke/http_call.hpp"

#include <algorithm>
#include <utility>

namespace caisson::invoke {

namespace {

/// What is left of an answer's body. One piece, as most are, is taken as it is.
Task<Result<Buffer>> whole(net::HttpReply& reply, Deadline deadline) {
  auto beginning = reply.next(deadline);
  CO_ASSIGN(auto first, co_await std::move(beginning));
  if (!first) co_return Buffer();
  std::string joined;
  while (true) {
    auto reading = reply.next(deadline);
    CO_ASSIGN(auto more, co_await std::move(reading));
    if (!more) break;
    if (joined.empty()) joined = first->view();
    joined += more->view();
  }
  co_return joined.empty() ? *std::move(first) : Buffer(std::move(joined));
}

bool fits_one_piece(net::HttpReply& reply) {
  const auto& length = reply.head().content_length;
  return reply.complete() || (length && *length <= HttpCall::kWholeBody);
}

}  // namespace

Task<Result<Answer>> call_over_http(net::Http1Client& client, std::shared_ptr<HttpCall> call,
                                    const Operation& operation, std::string_view body, bool streamed,
                                    Deadline deadline) {
  const auto says = [&](std::string_view name) {
    return std::ranges::any_of(call->headers, [&](const Field& f) { return equal_ignoring_case(f.name, name); });
  };
  if (!operation.traceparent.empty() && !says("traceparent")) {
    call->headers.push_back({"traceparent", operation.traceparent});
    if (!operation.tracestate.empty()) call->headers.push_back({"tracestate", operation.tracestate});
  }
  net::HttpRequestHead head;
  head.method = operation.verb;
  head.path = call->path;
  head.query = operation.query;
  head.headers = call->headers;
  net::HttpRequestBody content;
  content.first = body;
  if (streamed) {
    content.rest = [rest = operation.rest](Deadline until) mutable { return rest.next(until); };
    content.length = operation.length;
  }
  auto calling = client.call(head, std::move(content), deadline);
  CO_ASSIGN(call->reply, co_await std::move(calling));

  Answer answer;
  const net::ResponseHead& got = call->reply->head();
  answer.status = got.status;
  for (const auto& header : got.headers) answer.headers.emplace_back(header);
  if (fits_one_piece(*call->reply)) {
    auto reading = whole(*call->reply, deadline);
    CO_ASSIGN(answer.body, co_await std::move(reading));
  } else {
    answer.next = [call, deadline](Deadline until) { return call->reply->next(until.earlier(deadline)); };
  }
  answer.keep = std::move(call);
  co_return answer;
}

}  // namespace caisson::invoke
