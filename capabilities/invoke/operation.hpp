#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bus/link.hpp"

namespace caisson::invoke {

/// One invocation, whichever API asks for it. Its codec makes one per request; the views point into that
/// request, which lives as long as the answer.
struct Operation {
  std::string caller;
  /// Who is called, as the caller wrote it: an app, with or without a namespace, an HTTPEndpoint, or a URL.
  std::string target;
  /// Encoded for HTTP; begins with '/'.
  std::string path;
  /// The same as policies and access lists know it: not encoded, cleaned, without the leading '/'.
  std::string method;
  /// What a gRPC app is told: over gRPC as the caller wrote it.
  std::string rpc_method;
  std::string_view verb;  // one of HTTP's methods
  std::string_view query;
  std::string_view content_type;
  /// Headers for the callee in HTTP's form, its content type among them.
  std::vector<Field> headers;
  std::string_view traceparent;
  std::string_view tracestate;
  std::uint8_t hops = 0;
  Deadline deadline = Deadline::never();

  /// The body, or its first piece; `rest` follows where it is streamed.
  std::string_view body;
  bool streamed = false;
  BodyReader rest;
  /// Of a streamed body, where it is known.
  std::optional<std::uint64_t> length;
};

/// What the callee answered: an HTTP answer, or, where `rpc`, the answer of a unary gRPC call, whose body
/// is one message.
struct Answer {
  using Next = std::function<Task<Result<std::optional<Buffer>>>(Deadline)>;

  bool rpc = false;
  /// HTTP's, or gRPC's.
  std::uint16_t status = 0;
  std::string message;
  /// They point into `body`'s memory or into `keep`.
  std::vector<Field> headers;
  std::vector<Field> trailers;
  /// The body, or its first piece; where `next` is given, it yields the others, then nothing.
  Buffer body;
  Next next;
  /// What still carries the request's body, or what `next` reads from.
  std::shared_ptr<void> keep;

  /// The first header of that name, whatever its case; empty when there is none.
  [[nodiscard]] std::string_view header(std::string_view name) const;
};

/// The whole body of an answer. kResourceExhausted: it is longer than `limit` bytes.
Task<Result<std::string>> whole_body(Answer& answer, std::size_t limit, Deadline deadline);

}  // namespace caisson::invoke
