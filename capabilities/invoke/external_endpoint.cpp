#include "capabilities/invoke/external_endpoint.hpp"

#include <fmt/format.h>

#include "capabilities/invoke/headers.hpp"
#include "capabilities/invoke/http_call.hpp"
#include "sdk/component_set.hpp"

namespace caisson::invoke {

namespace {

net::TlsOptions::Pem pem(const std::map<std::string, std::string>& values, const std::string& name) {
  const auto found = values.find(name);
  return {found == values.end() ? std::string() : found->second, "spec.clientTLS." + name};
}

}  // namespace

ExternalEndpoint::ExternalEndpoint(sdk::Context& context, Url url, config::HttpEndpoint document)
    : context_(context), url_(std::move(url)), document_(std::move(document)), scope_(context.loop()) {}

Task<Result<Answer>> ExternalEndpoint::call(const Operation& operation, std::string_view body, bool streamed,
                                            Deadline deadline) {
  auto getting_ready = get_ready(deadline);
  CO_TRY(co_await std::move(getting_ready));
  Result<Answer> answer = Error{Errc::kUnavailable, "the host has no address"};
  for (std::size_t tries = addresses_.size(); tries > 0; --tries) {
    auto sending = send(operation, body, streamed, deadline);
    answer = co_await std::move(sending);
    if (answer || answer.error().code != Errc::kUnavailable) co_return answer;
    // Nothing was sent: perhaps another address of the host answers. The name may mean others by now, too.
    current_ = (current_ + 1) % addresses_.size();
    client_->move_to(addresses_[current_]);
    fresh_until_ = {};
  }
  co_return answer;
}

Task<Result<Answer>> ExternalEndpoint::send(const Operation& operation, std::string_view body, bool streamed,
                                            Deadline deadline) {
  auto call = std::make_shared<HttpCall>();
  call->keep = shared_from_this();
  call->path = url_.base_path + operation.path;
  call->headers = operation.headers;
  for (const auto& header : headers_) call->headers.emplace_back(header);
  auto calling = call_over_http(*client_, std::move(call), operation, body, streamed, deadline);
  co_return co_await std::move(calling);
}

/// Waits only while there is no address at all: an old one serves while its name is looked up again.
Task<Result<void>> ExternalEndpoint::get_ready(Deadline deadline) {
  const bool fresh = client_ != nullptr && context_.loop().now() < fresh_until_;
  if (!fresh && !preparing_) {
    preparing_ = true;
    scope_.spawn(prepare());
  }
  while (client_ == nullptr) {
    if (!preparing_) co_return failure_ ? *failure_ : Error{Errc::kUnavailable, "the endpoint is not ready"};
    auto waiting = prepared_.wait(context_.loop(), deadline);
    const Wake wake = co_await waiting;
    if (wake == Wake::kDeadline) co_return Error{Errc::kDeadlineExceeded, "the endpoint was not ready in time"};
  }
  co_return ok();
}

/// Looks the name up, and what the document refers to. What fails leaves the old address in force.
Task<void> ExternalEndpoint::prepare() {
  const Deadline deadline = context_.loop().deadline_in(kLongestPreparation);
  auto resolving = resolve_references(deadline);
  Result<void> ready = co_await std::move(resolving);
  if (ready) {
    auto looking = net::find_endpoints(context_.loop(), url_.host, url_.port, deadline);
    Result<std::vector<net::Endpoint>> found = co_await std::move(looking);
    if (found) {
      addresses_ = *std::move(found);
      for (net::Endpoint& address : addresses_) address.text = url_.authority;
      current_ = 0;
      fresh_until_ = context_.loop().now() + kAddressFor;
    } else {
      ready = found.error();
    }
  }
  preparing_ = false;
  failure_.reset();
  if (!ready) failure_ = Error{Errc::kUnavailable, ready.error().message};
  if (ready && client_ == nullptr) {
    net::Http1Client::Options options;
    if (url_.tls) options.tls = [this] { return tls_->session(url_.host); };
    client_ = std::make_unique<net::Http1Client>(context_.loop(), addresses_.front(), std::move(options));
  } else if (ready) {
    client_->move_to(addresses_.front());
  }
  prepared_.wake_all();
}

/// Headers and PEM texts, which may be references to secrets or to the environment. Once.
Task<Result<void>> ExternalEndpoint::resolve_references(Deadline deadline) {
  if (references_resolved_) co_return ok();
  config::Component component;
  component.name = document_.name;
  component.secret_store = document_.secret_store;
  component.metadata = document_.headers;
  component.metadata.insert(component.metadata.end(), document_.client_tls.begin(), document_.client_tls.end());
  auto resolving = sdk::resolve_metadata(context_, component, deadline);
  CO_ASSIGN(const sdk::Metadata values, co_await std::move(resolving));

  headers_.clear();
  std::map<std::string, std::string> tls;
  for (const auto& [name, value] : values.items()) {
    if (headers_.size() < document_.headers.size()) {
      headers_.emplace_back(name, value);
    } else {
      tls[name] = value;
    }
  }
  if (url_.tls) {
    net::TlsOptions options;
    options.authorities = pem(tls, "rootCA");
    options.certificate = pem(tls, "certificate");
    options.key = pem(tls, "privateKey");
    options.protocols = {"http/1.1"};
    CO_ASSIGN(tls_, net::TlsContext::make(options));
  }
  references_resolved_ = true;
  co_return ok();
}

}  // namespace caisson::invoke
