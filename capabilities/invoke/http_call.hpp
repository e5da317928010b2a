#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "capabilities/invoke/operation.hpp"
#include "net/http1_client.hpp"

namespace caisson::invoke {

/// One request over a connection of this process', and its answer. What the answer's views point to.
struct HttpCall {
  /// A body of known length up to here is one piece of an answer; a longer one is streamed.
  static constexpr std::size_t kWholeBody = std::size_t{256} << 10;

  std::string path;
  /// What the operation's own headers become, without its trace context.
  std::vector<Field> headers;
  /// What path, headers or the client's TLS point to.
  std::shared_ptr<void> keep;
  std::optional<net::HttpReply> reply;
};

/// One attempt. With `streamed`, the operation's rest follows `body`. Operation and body live as long as
/// the answer. Errors as of Http1Client::call(), and of its reply where the body is read here.
Task<Result<Answer>> call_over_http(net::Http1Client& client, std::shared_ptr<HttpCall> call,
                                    const Operation& operation, std::string_view body, bool streamed,
                                    Deadline deadline);

}  // namespace caisson::invoke
