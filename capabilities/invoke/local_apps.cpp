#include "capabilities/invoke/local_apps.hpp"

#include <charconv>
#include <utility>

#include "net/endpoint.hpp"

namespace caisson::invoke {

namespace {

/// "127.0.0.1:8080", "[::1]:8080".
Result<net::Endpoint> endpoint_of(std::string_view address) {
  const std::size_t colon = address.rfind(':');
  const std::string_view digits = colon == std::string_view::npos ? std::string_view() : address.substr(colon + 1);
  std::uint16_t port = 0;
  if (std::from_chars(digits.data(), digits.data() + digits.size(), port).ec != std::errc() || port == 0) {
    return Error{Errc::kInvalidArgument, "an app's address has no port"};
  }
  return net::make_endpoint(address.substr(0, colon), port);
}

}  // namespace

net::Http1Client* LocalApps::way_to(const std::string& app) {
  const auto state = context_.apps().find(app);
  if (state == context_.apps().end() || !state->second.healthy || state->second.address.empty()) return nullptr;
  const std::string& address = state->second.address;
  const auto known = ways_.find(app);
  if (known != ways_.end() && known->second.address == address) return &known->second.client;
  Result<net::Endpoint> endpoint = endpoint_of(address);
  if (!endpoint) return nullptr;
  if (known != ways_.end()) {
    known->second.address = address;
    known->second.client.move_to(*std::move(endpoint));
    return &known->second.client;
  }
  return &ways_.try_emplace(app, context_.loop(), address, *std::move(endpoint)).first->second.client;
}

}  // namespace caisson::invoke
