#pragma once

#include <fmt/format.h>

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

namespace caisson::redis {

/// One command as it goes over the wire: a RESP array of binary-safe strings.
class Command {
 public:
  Command(std::initializer_list<std::string_view> words) {
    std::size_t size = 0;
    for (const std::string_view word : words) size += word.size() + kMostAround;
    words_.reserve(size);
    for (const std::string_view word : words) add(word);
  }

  /// Makes room for so many bytes.
  void reserve(std::size_t size) { words_.reserve(size); }
  Command& add(std::string_view word) {
    append_count(words_, '$', word.size());
    words_.append(word).append("\r\n");
    ++count_;
    return *this;
  }
  Command& add(std::int64_t number) { return add(std::string_view(fmt::format_int(number).c_str())); }

  /// Appends the encoded command.
  void encode(std::string& to) const {
    append_count(to, '*', count_);
    to.append(words_);
  }
  [[nodiscard]] std::size_t size() const { return words_.size(); }

 private:
  /// "$12\r\n" before a word and "\r\n" behind it; no count that a command has is longer.
  static constexpr std::size_t kMostAround = 24;

  static void append_count(std::string& to, char mark, std::size_t count) {
    char text[kMostAround] = {mark};
    char* end = std::to_chars(text + 1, text + sizeof text, count).ptr;
    *end++ = '\r';
    *end++ = '\n';
    to.append(text, end);
  }

  std::string words_;
  std::size_t count_ = 0;
};

}  // namespace caisson::redis
