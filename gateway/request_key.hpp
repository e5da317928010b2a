#pragma once

#include <string_view>

#include "bus/manifest.hpp"

namespace caisson::gateway {

/// What a request is about, as its route's `key` says; read only where it decides something, between several
/// instances. A view of the request's parameters and body.
class RequestKey {
 public:
  /// Without a key.
  RequestKey() = default;
  /// `parameter`: the path parameter, where the route names one; `message`: the body of a unary gRPC method.
  RequestKey(const Route& route, std::string_view parameter, std::string_view message)
      : route_(&route), parameter_(parameter), message_(message) {}

  /// Empty where there is none.
  [[nodiscard]] std::string_view text() const;

 private:
  const Route* route_ = nullptr;
  std::string_view parameter_;
  std::string_view message_;
};

}  // namespace caisson::gateway
