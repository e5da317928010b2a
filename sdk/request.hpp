#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bus/link.hpp"

namespace caisson::sdk {

/// A whole answer. `status` is the API's: HTTP's, or gRPC's on a route of that kind (sdk/rpc.hpp).
struct Response {
  std::uint16_t status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  Buffer body;
  /// gRPC: the text of a status that is not OK.
  std::string message;
  std::vector<std::pair<std::string, std::string>> trailers;
};

/// A request as a handler sees it. Views stay valid as long as the Request. One thread.
class Request {
 public:
  explicit Request(Incoming incoming) : incoming_(std::move(incoming)) {}

  [[nodiscard]] std::string_view app() const { return text(frame()->app()); }
  [[nodiscard]] std::string_view method() const { return text(frame()->method()); }
  /// The path as the client sent it, still percent-encoded, without the query.
  [[nodiscard]] std::string_view path() const { return text(frame()->path()); }
  /// The raw query, without '?'.
  [[nodiscard]] std::string_view query() const { return text(frame()->query()); }
  /// A parameter of the route's path pattern, percent-decoded; empty when there is none.
  [[nodiscard]] std::string_view parameter(std::string_view name) const { return frame().parameters().get(name); }
  [[nodiscard]] Fields headers() const { return frame().headers(); }
  [[nodiscard]] std::string_view header(std::string_view name) const { return headers().get(name); }
  [[nodiscard]] std::string_view traceparent() const { return text(frame()->traceparent()); }
  [[nodiscard]] std::string_view tracestate() const { return text(frame()->tracestate()); }
  /// The request's identity for ledgers and derived ids.
  [[nodiscard]] RequestId id() const { return request_id(frame().envelope()); }
  [[nodiscard]] Deadline deadline() const { return incoming_.deadline(); }
  [[nodiscard]] std::uint8_t hops() const { return frame()->hops(); }

  /// The body: whole, except on a streaming route, where the rest follows in incoming().rest().
  [[nodiscard]] std::string_view body() const { return frame().payload(); }

  /// The bus's own view, for handlers that stream.
  [[nodiscard]] Incoming& incoming() { return incoming_; }
  [[nodiscard]] const Frame& frame() const { return incoming_.head(); }

  /// Answers; exactly once.
  Task<Result<void>> reply(Response response);
  /// Answers at once. kResourceExhausted when the lane is full: `response` is left untouched for reply(),
  /// which waits.
  Result<void> try_reply(Response& response);

 private:
  Incoming incoming_;
};

/// The query's parameters in order, decoded ('+' is a space). A broken escape is kept as it is.
std::vector<std::pair<std::string, std::string>> parse_query(std::string_view query);

/// The parameters named `metadata.KEY`: KEY to value, the first one wins (the prefix is
/// case-sensitive).
std::map<std::string, std::string> query_metadata(std::string_view query);

/// Percent-decodes; `plus_is_space` for queries. Nothing when an escape is broken.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_space);

}  // namespace caisson::sdk
