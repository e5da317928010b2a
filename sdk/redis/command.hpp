#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>

namespace caisson::redis {

/// One command as it goes over the wire: a RESP array of binary-safe strings.
class Command {
 public:
  Command(std::initializer_list<std::string_view> words) {
    for (const std::string_view word : words) add(word);
  }

  Command& add(std::string_view word) {
    fmt::format_to(std::back_inserter(words_), "${}\r\n", word.size());
    words_.append(word).append("\r\n");
    ++count_;
    return *this;
  }
  Command& add(std::int64_t number) { return add(std::string_view(fmt::format_int(number).c_str())); }

  /// Appends the encoded command.
  void encode(std::string& to) const {
    fmt::format_to(std::back_inserter(to), "*{}\r\n", count_);
    to.append(words_);
  }
  [[nodiscard]] std::size_t size() const { return words_.size(); }

 private:
  std::string words_;
  std::size_t count_ = 0;
};

}  // namespace caisson::redis
