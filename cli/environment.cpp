#include "cli/environment.hpp"

#include <unistd.h>

#include <algorithm>
#include <array>

namespace caisson::cli {

namespace {

constexpr std::array<std::string_view, 16> kForEverybody = {"PATH",
                                                            "HOME",
                                                            "TZ",
                                                            "LANG",
                                                            "LC_ALL",
                                                            "LC_CTYPE",
                                                            "TMPDIR",
                                                            "NAMESPACE",
                                                            "POD_NAME",
                                                            "ASAN_OPTIONS",
                                                            "UBSAN_OPTIONS",
                                                            "LSAN_OPTIONS",
                                                            "TSAN_OPTIONS",
                                                            "LLVM_PROFILE_FILE",
                                                            "LD_LIBRARY_PATH",
                                                            "ASAN_SYMBOLIZER_PATH"};

bool contains(const auto& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_token(std::string_view name) { return name == "DAPR_API_TOKEN" || name == "APP_API_TOKEN"; }

bool may_pass(std::string_view process, const std::string& name, const std::set<std::string>& named_in_configuration) {
  if (contains(kForEverybody, name)) return true;
  if (process == "gateway") return is_token(name);
  if (is_token(name) || name.starts_with("DAPR_")) return false;
  if (process == "config") return named_in_configuration.contains(name);
  return true;
}

}  // namespace

Environment current_environment() {
  Environment all;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view pair = *entry;
    const std::size_t equals = pair.find('=');
    if (equals == std::string_view::npos || equals == 0) continue;
    all.emplace(pair.substr(0, equals), pair.substr(equals + 1));
  }
  return all;
}

std::set<std::string> referenced_variables(std::string_view text) {
  const auto is_first = [](char c) { return c == '_' || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); };
  const auto is_part = [&](char c) { return is_first(c) || (c >= '0' && c <= '9'); };
  std::set<std::string> names;
  for (std::size_t at = text.find('$'); at != std::string_view::npos; at = text.find('$', at + 1)) {
    std::size_t begin = at + 1;
    if (begin < text.size() && text[begin] == '{') ++begin;
    std::size_t end = begin;
    while (end < text.size() && (end == begin ? is_first(text[end]) : is_part(text[end]))) ++end;
    if (end > begin) names.emplace(text.substr(begin, end - begin));
  }
  return names;
}

Environment environment_for(std::string_view process, const Environment& all,
                            const std::set<std::string>& named_in_configuration) {
  Environment chosen;
  for (const auto& [name, value] : all) {
    if (may_pass(process, name, named_in_configuration)) chosen.emplace(name, value);
  }
  return chosen;
}

}  // namespace caisson::cli
