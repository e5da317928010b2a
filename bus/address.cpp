#include "bus/address.hpp"

#include <sys/un.h>

#include <charconv>

namespace caisson {

namespace {

constexpr struct {
  std::string_view name;
  Address::Scheme scheme;
} kSchemes[] = {
    {"inproc", Address::Scheme::kInproc},
    {"ipc", Address::Scheme::kIpc},
    {"tcp", Address::Scheme::kTcp},
    {"shm", Address::Scheme::kShm},
};

Error invalid(std::string_view address, std::string_view why) {
  return {Errc::kInvalidArgument, "address \"" + std::string(address) + "\": " + std::string(why)};
}

Result<void> check_path(std::string_view address, std::string_view path) {
  constexpr std::size_t kLongest = sizeof(sockaddr_un::sun_path) - 1;
  if (path.front() == '@') return invalid(address, "a socket without a file is not supported");
  if (path.size() > kLongest) {
    return invalid(address, "the path is longer than " + std::to_string(kLongest) + " bytes");
  }
  if (path.find('\0') != std::string_view::npos) return invalid(address, "a zero byte in the path");
  return ok();
}

Result<void> check_host_and_port(std::string_view address, std::string_view rest) {
  const std::size_t colon = rest.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return invalid(address, "expected HOST:PORT");
  const std::string_view host = rest.substr(0, colon);
  const std::string_view port = rest.substr(colon + 1);
  const bool bracketed = host.front() == '[' && host.back() == ']' && host.size() > 2;
  if (!bracketed && host.find_first_of(":[]; /") != std::string_view::npos) {
    return invalid(address, "the host is no name and no address");
  }
  if (port == "*") return ok();
  unsigned number = 0;
  const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), number);
  if (error != std::errc() || end != port.data() + port.size() || number > 65535) {
    return invalid(address, "the port is no number from 0 to 65535");
  }
  return ok();
}

}  // namespace

std::string Address::text() const {
  for (const auto& [name, its_scheme] : kSchemes) {
    if (its_scheme == scheme) return std::string(name) + "://" + rest;
  }
  return rest;
}

Result<Address> parse_address(std::string_view text) {
  const std::size_t separator = text.find("://");
  if (separator == std::string_view::npos) return invalid(text, "expected SCHEME://…");
  const std::string_view rest = text.substr(separator + 3);
  if (rest.empty()) return invalid(text, "nothing after the scheme");
  for (const auto& [name, scheme] : kSchemes) {
    if (text.substr(0, separator) != name) continue;
    if (scheme == Address::Scheme::kIpc || scheme == Address::Scheme::kShm) TRY(check_path(text, rest));
    if (scheme == Address::Scheme::kTcp) TRY(check_host_and_port(text, rest));
    return Address{scheme, std::string(rest)};
  }
  return invalid(text, "the scheme is none of inproc, ipc, tcp, shm");
}

}  // namespace caisson
