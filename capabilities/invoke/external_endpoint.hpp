#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bus/task_scope.hpp"
#include "capabilities/invoke/operation.hpp"
#include "capabilities/invoke/url.hpp"
#include "config-cache/documents.hpp"
#include "net/endpoint.hpp"
#include "net/http1_client.hpp"
#include "net/tls.hpp"
#include "sdk/capability.hpp"

namespace caisson::invoke {

/// One server outside this runtime, over HTTP/1.1, in the clear or with TLS: its address, its kept
/// connections, and what an HTTPEndpoint adds to every request. One thread; calls under way keep it.
class ExternalEndpoint : public std::enable_shared_from_this<ExternalEndpoint> {
 public:
  /// How long an address is used before its name is looked up again.
  static constexpr Nanos kAddressFor = std::chrono::seconds(20);
  /// For looking the name up, and for making ready what an HTTPEndpoint refers to.
  static constexpr Nanos kLongestPreparation = std::chrono::seconds(15);

  /// `document` has a name where it is an HTTPEndpoint.
  ExternalEndpoint(sdk::Context& context, Url url, config::HttpEndpoint document);

  /// One attempt. kUnavailable: nothing was sent, since the name is not known, no connection could be made,
  /// or a secret it needs is not to be had. kUnknown: it was sent and nothing came back. kDeadlineExceeded.
  /// With `streamed`, the operation's rest follows `body`. Operation and body live as long as the answer.
  Task<Result<Answer>> call(const Operation& operation, std::string_view body, bool streamed, Deadline deadline);

  [[nodiscard]] const Url& url() const { return url_; }

 private:
  Task<Result<void>> get_ready(Deadline deadline);
  Task<void> prepare();
  Task<Result<void>> resolve_references(Deadline deadline);
  Task<Result<Answer>> send(const Operation& operation, std::string_view body, bool streamed, Deadline deadline);

  sdk::Context& context_;
  Url url_;
  config::HttpEndpoint document_;
  std::vector<std::pair<std::string, std::string>> headers_;
  std::optional<net::TlsContext> tls_;
  bool references_resolved_ = false;
  std::vector<net::Endpoint> addresses_;
  std::size_t current_ = 0;
  Nanos fresh_until_{};
  std::optional<Error> failure_;
  bool preparing_ = false;
  WaitQueue prepared_;
  std::unique_ptr<net::Http1Client> client_;
  TaskScope scope_;  // last: its task uses everything above
};

}  // namespace caisson::invoke
