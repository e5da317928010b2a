#include "capabilities/secrets/local_env_store.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "bus/wire.hpp"

namespace caisson::secrets {

namespace {

bool is_runtimes_own(std::string_view variable) {
  return equal_ignoring_case(variable.substr(0, 5), "DAPR_") || equal_ignoring_case(variable, "APP_API_TOKEN");
}

}  // namespace

Task<Result<Secret>> LocalEnvStore::get(std::string name, Deadline) {
  const std::string variable = prefix_ + name;
  const char* value = nullptr;
  if (is_runtimes_own(variable)) {
    refused_log_.log(LogLevel::kWarning, fmt::format("environment variable '{}' is not shown as a secret", variable));
  } else {
    value = std::getenv(variable.c_str());
  }
  Secret secret;
  secret.emplace(std::move(name), value == nullptr ? "" : value);
  co_return secret;
}

Task<Result<Secrets>> LocalEnvStore::get_all(Deadline) {
  Secrets all;
  for (char** entry = ::environ; *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::size_t equals = text.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    const std::string_view variable = text.substr(0, equals);
    if (is_runtimes_own(variable) || !variable.starts_with(prefix_)) continue;
    const std::string name(variable.substr(prefix_.size()));
    if (name.empty()) continue;
    all[name][name] = text.substr(equals + 1);
  }
  co_return all;
}

}  // namespace caisson::secrets
