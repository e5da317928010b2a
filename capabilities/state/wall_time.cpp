#include "capabilities/state/wall_time.hpp"

#include <time.h>

#include <chrono>

namespace caisson::state {

namespace {

std::string format(std::int64_t unix_milliseconds, const char* pattern) {
  const std::time_t seconds = static_cast<std::time_t>(unix_milliseconds / 1000);
  std::tm fields{};
  ::gmtime_r(&seconds, &fields);
  char text[40];
  return {text, std::strftime(text, sizeof(text), pattern, &fields)};
}

}  // namespace

WallClock system_wall_clock() {
  return [] {
    return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
        .count();
  };
}

std::string sql_time(std::int64_t unix_milliseconds) { return format(unix_milliseconds, "%Y-%m-%d %H:%M:%S"); }

std::string_view SqlTime::at(std::int64_t unix_milliseconds) {
  const std::int64_t second = unix_milliseconds / 1000;
  if (text_.empty() || second != second_) {
    text_ = sql_time(unix_milliseconds);
    second_ = second;
  }
  return text_;
}

std::string rfc3339(std::int64_t unix_milliseconds) { return format(unix_milliseconds, "%Y-%m-%dT%H:%M:%SZ"); }

std::string rfc3339_of_sql(std::string_view sql_time) {
  std::string text(sql_time);
  if (text.size() == 19 && text[10] == ' ') {
    text[10] = 'T';
    text += 'Z';
  }
  return text;
}

}  // namespace caisson::state
