#include "sdk/redis/reply_errors.hpp"

#include <algorithm>
#include <string_view>

namespace caisson::redis {

namespace {

std::string_view code_of(const Reply& reply) {
  const std::string_view text = reply.text;
  return text.substr(0, text.find(' '));
}

struct Refusal {
  std::string_view code;
  Errc means;
};

constexpr Refusal kRefusals[] = {
    {"LOADING", Errc::kUnavailable},    {"READONLY", Errc::kUnavailable},      {"MASTERDOWN", Errc::kUnavailable},
    {"NOAUTH", Errc::kUnavailable},     {"BUSY", Errc::kUnavailable},          {"UNBLOCKED", Errc::kUnavailable},
    {"NOREPLICAS", Errc::kUnavailable}, {"CLUSTERDOWN", Errc::kUnavailable},   {"TRYAGAIN", Errc::kUnavailable},
    {"OOM", Errc::kResourceExhausted},  {"MISCONF", Errc::kResourceExhausted},
};

}  // namespace

std::optional<Error> refusal_of(const Reply& reply) {
  if (!reply.is_error()) return std::nullopt;
  const auto* const found = std::ranges::find(kRefusals, code_of(reply), &Refusal::code);
  if (found == std::end(kRefusals)) return std::nullopt;
  return Error{found->means, reply.text};
}

bool is_read_only(const Reply& reply) { return reply.is_error() && code_of(reply) == "READONLY"; }

}  // namespace caisson::redis
