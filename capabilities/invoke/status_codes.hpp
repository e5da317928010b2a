#pragma once

#include <cstdint>
#include <string_view>

#include "bus/errc.hpp"

/// Between the status codes of HTTP and of gRPC, as Dapr's service invocation maps them.
namespace caisson::invoke {

Errc rpc_code_of(std::uint16_t http_status);
std::uint16_t http_status_of(Errc code);

/// "Not Found"; empty for a code without a name (RFC 9110 and IANA's registry).
std::string_view status_text(std::uint16_t http_status);

}  // namespace caisson::invoke
