#include "sdk/retry.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace caisson::sdk {

namespace {

constexpr int kLastGrpcCode = 16;
constexpr int kFirstHttpCode = 100;
constexpr int kLastHttpCode = 599;

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

std::optional<int> whole_number(std::string_view text) {
  text = trimmed(text);
  int number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (text.empty() || parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

}  // namespace

Result<CodeList> CodeList::parse(std::string_view text, int least, int most) {
  CodeList list;
  if (trimmed(text).empty()) return list;
  while (true) {
    const std::size_t comma = std::min(text.find(','), text.size());
    const std::string_view item = text.substr(0, comma);
    const std::size_t dash = item.find('-');
    const auto first = whole_number(item.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : whole_number(item.substr(dash + 1));
    if (!first || !last || *first < least || *last > most || *first > *last) {
      return Error{Errc::kInvalidArgument,
                   fmt::format("'{}' is neither a code from {} to {} nor a range of them", item, least, most)};
    }
    list.ranges_.emplace_back(*first, *last);
    if (comma == text.size()) return list;
    text.remove_prefix(comma + 1);
  }
}

bool CodeList::has(int code) const {
  return std::ranges::any_of(ranges_, [code](const auto& r) { return code >= r.first && code <= r.second; });
}

bool RetryRule::applies_to(const Outcome& outcome) const {
  if (!outcome.failed || outcome.permanent) return false;
  if (only_unreachable) return outcome.error == Errc::kUnavailable || outcome.error == Errc::kUnauthenticated;
  if (!outcome.code) return true;
  const int code = *outcome.code;
  if (code >= 0 && code <= kLastGrpcCode) return grpc_codes.empty() || grpc_codes.has(code);
  if (code >= kFirstHttpCode && code <= kLastHttpCode) return http_codes.empty() || http_codes.has(code);
  return false;
}

Result<RetryRule> compile(const config::RetryPolicy& policy) {
  RetryRule rule;
  rule.exponential = policy.exponential;
  rule.duration = std::max(policy.duration, Nanos::zero());
  rule.max_interval = policy.max_interval > Nanos::zero() ? policy.max_interval : config::RetryPolicy().max_interval;
  rule.max_retries = policy.max_retries;
  auto http = CodeList::parse(policy.http_codes, kFirstHttpCode, kLastHttpCode);
  if (!http) return Error{Errc::kInvalidArgument, "matching.httpStatusCodes: " + http.error().message};
  auto grpc = CodeList::parse(policy.grpc_codes, 0, kLastGrpcCode);
  if (!grpc) return Error{Errc::kInvalidArgument, "matching.gRPCStatusCodes: " + grpc.error().message};
  rule.http_codes = *std::move(http);
  rule.grpc_codes = *std::move(grpc);
  return rule;
}

std::optional<Nanos> Backoff::next(Nanos elapsed) {
  if (rule_.max_retries >= 0 && retries_ >= rule_.max_retries) return std::nullopt;
  ++retries_;
  if (!rule_.exponential) return rule_.duration;

  const double spread = 1 - kSpread + 2 * kSpread * random_();
  const Nanos wait(static_cast<std::int64_t>(static_cast<double>(interval_.count()) * spread));
  const double grown = static_cast<double>(interval_.count()) * kFactor;
  interval_ = grown >= static_cast<double>(rule_.max_interval.count()) ? rule_.max_interval
                                                                       : Nanos(static_cast<std::int64_t>(grown));
  if (elapsed >= kLongestInAll || wait > kLongestInAll - elapsed) return std::nullopt;
  return wait;
}

}  // namespace caisson::sdk
