#include "cli/instances.hpp"

#include <fmt/format.h>

#include <charconv>

namespace caisson::cli {

Result<void> add_instances(Instances& instances, std::string_view text) {
  const std::size_t middle = text.find('=');
  const std::string_view digits = middle == std::string_view::npos ? std::string_view() : text.substr(middle + 1);
  unsigned count = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), count);
  const bool is_number = error == std::errc() && end == digits.data() + digits.size();
  if (middle == 0 || !is_number || count < 1 || count > kMostInstances) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("--instances {}: must be CAPABILITY=N with N from 1 to {}", text, kMostInstances)};
  }
  const std::string_view capability = text.substr(0, middle);
  if (capability == "config" && count > 1) {
    return Error{Errc::kInvalidArgument,
                 fmt::format("--instances {}: there is one config only, as it numbers the generations of configuration "
                             "that all others follow",
                             text)};
  }
  instances[std::string(capability)] = count;
  return ok();
}

std::string instance_name(const std::string& capability, unsigned number) {
  return number == 1 ? capability : fmt::format("{}-{}", capability, number);
}

std::string_view without_number(std::string_view process) {
  const std::size_t digits = process.find_last_not_of("0123456789") + 1;
  if (digits == process.size() || digits < 2 || process[digits - 1] != '-') return process;
  return process.substr(0, digits - 1);
}

}  // namespace caisson::cli
