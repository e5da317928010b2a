#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "bus/clock.hpp"
#include "bus/result.hpp"
#include "config-cache/documents.hpp"

namespace caisson::sdk {

/// How an attempt ended, as policies see it.
struct Outcome {
  bool failed = false;
  /// Another attempt cannot help.
  bool permanent = false;
  /// The code the target answered with: HTTP (100 to 599) or gRPC (0 to 16). Nothing: it did not
  /// answer, or what it is has no codes.
  std::optional<int> code;
  /// Why there was no answer; kOk when there was one.
  Errc error = Errc::kOk;
};

/// Codes as a policy lists them: "429,500-599".
class CodeList {
 public:
  /// `least` and `most` bound what may be listed; kInvalidArgument otherwise.
  static Result<CodeList> parse(std::string_view text, int least, int most);
  [[nodiscard]] bool empty() const { return ranges_.empty(); }
  [[nodiscard]] bool has(int code) const;

 private:
  std::vector<std::pair<int, int>> ranges_;
};

/// A retries policy, ready to be used.
struct RetryRule {
  bool exponential = false;
  Nanos duration{};
  Nanos max_interval{};
  std::int64_t max_retries = -1;  // -1: no limit
  CodeList http_codes;
  CodeList grpc_codes;
  /// Only where the target could not be reached at all (the built-in retries).
  bool only_unreachable = false;

  /// Whether an attempt that failed like this is worth another.
  [[nodiscard]] bool applies_to(const Outcome& outcome) const;
};

/// kInvalidArgument names the field.
Result<RetryRule> compile(const config::RetryPolicy& policy);

/// The waits between the attempts of one call.
class Backoff {
 public:
  static constexpr Nanos kFirst = std::chrono::milliseconds(500);
  static constexpr double kFactor = 1.5;
  static constexpr double kSpread = 0.5;
  /// An exponential policy ends after this long, however many retries it allows.
  static constexpr Nanos kLongestInAll = std::chrono::minutes(15);

  /// `random` gives numbers from 0 up to, not including, 1. The rule outlives this.
  Backoff(const RetryRule& rule, std::function<double()> random)
      : rule_(rule), random_(std::move(random)), interval_(std::min(kFirst, rule.max_interval)) {}

  /// How long to wait before the next attempt, `elapsed` after the first began; nothing: no more.
  std::optional<Nanos> next(Nanos elapsed);

 private:
  const RetryRule& rule_;
  std::function<double()> random_;
  Nanos interval_;
  std::int64_t retries_ = 0;
};

}  // namespace caisson::sdk
