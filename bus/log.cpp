#include "bus/log.hpp"

#include <fmt/format.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <string>

#include "bus/json_writer.hpp"

namespace caisson {

namespace {

bool json_lines = false;

spdlog::level::level_enum level_of(LogLevel level) {
  switch (level) {
    case LogLevel::kDebug:
      return spdlog::level::debug;
    case LogLevel::kInfo:
      return spdlog::level::info;
    case LogLevel::kWarning:
      return spdlog::level::warn;
    case LogLevel::kError:
      break;
  }
  return spdlog::level::err;
}

}  // namespace

void start_logging(std::string_view process, std::string_view level, bool as_json) {
  json_lines = as_json;
  auto logger = spdlog::stderr_logger_mt(std::string(process));
  if (as_json) {
    logger->set_pattern(R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l","scope":"%n","msg":%v})",
                        spdlog::pattern_time_type::utc);
  } else {
    logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %l %n: %v", spdlog::pattern_time_type::utc);
  }
  logger->set_level(level == "debug"   ? spdlog::level::debug
                    : level == "warn"  ? spdlog::level::warn
                    : level == "error" ? spdlog::level::err
                    : level == "fatal" ? spdlog::level::critical
                                       : spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

bool log_enabled(LogLevel level) { return spdlog::should_log(level_of(level)); }

void log(LogLevel level, std::string_view message) {
  if (!log_enabled(level)) return;
  if (json_lines) {
    std::string quoted;
    append_json_string(quoted, message);
    spdlog::log(level_of(level), spdlog::string_view_t(quoted));
  } else {
    spdlog::log(level_of(level), spdlog::string_view_t(message.data(), message.size()));
  }
}

void LogLimit::log(LogLevel level, std::string_view message) {
  const Nanos now = SystemClock().now();
  if (now < next_) {
    ++held_back_;
    return;
  }
  next_ = now + interval_;
  if (held_back_ == 0) {
    caisson::log(level, message);
  } else {
    caisson::log(level, fmt::format("{} ({} more like this)", message, held_back_));
    held_back_ = 0;
  }
}

}  // namespace caisson
